package processor_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/processor"
)

// What the policies cost a record that can be processed: nothing by default; retries and a deadline for each call, beside it.
func BenchmarkProcess(b *testing.B) {
	for _, c := range []struct {
		name string
		opts processor.Options
	}{
		{"default", processor.Options{}},
		{"retries", processor.Options{DeadLetterTopic: "dead", Errors: processor.Errors{Policy: processor.DeadLetterOnError, Retries: 3}}},
		{"timeout", processor.Options{Errors: processor.Errors{HandlerTimeout: 30 * time.Second}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			const n = 1000
			for range b.N / n {
				in := make([]*kgo.Record, n)
				for i := range in {
					in[i] = &kgo.Record{Topic: "in", Offset: int64(i), Value: []byte("value")}
				}
				if _, err := double.Process(b.Context(), in, c.opts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
