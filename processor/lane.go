package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/cluster"
)

// closeTimeout bounds how long a lane takes to leave the group.
const closeTimeout = 5 * time.Second

// lane is one session and the goroutine that runs it: it owns whole partitions, and keeps their order.
type lane struct {
	p      *Processor
	number int
	soft   context.Context // ends when no more batches are to be begun
	opened func()          // is called when the first session is open

	most    int // records of the next batch, so that there is room for their outputs; 0: as many as there may be
	refused refusals
}

// refusals are what was refused of the batch that comes again, so that it is not produced a second time.
type refusals struct {
	records map[place]error  // input records whose output was refused
	topics  map[string]error // topics to which no record can go
	untimed map[place]bool   // input records whose dead letter was refused for its timestamp, and has none of its own
}

// run opens the lane's session, and another whenever one says so, until soft ends.
func (l *lane) run() error {
	for failures := 1; ; failures++ {
		again, err := l.session()
		if !again || l.soft.Err() != nil {
			return err
		}
		l.p.cfg.Logger.Warn("opening a new session", "lane", l.number, "err", err)
		l.backOff(failures)
	}
}

// backOff waits before another try, longer from failure to failure: what fails again and again shall not spin.
func (l *lane) backOff(failures int) {
	cluster.Sleep(l.soft, min(10*time.Millisecond<<min(failures, 10), 5*time.Second))
}

// session is one session's life. again says that another is to be opened.
func (l *lane) session() (again bool, err error) {
	s, err := eos.Open(l.soft, l.p.lane(l.number))
	if err != nil {
		if l.soft.Err() != nil {
			return false, nil
		}
		return false, err
	}
	l.opened()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if closed := s.Close(ctx); closed != nil {
			l.p.cfg.Logger.Warn("closing the session", "lane", l.number, "err", closed)
		}
	}()
	l.p.compareLimits(s)
	for failures := 0; ; {
		done, err := l.batch(s)
		switch {
		case done:
			return false, err
		case err == nil:
			failures = 0
			continue
		}
		if e, ok := errors.AsType[*eos.Error](err); !isTransient(err) && (!ok || e.Next != eos.PollAgain) {
			return ok && e.Next == eos.Reopen, err
		}
		failures++
		l.backOff(failures)
	}
}

// batch takes one batch from poll to commit. done says that the lane has drained.
func (l *lane) batch(s *eos.Session) (done bool, err error) {
	batch, err := s.PollRecords(l.soft, l.most)
	switch {
	case l.soft.Err() != nil:
		return true, nil // what was polled and not committed comes again at the next start
	case err != nil:
		return false, err
	}
	m := &room{max: int64(l.p.cfg.share(l.p.cfg.BufferMemory))}
	res, err := l.p.process(l.p.hard, batch.Records, Options{refused: l.refused, check: s.CheckOutput, room: m})
	switch {
	case errors.Is(err, errNoRoom):
		l.most = min(m.enough(), len(batch.Records)/2)
		l.p.cfg.Logger.Debug("the outputs of a batch are more than BufferMemory; it is polled again with fewer records",
			"lane", l.number, "in", len(batch.Records), "max_records", l.most)
		return false, nil
	case l.p.hard.Err() != nil:
		return false, ErrAborted
	case isTransient(err):
		l.p.cfg.Logger.Warn("a record cannot be processed for now; its batch is not committed, and tried again", "lane", l.number, "err", err)
		return false, err
	case err != nil:
		if failed, ok := errors.AsType[*RecordError](err); ok && failed.Class() == "panic" {
			l.logRecord(failed).Error("a panic; nothing of its batch is committed", "err", failed.Err)
		}
		return false, fmt.Errorf("nothing of its batch is committed: %w", err)
	}
	err = s.Commit(l.p.hard, batch, slices.Values(res.Records))
	switch {
	case err == nil:
		l.count(len(batch.Records), res)
		l.widen(m, len(batch.Records))
		return false, nil
	case l.p.hard.Err() != nil:
		return false, errors.Join(ErrAborted, err)
	}
	l.p.stats.aborted.Add(1)
	if r, ok := errors.AsType[*eos.RejectedError](err); ok {
		return false, l.refuse(res, r)
	}
	return false, err
}

// widen takes more records into the next batch, where there is room for the outputs of more than there were in this one.
func (l *lane) widen(m *room, records int) {
	if l.most == 0 || records == 0 {
		return
	}
	if l.most = min(m.enough(), 2*l.most); l.most > l.p.cfg.Session.MaxRecords {
		l.most = 0
	}
}

// refuse decides on an output that the broker refuses. With a policy for such records the batch is polled again, and the input of this
// output is given up then, with all others for a topic to which no record can go: nil. Without, or if it is a dead letter that is refused, the
// error names the input. A dead letter that is refused for its timestamp, which it has from its record, is made again without.
func (l *lane) refuse(res Result, r *eos.RejectedError) error {
	at, givenUp, ok := res.blame(r.Record)
	switch {
	case !ok:
		return r
	case givenUp && errors.Is(r, kerr.InvalidTimestamp) && !l.refused.untimed[at]:
		for _, g := range res.GivenUp {
			set(&l.refused.untimed, place{g.Partition, g.Offset}, true)
		}
		return nil
	case givenUp:
		return at.fail("produce", &DeadLetterError{r})
	case l.p.cfg.Errors.Policy == StopOnError:
		return at.fail("produce", r)
	}
	if d, ok := errors.AsType[*eos.DestinationError](r); ok && d.Partition < 0 {
		set(&l.refused.topics, d.Topic, error(d))
		return nil
	}
	set(&l.refused.records, at, error(r))
	return nil
}

func set[K comparable, V any](m *map[K]V, key K, value V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[key] = value
}

func (l *lane) count(in int, res Result) {
	c := &l.p.stats
	c.in.Add(int64(in))
	c.out.Add(int64(len(res.Records)))
	c.skipped.Add(int64(res.Skipped))
	c.deadLetters.Add(int64(res.DeadLetters))
	c.retries.Add(int64(res.Retries))
	c.transactions.Add(1)
	clear(l.refused.topics) // the next batch asks again: a topic may have been created
	for _, g := range res.GivenUp {
		at := place{g.Partition, g.Offset}
		delete(l.refused.records, at)
		delete(l.refused.untimed, at)
		l.logGivenUp(g)
	}
}

// logGivenUp says which record was given up and why.
func (l *lane) logGivenUp(g *RecordError) {
	if over, ok := errors.AsType[*eos.PassedOverError](g.Err); ok {
		l.logRecord(g).Error("a batch was passed over", "first_offset", over.From, "bytes", over.Bytes, "err", g.Err)
		return
	}
	l.logRecord(g).Warn("record given up", "class", g.Class(), "attempts", g.Attempts, "err", g.Err)
}

// logRecord is the log about a record that has failed; a panic comes with its stack, which is in no error.
func (l *lane) logRecord(failed *RecordError) *slog.Logger {
	log := l.p.cfg.Logger.With("lane", l.number, "topic", failed.Partition.Topic, "partition", failed.Partition.Number, "offset", failed.Offset)
	if p, ok := errors.AsType[*PanicError](failed.Err); ok {
		log = log.With("stack", string(p.Stack))
	}
	return log
}
