package processor

import (
	"context"
	"errors"
	"slices"
)

// Handler makes output records of one input record: none, one or many. It is called before the transaction opens,
// record by record in the order of a partition, and by as many goroutines at once as there are lanes.
//
// A handler returns its records instead of sending them: when it fails it has sent nothing. It may be called again for
// the same record, when a transaction was aborted or the process started again; what it does outside Kafka is not
// undone and may happen twice.
//
// Its context ends when the processor is aborted, not when it drains.
//
// An error is one of the record: it is tried again and then given up, or stops the processor, as Config.Errors says. Skip, DeadLetter and
// Transient are errors by which a handler decides itself.
type Handler[In, Out any] func(ctx context.Context, in Record[In]) ([]Record[Out], error)

// BatchHandler makes output records of several input records at once: the records of one batch, or a part of it, in order. What holds
// for a Handler holds for it. An output says by its Topic, Partition and Offset of which input it was made, which With does; one
// that does not belongs to the last input.
//
// When it fails, the batch is divided, and it is called for each half, until the records that fail are found; what is done about these
// Config.Errors says, as for a Handler. So it is called for a record more than once, and for other parts of the batch than before.
type BatchHandler[In, Out any] func(ctx context.Context, in []Record[In]) ([]Record[Out], error)

// Middleware wraps a handler into one that does something before, after or instead of it: logging, tracing, a rate limit.
type Middleware[In, Out any] func(next Handler[In, Out]) Handler[In, Out]

// Wrap returns h within the middleware, the first of which is the outermost.
func Wrap[In, Out any](h Handler[In, Out], outermost ...Middleware[In, Out]) Handler[In, Out] {
	for _, m := range slices.Backward(outermost) {
		h = m(h)
	}
	return h
}

// Map returns a handler that makes one output of each input by f, with the input's key, headers and timestamp.
func Map[In, Out any](f func(In) (Out, error)) Handler[In, Out] {
	return func(_ context.Context, in Record[In]) ([]Record[Out], error) {
		v, err := f(in.Value)
		if err != nil {
			return nil, err
		}
		return []Record[Out]{With(in, v)}, nil
	}
}

// Then returns a handler that hands each output of f to g and returns what g makes of them, in order. If either fails,
// so does the whole for that input record.
func Then[A, B, C any](f Handler[A, B], g Handler[B, C]) Handler[A, C] {
	return func(ctx context.Context, in Record[A]) ([]Record[C], error) {
		between, err := f(ctx, in)
		if err != nil {
			return nil, err
		}
		var outs []Record[C]
		for _, r := range between {
			more, err := g(ctx, r)
			if err != nil {
				return nil, err
			}
			outs = append(outs, more...)
		}
		return outs, nil
	}
}

// Skip returns an error by which a handler says: leave this record out. It is counted and logged, and its offset is
// committed with the batch. err is why; nil is taken for "no reason given".
func Skip(err error) error { return &verdict{SkipOnError, orUnknown(err)} }

// DeadLetter returns an error by which a handler says: put this record, as it came, into Config.DeadLetterTopic, in the
// same transaction. err is why; it goes with the record in a header. Without a dead-letter topic the processor stops.
func DeadLetter(err error) error { return &verdict{DeadLetterOnError, orUnknown(err)} }

// verdict is a handler's decision about one record.
type verdict struct {
	policy Policy
	err    error
}

func (v *verdict) Error() string {
	if v.policy == SkipOnError {
		return "skipped: " + v.err.Error()
	}
	return "dead letter: " + v.err.Error()
}

func (v *verdict) Unwrap() error { return v.err }

func orUnknown(err error) error {
	if err == nil {
		return errors.New("no reason given")
	}
	return err
}
