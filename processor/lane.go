package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/cluster"
)

// closeTimeout bounds how long a lane takes to leave the group.
const closeTimeout = 5 * time.Second

// lane is one session and the goroutine that runs it: it owns whole partitions, and keeps their order.
type lane struct {
	p      *Processor
	number int
	id     string          // the transactional id of its sessions
	soft   context.Context // ends when no more batches may begin
	opened func()          // is called when the first session is open
	work   work

	has  holdings // the partitions that work knows of
	most int      // records of the next batch, so that there is room for their outputs; 0: no limit
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

// backOff waits before another try, longer after each failure, so that a lasting failure does not spin.
func (l *lane) backOff(failures int) {
	cluster.Sleep(l.soft, min(10*time.Millisecond<<min(failures, 10), 5*time.Second))
}

// session runs one session from Open to Close. again reports whether to open another one.
func (l *lane) session() (again bool, err error) {
	cfg := l.p.lane(l.number)
	cfg.Observer = l.has.observer().With(cfg.Observer)
	s, err := eos.Open(l.soft, cfg)
	if err != nil {
		if l.soft.Err() != nil {
			return false, nil
		}
		return false, err
	}
	l.opened()
	defer l.has.drop(l.work)
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

// batch takes one batch from Poll to Commit. done reports that the lane has drained.
func (l *lane) batch(s *eos.Session) (done bool, err error) {
	batch, err := s.PollRecords(l.soft, l.most)
	switch {
	case l.soft.Err() != nil:
		return true, nil // a batch that was polled and not committed comes again at the next start
	case err != nil:
		return false, err
	}
	l.has.follow(l.work, batch.Offsets())
	res, err := l.work.process(l.p.hard, batch.Records, s.CheckOutput)
	if full, ok := errors.AsType[*noRoomError](err); ok {
		l.most = full.most
		l.p.cfg.Logger.Debug("the outputs of a batch are more than BufferMemory; it is polled again with fewer records",
			"lane", l.number, "in", len(batch.Records), "max_records", l.most)
		return false, nil
	}
	switch {
	case l.p.hard.Err() != nil:
		return false, ErrAborted
	case isTransient(err):
		l.p.cfg.Logger.Warn("a record cannot be processed for now; its batch is not committed, and the lane tries it again", "lane", l.number, "err", err)
		return false, err
	case err != nil:
		if failed, ok := errors.AsType[*RecordError](err); ok && failed.Class() == "panic" {
			l.logRecord(failed).Error("a panic; nothing of its batch is committed", "err", failed.Err)
		}
		return false, fmt.Errorf("nothing of its batch is committed: %w", err)
	}
	err = s.Commit(l.p.hard, batch, slices.Values(res.records))
	if err == nil {
		l.work.committed(res)
		l.tell(len(batch.Records), res, nil)
		l.widen(res.room, len(batch.Records))
		return false, nil
	}
	decided := l.work.aborted(res, err)
	if l.p.hard.Err() != nil {
		return false, errors.Join(ErrAborted, err)
	}
	l.tell(len(batch.Records), res, err)
	return false, decided
}

// widen takes more records into the next batch if there is room for the outputs of more than this one had.
func (l *lane) widen(m *room, records int) {
	if l.most == 0 || records == 0 {
		return
	}
	if l.most = min(m.enough(), 2*l.most); l.most > l.p.cfg.Session.MaxRecords {
		l.most = 0
	}
}

// tell reports a batch of in records after its Commit returned err, and logs what a committed one has given up.
func (l *lane) tell(in int, res *made, err error) {
	if l.p.cfg.Observer.Batch != nil {
		l.p.cfg.Observer.Batch(BatchEvent{
			Lane: l.number, TransactionalID: l.id, Err: err, In: in, Out: len(res.records),
			Skipped: res.skipped, DeadLetters: res.letters, Retries: res.retries, GivenUp: res.givenUp,
		})
	}
	if err != nil {
		return
	}
	for _, g := range res.givenUp {
		l.logGivenUp(g)
	}
}

// logGivenUp logs which record was given up and why.
func (l *lane) logGivenUp(g *RecordError) {
	if over, ok := errors.AsType[*eos.PassedOverError](g.Err); ok {
		l.logRecord(g).Error("a batch was passed over", "first_offset", over.From, "bytes", over.Bytes, "err", g.Err)
		return
	}
	l.logRecord(g).Warn("record given up", "class", g.Class(), "attempts", g.Attempts, "err", g.Err)
}

// logRecord returns the log for a record that has failed. It has the stack of a panic, which no error has.
func (l *lane) logRecord(failed *RecordError) *slog.Logger {
	log := l.p.cfg.Logger.With("lane", l.number, "topic", failed.Partition.Topic, "partition", failed.Partition.Number, "offset", failed.Offset)
	if p, ok := errors.AsType[*PanicError](failed.Err); ok {
		log = log.With("stack", string(p.Stack))
	}
	return log
}
