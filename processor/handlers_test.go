package processor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

// upper is a batch handler that refuses any batch with a value of bad, and notes what it is called with.
func upper(calls *[]string, bad ...string) processor.Pipe[string, string] {
	return processor.Pipe[string, string]{
		Source: processor.From(processor.String(), "in"),
		Handle: processor.Batches(func(_ context.Context, in []processor.Record[string]) (outs []processor.Record[string], err error) {
			var got []string
			for _, r := range in {
				got = append(got, r.Value)
				if slices.Contains(bad, r.Value) {
					err = errors.New("bad " + r.Value)
				}
				outs = append(outs, processor.With(r, strings.ToUpper(r.Value)))
			}
			*calls = append(*calls, strings.Join(got, ""))
			return outs, err
		}),
		Sink: processor.To(processor.String(), "out"),
	}
}

// A failing batch is divided until the records are found that fail; these are given up, the others are processed once, in order.
func TestBatchIsBisected(t *testing.T) {
	var calls []string
	res, err := processortest.Run(t.Context(), processor.Config{DeadLetterTopic: "dead", Provenance: true, Errors: processor.Errors{Policy: processor.DeadLetterOnError}}, upper(&calls, "f"), inputs("a", "b", "c", "d", "e", "f", "g", "h")...)
	require.NoError(t, err)
	require.Equal(t, []string{"abcdefgh", "abcd", "efgh", "ef", "e", "f", "gh"}, calls)
	require.Equal(t, []string{"out:A", "out:B", "out:C", "out:D", "out:E", "dead:f", "out:G", "out:H"}, values(res.Produced))
	from, ok := processor.ProvenanceOf(res.Produced[7])
	require.True(t, ok)
	require.Equal(t, "in-3@7 0/1", from.String())
	require.Equal(t, "bad f", res.GivenUp[0].Err.Error())
}

// With any set of bad records: exactly these are given up, and every other one is there once, in order.
func TestBatchProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := strings.Split("abcdefghijklmnopqrstuvwxyz"[:rapid.IntRange(1, 26).Draw(t, "n")], "")
		bad := rapid.SliceOfDistinct(rapid.SampledFrom(all), func(s string) string { return s }).Draw(t, "bad")
		var calls []string
		res, err := processortest.Run(context.Background(), processor.Config{Errors: processor.Errors{Policy: processor.SkipOnError}}, upper(&calls, bad...), inputs(all...)...)
		require.NoError(t, err)
		var want []string
		for _, v := range all {
			if !slices.Contains(bad, v) {
				want = append(want, "out:"+strings.ToUpper(v))
			}
		}
		require.Equal(t, want, values(res.Produced))
		require.Equal(t, len(bad), res.Skipped)
	})
}

// The whole batch is tried again, and so is a single record; the search between does not.
func TestBatchRetries(t *testing.T) {
	var calls []string
	res, err := processortest.Run(t.Context(), processor.Config{Errors: processor.Errors{Policy: processor.SkipOnError, Retries: 1, Backoff: 1, MaxBackoff: 1}}, upper(&calls, "c"), inputs("a", "b", "c")...)
	require.NoError(t, err)
	require.Equal(t, []string{"abc", "abc", "a", "bc", "b", "c", "c"}, calls)
	require.Equal(t, 2, res.Retries)
	_, err = processortest.Run(t.Context(), processor.Config{}, upper(&calls, "c"), inputs("a", "b", "c")...)
	require.EqualError(t, err, "handle record in-3@2: bad c")
}

// Several records at once: those of one key in their order, all outputs in the order of the input, as many at a time as asked for.
func TestParallel(t *testing.T) {
	const keys, each = 5, 40
	var mu sync.Mutex
	seen := map[string][]int64{}
	started, release := make(chan string, keys*each), make(chan struct{})
	pipe := processor.Pipe[string, string]{
		Source: processor.From(processor.String(), "in"),
		Handle: processor.Each(func(_ context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
			started <- string(in.Key)
			<-release
			mu.Lock()
			defer mu.Unlock()
			seen[string(in.Key)] = append(seen[string(in.Key)], in.Offset)
			return []processor.Record[string]{processor.With(in, fmt.Sprint(in.Offset))}, nil
		}),
		Sink: processor.To(processor.String(), "out"),
	}
	var in []*kgo.Record
	for i := range keys * each {
		in = append(in, &kgo.Record{Topic: "in", Offset: int64(i), Key: fmt.Append(nil, i%keys)})
	}
	go func() {
		for range 2 { // two of them are at work before one is let go
			<-started
		}
		close(release)
	}()
	res, err := processortest.Run(t.Context(), processor.Config{Parallel: 64}, pipe, in...)
	require.NoError(t, err)
	for key, offsets := range seen {
		require.Len(t, offsets, each, key)
		require.True(t, slices.IsSorted(offsets), key)
	}
	for i, r := range res.Produced {
		require.Equal(t, fmt.Sprint(i), string(r.Value))
	}
}

// An error that stops the processor stops the others as well, and is the one that is returned.
func TestParallelStops(t *testing.T) {
	pipe := processor.Pipe[string, string]{
		Source: processor.From(processor.String(), "in"),
		Handle: processor.Each(func(ctx context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
			if in.Offset == 0 {
				return nil, errors.New("the first one fails")
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}),
		Sink: processor.To(processor.String(), "out"),
	}
	var in []*kgo.Record
	for i := range 64 {
		in = append(in, &kgo.Record{Topic: "in", Offset: int64(i), Key: fmt.Append(nil, i)})
	}
	_, err := processortest.Run(t.Context(), processor.Config{Parallel: 8, Errors: processor.Errors{}}, pipe, in...)
	require.EqualError(t, err, "handle record in-0@0: the first one fails")
}

// One handler writes values of several types to several topics, all in one transaction; what it puts into a sink that is not the pipe's is
// an error of the record.
func TestManySinks(t *testing.T) {
	invoices, audit := processor.To(processor.JSON[invoice](), "invoices"), processor.To(processor.String(), "audit")
	elsewhere := processor.To(processor.String(), "elsewhere")
	pipe := processor.Pipe[order, processor.Output]{
		Source: processor.From(processor.JSON[order](), "orders"),
		Handle: processor.Each(func(_ context.Context, in processor.Record[order]) ([]processor.Record[processor.Output], error) {
			if in.Value.Amount == 0 {
				return []processor.Record[processor.Output]{processor.Put(elsewhere, in, "?")}, nil
			}
			return []processor.Record[processor.Output]{
				processor.Put(invoices, in, invoice{in.Value.ID, in.Value.Amount}), processor.Put(audit, in, "billed "+in.Value.ID),
			}, nil
		}),
		Sink: processor.Many(invoices, audit),
	}
	res, err := processortest.Run(t.Context(), processor.Config{}, pipe, rec("a", `{"id":"1","amount":5}`))
	require.NoError(t, err)
	require.Equal(t, []string{`invoices:{"order":"1","total":5}`, "audit:billed 1"}, values(res.Produced))
	require.Equal(t, "a", string(res.Produced[1].Key))
	_, err = processortest.Run(t.Context(), processor.Config{}, pipe, rec("a", `{"id":"1","amount":0}`))
	require.ErrorContains(t, err, "elsewhere is not one of the pipe's")
	pipe.Source.Topics = []string{"audit"}
	_, err = processor.New(processor.Config{BootstrapServers: []string{"x"}, ApplicationID: "a"}, pipe)
	require.ErrorContains(t, err, "audit is both source and sink")
}

// Middleware goes around the handler, the first one outermost.
func TestWrap(t *testing.T) {
	var log []string
	says := func(name string) processor.Middleware[string, string] {
		return func(next processor.Handler[string, string]) processor.Handler[string, string] {
			return func(ctx context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
				log = append(log, name)
				return next(ctx, in)
			}
		}
	}
	h := processor.Wrap(func(context.Context, processor.Record[string]) ([]processor.Record[string], error) {
		log = append(log, "handler")
		return nil, nil
	}, says("outer"), says("inner"))
	_, err := h(t.Context(), processor.Record[string]{})
	require.NoError(t, err)
	require.Equal(t, []string{"outer", "inner", "handler"}, log)
}

// A pipe without a handler copies, also if a variable of a handler's type holds nil. It needs one type for that.
func TestNilHandlersCopy(t *testing.T) {
	var each processor.Handler[string, string]
	var batches processor.BatchHandler[string, string]
	for _, step := range []processor.Step[string, string]{nil, each, batches} {
		pipe := processor.Pipe[string, string]{Source: processor.From(processor.String(), "in"), Handle: step, Sink: processor.To(processor.String(), "out")}
		res, err := processortest.Run(t.Context(), processor.Config{}, pipe, rec("k", "v"))
		require.NoError(t, err)
		require.Equal(t, []string{"out:v"}, values(res.Produced))
	}
	for _, step := range []processor.Step[string, []byte]{nil, processor.Handler[string, []byte](nil)} {
		pipe := processor.Pipe[string, []byte]{Source: processor.From(processor.String(), "in"), Handle: step, Sink: processor.To(processor.Bytes(), "out")}
		_, err := processortest.Run(t.Context(), processor.Config{}, pipe, rec("k", "v"))
		require.ErrorContains(t, err, "no Handle, and its input and output types differ")
	}
}
