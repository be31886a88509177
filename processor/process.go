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

// Options are what Process needs to know beside the pipe.
type Options struct {
	// DeadLetterTopic takes the records that are given up as dead letters.
	DeadLetterTopic string
	// DeadLetterHeaders says whose headers dead letters have beside our own, and Group is the consumer group that they name.
	DeadLetterHeaders DeadLetterHeaders
	Group             string
	// Provenance adds ProvenanceHeader to every output.
	Provenance bool
	// Errors says what is done about records that cannot be processed.
	Errors Errors
	// Parallel is how many records are handled at once; those of one key, and those of a partition that have no key, one after the other.
	// Less than 2: one after the other. A batch handler is called by one goroutine all the same.
	Parallel int
	// BufferMemory bounds what the outputs of the batch take, in bytes; a record whose own outputs are more has failed. 0: no bound.
	BufferMemory int

	refused refusals                                      // what was refused of the batch when it came before
	check   func(topic string, timestamp time.Time) error // why there can be no such output; nil: eos.CheckOutput
	room    *room                                         // told what the outputs take
}

// Result is what Process has made of a batch.
type Result struct {
	// Records are what is to be produced, in the order of their inputs.
	Records []*kgo.Record
	// Skipped and DeadLetters count the input records that were given up.
	Skipped, DeadLetters int
	// Retries counts the calls of the handler that repeated one.
	Retries int
	// GivenUp says for each record that was given up where it stands and why.
	GivenUp []*RecordError

	sources []place // of each of Records, the input it was made of
}

// place is where an input record stands. The record itself may have become an output by the time somebody asks.
type place struct {
	partition offsets.Partition
	offset    int64
}

func placeOf(r *kgo.Record) place {
	return place{offsets.Partition{Topic: r.Topic, Number: r.Partition}, r.Offset}
}

// fail returns the error of the record at this place.
func (at place) fail(stage string, err error) *RecordError {
	return &RecordError{Stage: stage, Partition: at.partition, Offset: at.offset, Attempts: 1, Err: err}
}

// RecordError is the cause when one input record cannot be processed. It names the record, so that an operator can
// look at it.
type RecordError struct {
	Stage     string // read, decode, handle, encode or produce
	Partition offsets.Partition
	Offset    int64
	Attempts  int // calls of the handler
	Err       error
}

// Error names the stage, the record's coordinates and the cause.
func (e *RecordError) Error() string {
	return fmt.Sprintf("%s record %s@%d: %v", e.Stage, e.Partition, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *RecordError) Unwrap() error { return e.Err }

// Class returns the kind of failure as one word: panic, timeout, too-large, unreadable, or the stage.
func (e *RecordError) Class() string {
	if _, ok := errors.AsType[*PanicError](e.Err); ok {
		return "panic"
	}
	if _, ok := errors.AsType[*TimeoutError](e.Err); ok {
		return "timeout"
	}
	if isTooLarge(e.Err) {
		return "too-large"
	}
	if _, ok := errors.AsType[*eos.PassedOverError](e.Err); ok {
		return "unreadable"
	}
	return e.Stage
}

// Process takes input records through decode, handle and encode: all that a lane does between Poll and Commit, without
// a broker. The records in become the outputs where they can; they belong to Process from here on.
//
// A *RecordError names a record that failed and that Options.Errors does not give up: the first one, or with Parallel the one that failed
// first. Nothing is returned then: a batch is committed whole or not at all. So it is when ctx ends, an error is Transient, or the outputs
// of several records are more than BufferMemory.
func (p Pipe[In, Out]) Process(ctx context.Context, in []*kgo.Record, opts Options) (Result, error) {
	opts.Errors = opts.Errors.withDefaults()
	if opts.check == nil {
		opts.check = eos.CheckOutput
	}
	through, _ := any(func(r Record[In]) Record[In] { return r }).(func(Record[In]) Record[Out])
	if opts.room == nil {
		opts.room = &room{max: int64(opts.BufferMemory)}
	}
	opts.room.marked = opts.Provenance
	w := way[In, Out]{p, through, opts, len(in) == 1}
	switch {
	case p.HandleBatch != nil:
		return w.batch(ctx, in)
	case opts.Parallel > 1 && len(in) > 1:
		return w.parallel(ctx, in)
	}
	res := newResult(len(in))
	for _, r := range in {
		if err := w.one(ctx, r, &res); err != nil {
			return Result{}, err
		}
	}
	return res, nil
}

func newResult(n int) Result {
	return Result{Records: make([]*kgo.Record, 0, n), sources: make([]place, 0, n)}
}

// way is the way of the records of one batch through the stages.
type way[In, Out any] struct {
	Pipe[In, Out]
	through func(Record[In]) Record[Out] // takes the place of a nil Handle
	opts    Options
	alone   bool // the batch has one record
}

// one takes one record through the stages.
func (w way[In, Out]) one(ctx context.Context, r *kgo.Record, res *Result) error {
	at := placeOf(r)
	in, failed := w.enter(r, at)
	if failed != nil {
		return w.giveUp(ctx, r, failed, res)
	}
	var err error
	var alone [1]Record[Out]
	outs, calls := alone[:], 1
	if w.Handle == nil {
		alone[0] = w.through(in)
	} else if outs, calls, err = w.handle(ctx, in, w.opts.Errors); err != nil {
		failed = at.fail("handle", err)
		failed.Attempts = calls
		return w.giveUp(ctx, r, failed, res)
	}
	res.Retries += calls - 1
	from := len(res.Records)
	if res.Records, err = w.encode(r, outs, res.Records, w.opts); err != nil {
		if isTooLarge(err) && !w.alone {
			return errNoRoom
		}
		stage := "encode"
		if isRejected(err) {
			stage = "produce"
		}
		return w.giveUp(ctx, r, at.fail(stage, err), res)
	}
	for i, made := range res.Records[from:] {
		if w.opts.Provenance {
			mark(made, Provenance{Partition: at.partition, Offset: at.offset, Index: i, Count: len(outs)})
		}
		res.sources = append(res.sources, at)
	}
	return nil
}

// enter decodes a record that is to be handled. One whose output the broker has refused is not.
func (w way[In, Out]) enter(r *kgo.Record, at place) (in Record[In], failed *RecordError) {
	if err := w.opts.refused.records[at]; err != nil {
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

// giveUp does with a record that has failed for good what its handler has decided, or else what the policy says: it is left out, becomes
// a dead letter, or the error is returned. Where it is not the record that failed, the error is returned in any case.
func (w way[In, Out]) giveUp(ctx context.Context, r *kgo.Record, failed *RecordError, res *Result) error {
	res.Retries += failed.Attempts - 1
	policy := w.opts.Errors.Policy
	v, decided := errors.AsType[*verdict](failed.Err)
	switch {
	case decided:
		policy = v.policy
	case isTransient(failed.Err), ctx.Err() != nil:
		return failed
	}
	switch {
	case policy == SkipOnError:
		res.Skipped++
	case policy == DeadLetterOnError && w.opts.DeadLetterTopic == "":
		return fmt.Errorf("%w (no dead-letter topic is configured)", failed)
	case policy == DeadLetterOnError:
		size := outputBytes + headersSize(r.Headers)
		if !w.alone && !w.opts.room.fits(size) {
			return errNoRoom
		}
		w.opts.room.take(1, size)
		res.DeadLetters++
		at := place{failed.Partition, failed.Offset}
		letter := newDeadLetter(r, w.opts.DeadLetterTopic, failed, w.opts.DeadLetterHeaders, w.opts.Group)
		if w.opts.refused.untimed[at] {
			letter.Timestamp = time.Time{}
		}
		res.Records = append(res.Records, letter)
		res.sources = append(res.sources, at)
	default:
		return failed
	}
	res.GivenUp = append(res.GivenUp, failed)
	return nil
}

// blame returns the input record of which the output r was made.
func (res *Result) blame(r *kgo.Record) (at place, deadLetter, ok bool) {
	for i, made := range res.Records {
		if made == r {
			return res.sources[i], res.isGivenUp(res.sources[i]), true
		}
	}
	return place{}, false, false
}

func (res *Result) isGivenUp(at place) bool {
	for _, g := range res.GivenUp {
		if (place{g.Partition, g.Offset}) == at {
			return true
		}
	}
	return false
}
