package processor

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// Options are what Process needs to know beside the pipe.
type Options struct {
	// DeadLetterTopic takes the records that a handler gives up by DeadLetter.
	DeadLetterTopic string
	// Provenance adds ProvenanceHeader to every output.
	Provenance bool
}

// Result is what Process has made of a batch.
type Result struct {
	// Records are what is to be produced, in the order of their inputs.
	Records []*kgo.Record
	// Skipped and DeadLetters count the input records that the handler gave up.
	Skipped, DeadLetters int
	// GivenUp says for each of them where it stands and why.
	GivenUp []*RecordError

	sources []source // of each of Records, the input it was made of
}

// source is where an input record stands. The record itself may have become an output by the time somebody asks.
type source struct {
	partition offsets.Partition
	offset    int64
}

// blame names the input record of which the output r was made.
func (res Result) blame(r *kgo.Record, err error) error {
	for i, made := range res.Records {
		if made == r {
			return &RecordError{Stage: "produce", Partition: res.sources[i].partition, Offset: res.sources[i].offset, Err: err}
		}
	}
	return err
}

// Headers of a dead letter: why the record was given up, and where it stood.
const (
	DeadLetterErrorHeader = "eos-pipe-error"
	DeadLetterFromHeader  = "eos-pipe-dead-letter-from"
)

// RecordError is the cause when one input record cannot be processed. It names the record, so that an operator can
// look at it.
type RecordError struct {
	Stage     string // decode, handle, encode or produce
	Partition offsets.Partition
	Offset    int64
	Err       error
}

// Error names the stage, the record's coordinates and the cause.
func (e *RecordError) Error() string {
	return fmt.Sprintf("%s record %s@%d: %v", e.Stage, e.Partition, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *RecordError) Unwrap() error { return e.Err }

// Process takes input records through decode, handle and encode: all that a lane does between Poll and Commit, without
// a broker. The records in become the outputs where they can; they belong to Process from here on.
//
// A *RecordError names the first record that failed. What was processed before it is not returned: a batch is
// committed whole or not at all.
func (p Pipe[In, Out]) Process(ctx context.Context, in []*kgo.Record, opts Options) (Result, error) {
	res := Result{Records: make([]*kgo.Record, 0, len(in)), sources: make([]source, 0, len(in))}
	through, _ := any(func(r Record[In]) Record[In] { return r }).(func(Record[In]) Record[Out])
	for _, r := range in {
		if err := p.one(ctx, r, through, opts, &res); err != nil {
			return Result{}, err
		}
	}
	return res, nil
}

// one takes one record through the stages. through is what takes the place of a nil Handle.
func (p Pipe[In, Out]) one(ctx context.Context, r *kgo.Record, through func(Record[In]) Record[Out], opts Options, res *Result) error {
	place := offsets.Partition{Topic: r.Topic, Number: r.Partition}
	offset := r.Offset
	fail := func(stage string, err error) *RecordError {
		return &RecordError{Stage: stage, Partition: place, Offset: offset, Err: err}
	}
	in, err := p.decode(r)
	if err != nil {
		return fail("decode", err)
	}
	var alone [1]Record[Out]
	outs := alone[:]
	if p.Handle == nil {
		alone[0] = through(in)
	} else if outs, err = p.handle(ctx, in); err != nil {
		return p.giveUp(r, fail("handle", err), opts, res)
	}
	free := true // the fetched record is not used for an output yet
	for i, out := range outs {
		made, err := p.encode(r, out, free && out.raw == r)
		if err != nil {
			return fail("encode", err)
		}
		free = free && made != r
		if opts.Provenance {
			mark(made, Provenance{Partition: place, Offset: offset, Index: i, Count: len(outs)})
		}
		res.add(made, source{place, offset})
	}
	return nil
}

func (res *Result) add(made *kgo.Record, from source) {
	res.Records = append(res.Records, made)
	res.sources = append(res.sources, from)
}

// giveUp does what the handler's error says about the record: skip it, make it a dead letter, or stop.
func (p Pipe[In, Out]) giveUp(r *kgo.Record, failed *RecordError, opts Options, res *Result) error {
	v, ok := errors.AsType[*verdict](failed.Err)
	switch {
	case !ok:
		return failed
	case v.kind == skipped:
		res.Skipped++
	case opts.DeadLetterTopic == "":
		return fmt.Errorf("%w (no dead-letter topic is configured)", failed)
	default:
		res.DeadLetters++
		headers := append([]Header{}, r.Headers...)
		headers = append(headers,
			Header{Key: DeadLetterErrorHeader, Value: []byte(v.err.Error())},
			Header{Key: DeadLetterFromHeader, Value: fmt.Appendf(nil, "%s@%d", failed.Partition, failed.Offset)})
		res.add(&kgo.Record{
			Topic: opts.DeadLetterTopic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: headers, Timestamp: r.Timestamp, Context: r.Context,
		}, source{failed.Partition, failed.Offset})
	}
	res.GivenUp = append(res.GivenUp, failed)
	return nil
}
