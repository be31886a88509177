package processor

import (
	"context"
	"errors"
	"fmt"
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
// An error stops the processor, and nothing of the batch is committed; Skip and DeadLetter are for one record only.
type Handler[In, Out any] func(ctx context.Context, in Record[In]) ([]Record[Out], error)

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
func Skip(err error) error { return &verdict{kind: skipped, err: orUnknown(err)} }

// DeadLetter returns an error by which a handler says: put this record, as it came, into Config.DeadLetterTopic, in the
// same transaction. err is why; it goes with the record in a header. Without a dead-letter topic the processor stops.
func DeadLetter(err error) error { return &verdict{kind: deadLettered, err: orUnknown(err)} }

type verdictKind int

const (
	skipped verdictKind = iota
	deadLettered
)

// verdict is a handler's decision about one record.
type verdict struct {
	kind verdictKind
	err  error
}

func (v *verdict) Error() string {
	return fmt.Sprintf("%s: %v", [...]string{"skipped", "dead letter"}[v.kind], v.err)
}

func (v *verdict) Unwrap() error { return v.err }

func orUnknown(err error) error {
	if err == nil {
		return errors.New("no reason given")
	}
	return err
}
