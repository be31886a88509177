package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// stages is the work of a pipe that keeps no state: decode, handle, encode. One of each, batches and same is set.
type stages[In, Out any] struct {
	Pipe[In, Out]
	cfg     Config
	each    Handler[In, Out]
	batches BatchHandler[In, Out]
	same    func(Record[In]) Record[Out] // copies

	refused refusals
}

// passage is one batch on its way through the stages. Several goroutines share it; none changes it.
type passage[In, Out any] struct {
	*stages[In, Out]
	check outputCheck
	room  *room
	alone bool // the batch has one record
}

// process takes input records through decode, handle and encode. The records in become the outputs where they can.
//
// A *RecordError names a record that failed and that Config.Errors does not give up: the first one, or with Parallel
// the one that failed first. Nothing is returned then: a batch is committed whole or not at all. The same holds if ctx
// ends, if an error is Transient, and if the outputs of several records exceed Config.BufferMemory (*noRoomError).
func (s *stages[In, Out]) process(ctx context.Context, in []*kgo.Record, check outputCheck) (*made, error) {
	w := &passage[In, Out]{
		stages: s, check: check, alone: len(in) == 1,
		room: &room{max: int64(s.cfg.share(s.cfg.BufferMemory)), marked: s.cfg.Provenance},
	}
	m, err := w.all(ctx, in)
	switch {
	case errors.Is(err, errNoRoom):
		return nil, &noRoomError{most: min(w.room.enough(), len(in)/2)}
	case err != nil:
		return nil, err
	}
	m.room = w.room
	return &m, nil
}

func (s *stages[In, Out]) committed(m *made) { s.refused.forget(m) }

func (s *stages[In, Out]) aborted(m *made, err error) error {
	if r, ok := errors.AsType[*eos.RejectedError](err); ok {
		return s.refused.add(m, r, s.cfg.Errors.Policy)
	}
	return err
}

func (s *stages[In, Out]) assigned([]offsets.Partition) {}

func (s *stages[In, Out]) revoked([]offsets.Partition) {}

// all takes the records of the batch through the stages: together, in parallel or one by one.
func (w *passage[In, Out]) all(ctx context.Context, in []*kgo.Record) (made, error) {
	switch {
	case w.batches != nil:
		return w.batch(ctx, in)
	case w.cfg.Parallel > 1 && len(in) > 1:
		return w.parallel(ctx, in)
	}
	m := newMade(len(in))
	for _, r := range in {
		if err := w.one(ctx, r, &m); err != nil {
			return made{}, err
		}
	}
	return m, nil
}

// one takes one record through the stages.
func (w *passage[In, Out]) one(ctx context.Context, r *kgo.Record, m *made) error {
	at := placeOf(r)
	in, failed := w.enter(r, at)
	if failed != nil {
		return w.giveUp(ctx, r, failed, m)
	}
	var err error
	var alone [1]Record[Out]
	outs, calls := alone[:], 1
	if w.each == nil {
		alone[0] = w.same(in)
	} else if outs, calls, err = w.handle(ctx, in); err != nil {
		failed = at.fail("handle", err)
		failed.Attempts = calls
		return w.giveUp(ctx, r, failed, m)
	}
	m.retries += calls - 1
	from := len(m.records)
	if m.records, err = w.encode(r, outs, m.records); err != nil {
		if isTooLarge(err) && !w.alone {
			return errNoRoom
		}
		stage := "encode"
		if isRejected(err) {
			stage = "produce"
		}
		return w.giveUp(ctx, r, at.fail(stage, err), m)
	}
	for i, out := range m.records[from:] {
		if w.cfg.Provenance {
			addProvenance(out, Provenance{Partition: at.partition, Offset: at.offset, Index: i, Count: len(outs)})
		}
		m.sources = append(m.sources, at)
	}
	return nil
}

// enter decodes a record for the handler, unless it is known to fail: the client passed over its batch, or the broker
// has rejected its output before.
func (w *passage[In, Out]) enter(r *kgo.Record, at place) (in Record[In], failed *RecordError) {
	if err := w.refused.records[at]; err != nil {
		return in, at.fail("produce", err)
	}
	if over := eos.PassedOver(r); over != nil {
		return in, at.fail("read", over)
	}
	in, err := w.decode(r)
	if err != nil {
		return in, at.fail("decode", err)
	}
	return in, nil
}

// giveUp does with a record that has failed for good what its handler has decided, or else what the policy says: the
// record is left out, becomes a dead letter, or the error is returned. If it was not the record that failed, the error
// is always returned.
func (w *passage[In, Out]) giveUp(ctx context.Context, r *kgo.Record, failed *RecordError, m *made) error {
	m.retries += failed.Attempts - 1
	policy := w.cfg.Errors.Policy
	v, decided := errors.AsType[*verdict](failed.Err)
	switch {
	case decided:
		policy = v.policy
	case isTransient(failed.Err), ctx.Err() != nil:
		return failed
	}
	switch {
	case policy == SkipOnError:
		m.skipped++
	case policy == DeadLetterOnError && w.cfg.DeadLetterTopic == "":
		return fmt.Errorf("%w (no dead-letter topic is configured)", failed)
	case policy == DeadLetterOnError:
		size := outputBytes + headersSize(r.Headers)
		if !w.alone && !w.room.fits(size) {
			return errNoRoom
		}
		w.room.take(1, size)
		m.letters++
		at := place{failed.Partition, failed.Offset}
		letter := newDeadLetter(r, w.cfg.DeadLetterTopic, failed, w.cfg.DeadLetterHeaders, w.cfg.Group)
		if w.refused.untimed[at] {
			letter.Timestamp = time.Time{}
		}
		m.records = append(m.records, letter)
		m.sources = append(m.sources, at)
	default:
		return failed
	}
	m.givenUp = append(m.givenUp, failed)
	return nil
}
