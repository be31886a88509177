package processor

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/offsets"
)

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

// place is the partition and offset of an input record. The record itself may have become an output by the time its
// place is asked for.
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
