package processor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

// show prints what a pipe makes of some values, and what it has given up.
func show[In, Out any](p processor.Pipe[In, Out], opts processor.Config, values ...string) {
	var in []*kgo.Record
	for i, v := range values {
		in = append(in, &kgo.Record{Topic: p.Source.Topics[0], Offset: int64(i), Value: []byte(v)})
	}
	res, err := processortest.Run(context.Background(), opts, p, in...)
	if err != nil {
		fmt.Println("stops:", err)
		return
	}
	for _, r := range res.Produced {
		fmt.Printf("%s: %s\n", r.Topic, r.Value)
	}
	for _, g := range res.GivenUp {
		fmt.Println("given up:", g)
	}
}

// Middleware goes around a handler: here one that says what it is called with. A rate limit or a trace is one in the same way.
func ExampleWrap() {
	logged := func(next processor.Handler[string, string]) processor.Handler[string, string] {
		return func(ctx context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
			outs, err := next(ctx, in)
			fmt.Printf("%s@%d has %d outputs\n", in.Topic, in.Offset, len(outs))
			return outs, err
		}
	}
	show(processor.Pipe[string, string]{
		Source: processor.From(processor.String(), "in"),
		Handle: processor.Wrap(processor.Map(func(s string) (string, error) { return strings.ToUpper(s), nil }), logged),
		Sink:   processor.To(processor.String(), "out"),
	}, processor.Config{}, "a", "b")
	// Output:
	// in@0 has 1 outputs
	// in@1 has 1 outputs
	// out: A
	// out: B
}

// One handler, two topics, values of two types, all in one transaction.
func ExampleMany() {
	type total struct{ Words int }
	totals, words := processor.To(processor.JSON[total](), "totals"), processor.To(processor.String(), "words")
	show(processor.Pipe[string, processor.Output]{
		Source: processor.From(processor.String(), "lines"),
		Handle: processor.Each(func(_ context.Context, in processor.Record[string]) (outs []processor.Record[processor.Output], _ error) {
			all := strings.Fields(in.Value)
			for _, w := range all {
				outs = append(outs, processor.Put(words, in, w))
			}
			return append(outs, processor.Put(totals, in, total{len(all)})), nil
		}),
		Sink: processor.Many(totals, words),
	}, processor.Config{}, "to be", "or not")
	// Output:
	// words: to
	// words: be
	// totals: {"Words":2}
	// words: or
	// words: not
	// totals: {"Words":2}
}

// A handler of whole batches, here one that could ask a database once for all of them. It fails for the batch because of one record; the
// batch is divided until that is found, and becomes a dead letter.
func ExamplePipe_batch() {
	show(processor.Pipe[string, string]{
		Source: processor.From(processor.String(), "in"),
		Handle: processor.Batches(func(_ context.Context, in []processor.Record[string]) (outs []processor.Record[string], err error) {
			for _, r := range in {
				if r.Value == "c" {
					return nil, errors.New("one of them is bad")
				}
				outs = append(outs, processor.With(r, strings.ToUpper(r.Value)))
			}
			return outs, nil
		}),
		Sink: processor.To(processor.String(), "out"),
	}, processor.Config{DeadLetterTopic: "dead", Errors: processor.Errors{Policy: processor.DeadLetterOnError}}, "a", "b", "c", "d")
	// Output:
	// out: A
	// out: B
	// dead: c
	// out: D
	// given up: handle record in-0@2: one of them is bad
}
