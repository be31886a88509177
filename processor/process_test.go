package processor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

type order struct {
	ID     string `json:"id"`
	Amount int    `json:"amount"`
}

type invoice struct {
	Order string `json:"order"`
	Total int    `json:"total"`
}

var billing = processor.Pipe[order, invoice]{
	Source: processor.From(processor.JSON[order](), "orders"),
	Handle: processor.Map(func(o order) (invoice, error) {
		switch {
		case o.Amount == 0:
			return invoice{}, processor.Skip(errors.New("nothing to bill"))
		case o.Amount < 0:
			return invoice{}, processor.DeadLetter(errors.New("negative amount"))
		case o.Amount > 1_000_000:
			return invoice{}, errors.New("too much")
		}
		return invoice{Order: o.ID, Total: o.Amount * 2}, nil
	}),
	Sink: processor.To(processor.JSON[invoice](), "invoices"),
}

func rec(key, value string) *kgo.Record {
	return &kgo.Record{Key: []byte(key), Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(key)}}}
}

// A pipe's outputs keep key and headers, and stand in the order of their inputs; a skipped record leaves no output, a
// dead letter goes to its topic as it came, with the reason and its place in headers.
func TestPipe(t *testing.T) {
	res, err := processortest.Run(t.Context(), processor.Config{}, billing,
		rec("a", `{"id":"1","amount":5}`), rec("b", `{"id":"2","amount":0}`), rec("c", `{"id":"3","amount":-1}`), rec("d", `{"id":"4","amount":7}`))
	require.NoError(t, err)
	require.Len(t, res.Outputs, 2)
	require.Equal(t, invoice{"1", 10}, res.Outputs[0].Value)
	require.Equal(t, invoice{"4", 14}, res.Outputs[1].Value)
	require.Equal(t, "a", string(res.Outputs[0].Key))
	require.Equal(t, "a", string(res.Outputs[0].Headers[0].Value))
	require.Equal(t, "invoices", res.Outputs[1].To)
	require.Equal(t, 1, res.Skipped)
	require.Len(t, res.DeadLetters, 1)
	require.JSONEq(t, `{"id":"3","amount":-1}`, string(res.DeadLetters[0].Value))
	info, ok := processor.DeadLetterOf(res.DeadLetters[0].Headers)
	require.True(t, ok)
	require.Equal(t, "negative amount", info.Message)
	require.Equal(t, "orders-0@2", fmt.Sprintf("%v@%d", info.Partition, info.Offset))
}

// A record that cannot be decoded, handled or encoded stops the processor with an error that names it.
func TestPipeErrorsNameTheRecord(t *testing.T) {
	for _, c := range []struct{ value, stage string }{
		{`{"id":"1","amount":"five"}`, "decode record orders-0@1"},
		{`{"id":"1","amount":2}{}`, "decode record orders-0@1"},
		{`{"id":"1","amount":2000000}`, "handle record orders-0@1: too much"},
	} {
		_, err := processortest.Run(t.Context(), processor.Config{}, billing, rec("a", `{"amount":1}`), rec("b", c.value))
		var failed *processor.RecordError
		require.ErrorAs(t, err, &failed)
		require.Contains(t, err.Error(), c.stage)
		require.EqualValues(t, 1, failed.Offset)
	}
}

// A handler that panics stops the processor with the record's name, not the process.
func TestPipeRecoversPanics(t *testing.T) {
	p := processor.Pipe[string, string]{
		Source: processor.From(processor.String(), "in"),
		Handle: processor.Each(func(context.Context, processor.Record[string]) ([]processor.Record[string], error) { panic("boom") }),
		Sink:   processor.To(processor.String(), "out"),
	}
	_, err := processortest.Run(t.Context(), processor.Config{}, p, rec("a", "x"))
	var panicked *processor.PanicError
	require.ErrorAs(t, err, &panicked)
	require.Equal(t, "boom", panicked.Value)
	require.Contains(t, string(panicked.Stack), "process_test.go")
}

// Several outputs of one record: each is a record of its own, though the fetched record is used again for the first.
func TestPipeFanOut(t *testing.T) {
	split := func(_ context.Context, in processor.Record[string]) (outs []processor.Record[string], _ error) {
		for word := range strings.FieldsSeq(in.Value) {
			outs = append(outs, processor.With(in, word))
		}
		return outs, nil
	}
	upper := processor.Map(func(s string) (string, error) { return strings.ToUpper(s), nil })
	p := processor.Pipe[string, string]{
		Source: processor.From(processor.String(), "in"), Handle: processor.Then(split, upper), Sink: processor.To(processor.String(), "out"),
	}
	made, err := processortest.Run(t.Context(), processor.Config{Provenance: true}, p, &kgo.Record{Topic: "in", Partition: 2, Offset: 7, Key: []byte("k"), Value: []byte("one two three")})
	require.NoError(t, err)
	require.Len(t, made.Produced, 3)
	for i, want := range []string{"ONE", "TWO", "THREE"} {
		r := made.Produced[i]
		require.Equal(t, want, string(r.Value))
		require.Equal(t, "k", string(r.Key))
		require.Equal(t, "out", r.Topic)
		require.EqualValues(t, 2, r.Partition)
		require.Len(t, r.Headers, 1)
		from, ok := processor.ProvenanceOf(r)
		require.True(t, ok)
		require.Equal(t, processor.Provenance{Partition: from.Partition, Offset: 7, Index: i, Count: 3}, from)
		require.Equal(t, "in-2", from.Partition.String())
	}
}

// Without a handler the record goes through as it is: bytes, key, headers, timestamp, and a tombstone stays one.
func TestPipeThrough(t *testing.T) {
	p := processor.Pipe[[]byte, []byte]{Source: processor.From(processor.Bytes(), "in"), Sink: processor.To(processor.Bytes(), "out")}
	in := []*kgo.Record{rec("k", "\xff\x00"), {Key: []byte("t")}}
	made, err := processortest.Run(t.Context(), processor.Config{}, p, in...)
	require.NoError(t, err)
	require.Equal(t, "\xff\x00", string(made.Produced[0].Value))
	require.Nil(t, made.Produced[1].Value)
	require.Same(t, in[0], made.Produced[0])
}

// Text of the provenance header: what String writes, ParseProvenance reads; everything else is refused.
func TestProvenance(t *testing.T) {
	for _, text := range []string{"orders-3@1234 0/1", "a-b-c-0@0 4/5"} {
		p, err := processor.ParseProvenance([]byte(text))
		require.NoError(t, err)
		require.Equal(t, text, p.String())
	}
	for _, text := range []string{"", "orders", "orders-3@x 0/1", "orders-3@1", "orders-3@1 1/1", "orders-3@-1 0/1", "orders@1 0/1", "orders-3@1 0/1/2"} {
		_, err := processor.ParseProvenance([]byte(text))
		require.Error(t, err, text)
	}
}
