package main

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/jq"
	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

// What a record costs between Poll and Commit: copied as it is, and through --map, without a handler timeout and with run's default.
func BenchmarkPipe(b *testing.B) {
	mapping, err := jq.Compile(".")
	require.NoError(b, err)
	for _, c := range []struct {
		name string
		opts runOptions
	}{
		{"copy", runOptions{OnError: "stop"}},
		{"copy with timeout", runOptions{OnError: "stop", HandlerTimeout: 30 * time.Second}},
		{"map", runOptions{OnError: "stop", Map: mapping}},
		{"map with timeout", runOptions{OnError: "stop", Map: mapping, HandlerTimeout: 30 * time.Second}},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.opts.From, c.opts.To = []string{"in"}, "out"
			opts := processor.Config{Errors: c.opts.config(slog.New(slog.DiscardHandler)).Errors}
			pipe := c.opts.pipe()
			in := make([]*kgo.Record, 1000)
			b.ReportAllocs()
			for b.Loop() {
				for i := range in {
					in[i] = &kgo.Record{Topic: "in", Offset: int64(i), Value: []byte(`{"amount":120.50,"currency":"EUR"}`)}
				}
				_, err := processortest.Run(b.Context(), opts, pipe, in...)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(in)), "ns/record")
		})
	}
}
