package processor_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/processor"
)

// What the policies cost a record that can be processed: nothing by default; retries, and a deadline for each call, which a handler that looks
// at its context pays more for.
func BenchmarkProcess(b *testing.B) {
	waits := double
	waits.Handle = func(ctx context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		default:
			return double.Handle(ctx, in)
		}
	}
	timeout := processor.Options{Errors: processor.Errors{HandlerTimeout: 30 * time.Second}}
	for _, c := range []struct {
		name string
		pipe processor.Pipe[string, string]
		opts processor.Options
	}{
		{"default", double, processor.Options{}},
		{"retries", double, processor.Options{DeadLetterTopic: "dead", Errors: processor.Errors{Policy: processor.DeadLetterOnError, Retries: 3}}},
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
				if _, err := c.pipe.Process(b.Context(), in, c.opts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
