package processor

import (
	"context"
	"errors"
	"slices"
)

// Handler makes output records of one input record: none, one or many. It is called before the transaction opens,
// record by record in the order of a partition. As many goroutines call it at once as there are lanes, times
// Config.Parallel.
//
// A handler returns its records instead of sending them: when it fails it has sent nothing. It may be called again for
// the same record, after a transaction was aborted or the process has restarted. What it does outside Kafka is not
// undone and may happen twice.
//
// Its context ends when the processor is aborted, not when it drains, and after Errors.HandlerTimeout.
//
// An error is an error of the record: the call is retried, and then the record is given up or stops the processor, as
// Config.Errors says. Skip, DeadLetter and Transient are errors by which a handler decides itself.
type Handler[In, Out any] func(ctx context.Context, in Record[In]) ([]Record[Out], error)

// BatchHandler makes output records of several input records at once: the records of one batch, or a part of it, in
// order. The contract of Handler holds, except that Config.Parallel does not apply. The Topic, Partition and Offset of
// an output say which input it was made of; With sets them. An output without them belongs to the last input.
//
// When it fails, the batch is divided, and it is called for each half, until the records that fail are found.
// Config.Errors decides about these, as for a Handler. So it is called more than once for a record, and with parts of
// the batch that differ from call to call.
type BatchHandler[In, Out any] func(ctx context.Context, in []Record[In]) ([]Record[Out], error)

// Middleware wraps a handler into one that does something before, after or instead of it: logging, tracing, a rate
// limit.
type Middleware[In, Out any] func(next Handler[In, Out]) Handler[In, Out]

// Wrap returns h inside the middleware. The first one is outermost.
func Wrap[In, Out any](h Handler[In, Out], outermost ...Middleware[In, Out]) Handler[In, Out] {
	for _, m := range slices.Backward(outermost) {
		h = m(h)
	}
	return h
}

// Skip returns an error by which a handler leaves a record out. The record is counted and logged, and its offset is
// committed with the batch. err is the reason; nil means "no reason given".
func Skip(err error) error { return &verdict{SkipOnError, orUnknown(err)} }

// DeadLetter returns an error by which a handler sends a record, as it came, to Config.DeadLetterTopic, in the same
// transaction. err is the reason, which a header of the dead letter holds. Without a dead-letter topic the processor
// stops.
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
