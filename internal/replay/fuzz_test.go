package replay

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/processor"
)

// FuzzLetter takes any headers, which any program may have written into the topic of dead letters: a record that is
// made of them goes to a topic that was named, and to a partition; it has the letter's key and value, and those of its
// headers that are the record's own, in their order. Everything else is an error.
func FuzzLetter(f *testing.F) {
	for _, seed := range [][]string{
		own("orders"), own("other"), own("orders", "eos-pipe-dlq-first-offset=3"), own("orders", own("refunds")...),
		{"__dlq.errors.topic=orders", "__dlq.errors.partition=1", "__dlq.errors.offset=9", "h=1"},
		{"__streams.errors.topic=orders", "__streams.errors.partition=-1", "__streams.errors.offset=9"},
		{"__connect.errors.topic=orders", "__connect.errors.partition=4294967297", "__connect.errors.offset=9"},
		{
			"kafka_dlt-original-topic=orders", "kafka_dlt-original-partition=\x00\x00\x00\x01",
			"kafka_dlt-original-offset=\x00\x00\x00\x00\x00\x00\x00\x02",
			"kafka_dlt-original-timestamp=\xff\x00\x00\x00\x00\x00\x00\x02",
		},
		append([]string{"__dlq.errors.topic=orders", "__dlq.errors.partition=2", "__dlq.errors.offset=7"}, own("orders")...),
	} {
		f.Add([]byte(strings.Join(seed, "\n")))
	}
	r := &reviver{to: []string{"orders", "refunds"}, log: slog.New(slog.DiscardHandler)}
	f.Fuzz(func(t *testing.T, headers []byte) {
		in := processor.Record[[]byte]{Key: []byte("k"), Value: []byte("v"), Topic: "dead"}
		for line := range bytes.SplitSeq(headers, []byte("\n")) {
			name, value, _ := bytes.Cut(line, []byte("="))
			in.Headers = append(in.Headers, kgo.RecordHeader{Key: string(name), Value: value})
		}
		before := slices.Clone(in.Headers)
		outs, err := r.revive(t.Context(), in)
		require.Equal(t, before, in.Headers, "the letter itself is not changed")
		if err != nil {
			require.Empty(t, outs)
			return
		}
		require.Len(t, outs, 1)
		out := outs[0]
		require.Contains(t, r.to, out.To)
		require.GreaterOrEqual(t, out.Partition, int32(0))
		require.Equal(t, []any{in.Key, in.Value}, []any{out.Key, out.Value})
		requireOwn(t, in.Headers, out.Headers)
	})
}

// requireOwn checks that left is a part of all, in order, and that no header of the kind that made it a dead letter is
// in it.
func requireOwn(t *testing.T, all, left []kgo.RecordHeader) {
	t.Helper()
	rest := all
	for _, h := range left {
		isIt := func(o kgo.RecordHeader) bool { return o.Key == h.Key && bytes.Equal(o.Value, h.Value) }
		at := slices.IndexFunc(rest, isIt)
		require.GreaterOrEqual(t, at, 0, "header %s=%q is new, or out of order", h.Key, h.Value)
		rest = rest[at+1:]
	}
	if writer, _ := processor.DeadLetterWriter(processor.Record[[]byte]{Headers: all}); writer == "eos-pipe" {
		for _, h := range left {
			require.NotEqual(t, processor.DeadLetterTopicHeader, h.Key)
		}
	}
}
