package jq

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/processor"
)

// A record that the filter leaves out has no output; what it keeps goes through the map, or stays as it is. An error
// names the flag of the program that failed.
func TestTransform(t *testing.T) {
	t.Parallel()
	in := Record{Key: []byte("k"), Value: []byte(`{"n": 1}`), Topic: "in", Headers: []Header{{Key: "h", Value: []byte("v")}}}
	apply := func(filter, mapping *Program) []Record {
		outs, err := Transform{Filter: filter, Map: mapping}.Apply(t.Context(), in)
		require.NoError(t, err)
		return outs
	}
	require.Equal(t, []Record{in}, apply(nil, nil))
	require.Equal(t, []Record{in}, apply(mustCompile(t, ".value.n == 1"), nil))
	require.Empty(t, apply(mustCompile(t, ".value.n == 2"), mustCompile(t, `error("not called")`)))
	outs := apply(nil, mustCompile(t, `.value.n = 2, .topic = "other"`))
	require.Len(t, outs, 2)
	require.JSONEq(t, `{"n":2}`, string(outs[0].Value))
	require.Equal(t, "other", outs[1].To)

	bad := mustCompile(t, `error("bad")`)
	_, err := Transform{Filter: bad}.Apply(t.Context(), in)
	require.ErrorContains(t, err, "--filter: ")
	_, err = Transform{Map: bad}.Apply(t.Context(), in)
	require.ErrorContains(t, err, "--map: ")
}

// In a pipe an output has what the program sets, and the timestamp and place of its input.
func TestTransformHandles(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1000)
	in := processor.Record[[]byte]{
		Key: []byte("k"), Value: []byte("1"), Headers: []processor.Header{{Key: "h", Value: []byte("v")}},
		Topic: "in", Partition: 2, Offset: 7, Timestamp: at,
	}
	mapping := mustCompile(t, `., (.key = "\(.partition)@\(.offset)" | .headers = {a: "b"} | .topic = "other"), (.headers = {})`)
	outs, err := Transform{Map: mapping}.Handle(t.Context(), in)
	require.NoError(t, err)
	require.Len(t, outs, 3)
	require.Equal(t, in, outs[0])
	want := in
	want.Key, want.Headers, want.To = []byte("2@7"), []processor.Header{{Key: "a", Value: []byte("b")}}, "other"
	require.Equal(t, want, outs[1])
	require.Empty(t, outs[2].Headers)

	outs, err = Transform{Filter: mustCompile(t, "false")}.Handle(t.Context(), in)
	require.NoError(t, err)
	require.Empty(t, outs)
	_, err = Transform{Filter: mustCompile(t, `error("bad")`)}.Handle(t.Context(), in)
	require.ErrorContains(t, err, "--filter: ")
}

// A program sees a fetched record with all that it has.
func TestFromKafka(t *testing.T) {
	t.Parallel()
	r := &kgo.Record{
		Key: []byte("k"), Value: []byte("1"), Headers: []kgo.RecordHeader{{Key: "h"}},
		Topic: "in", Partition: 2, Offset: 7, Timestamp: time.UnixMilli(1000),
	}
	require.Equal(t, Record{
		Key: r.Key, Value: r.Value, Headers: r.Headers, Topic: "in", Partition: 2, Offset: 7, Timestamp: r.Timestamp,
	}, FromKafka(r))
}
