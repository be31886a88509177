package processor_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

// What the policies cost a record that can be processed: nothing by default; retries, and a deadline for each call, which a handler that looks
// at its context pays more for.
func BenchmarkProcess(b *testing.B) {
	waits := double
	handle := processor.Map(func(s string) (string, error) { return s + s, nil })
	waits.Handle = processor.Each(func(ctx context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		default:
			return handle(ctx, in)
		}
	})
	timeout := processor.Config{Errors: processor.Errors{HandlerTimeout: 30 * time.Second}}
	for _, c := range []struct {
		name string
		pipe processor.Pipe[string, string]
		opts processor.Config
	}{
		{"default", double, processor.Config{}},
		{"retries", double, processor.Config{DeadLetterTopic: "dead", Errors: processor.Errors{Policy: processor.DeadLetterOnError, Retries: 3}}},
		{"timeout", double, timeout},
		{"timeout and Done", waits, timeout},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			const n = 1000
			for range b.N / n {
				in := make([]*kgo.Record, n)
				for i := range in {
					in[i] = &kgo.Record{Topic: "in", Offset: int64(i), Value: []byte("value")}
				}
				if _, err := processortest.Run(b.Context(), c.opts, c.pipe, in...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
