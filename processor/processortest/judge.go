package processortest

import (
	"context"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// place is where an input record stands.
type place struct {
	partition offsets.Partition
	offset    int64
}

// observed is what a handler made of each record when it was called first.
type observed struct {
	mu    sync.Mutex
	first map[place]int // outputs; -1: an error
}

// observe puts a Handler around the pipe's that notes what the first call made of each record.
func observe[In, Out any](t testing.TB, pipe *processor.Pipe[In, Out]) *observed {
	t.Helper()
	o := &observed{first: map[place]int{}}
	handle := handlerOf(t, *pipe)
	pipe.Handle = processor.Each(func(ctx context.Context, in processor.Record[In]) ([]processor.Record[Out], error) {
		outs, err := handle(ctx, in)
		o.mu.Lock()
		defer o.mu.Unlock()
		at := place{offsets.Partition{Topic: in.Topic, Number: in.Partition}, in.Offset}
		if _, known := o.first[at]; !known {
			o.first[at] = len(outs)
			if err != nil {
				o.first[at] = -1
			}
		}
		return outs, err
	})
	return o
}

// handlerOf returns the pipe's Handler, or one that copies if it has none.
func handlerOf[In, Out any](t testing.TB, pipe processor.Pipe[In, Out]) processor.Handler[In, Out] {
	t.Helper()
	switch h := pipe.Handle.(type) {
	case processor.Handler[In, Out]:
		return h
	case nil:
		same, ok := any(func(r processor.Record[In]) processor.Record[In] { return r }).(func(processor.Record[In]) processor.Record[Out])
		if !ok {
			t.Fatal("the pipe has no Handle, and its input and output types differ")
		}
		return func(_ context.Context, in processor.Record[In]) ([]processor.Record[Out], error) {
			return []processor.Record[Out]{same(in)}, nil
		}
	}
	t.Fatalf("Replay is for pipes with a Handler, or none, not with a %T", pipe.Handle)
	return nil
}

// judge compares what a reader sees with what the handler made first.
func (o *observed) judge(t testing.TB, outs, dead []*kgo.Record) {
	t.Helper()
	type output struct {
		place
		index int
	}
	times := map[output]int{}
	seen := map[place]int{}
	for _, r := range outs {
		from, ok := processor.ProvenanceOf(r)
		at := place{from.Partition, from.Offset}
		seen[at]++
		times[output{at, from.Index}]++
		if n := times[output{at, from.Index}]; !ok || n > 1 {
			t.Errorf("output %d of record %s@%d is there %d times", from.Index, at.partition, at.offset, n)
		}
	}
	letters := map[place]int{}
	for _, r := range dead {
		info, _ := processor.DeadLetterOf(r.Headers)
		at := place{info.Partition, info.Offset}
		if letters[at]++; letters[at]+seen[at] > 1 {
			t.Errorf("record %s@%d is a dead letter, and there %d times in all", at.partition, at.offset, letters[at]+seen[at])
		}
	}
	for at, made := range o.first {
		if made >= 0 && letters[at] == 0 && seen[at] != made {
			t.Errorf("record %s@%d has %d outputs; the handler made %d when it was called first", at.partition, at.offset, seen[at], made)
		}
	}
}

// result decodes what a reader sees.
func result[Out any, In any](t testing.TB, pipe processor.Pipe[In, Out], outs, dead []*kgo.Record, skipped int) Result[Out] {
	t.Helper()
	res := Result[Out]{DeadLetters: dead, Skipped: skipped}
	for _, r := range outs {
		v, err := pipe.Sink.Value.Decode(r.Value)
		if err != nil {
			t.Fatalf("the sink's codec cannot read what it wrote: %v", err)
		}
		res.Outputs = append(res.Outputs, processor.Record[Out]{
			Key: r.Key, Value: v, Headers: r.Headers, Timestamp: r.Timestamp, To: r.Topic, Partition: r.Partition, Offset: r.Offset,
		})
	}
	return res
}
