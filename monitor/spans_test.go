package monitor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/eos-pipe/eos-pipe/monitor"
	"github.com/eos-pipe/eos-pipe/processor"
)

// A trace goes on through the pipe: the producer's context comes in the input's header, receive and publish are in its trace, and the
// output carries the publish span's context. Each transaction has one span with what became of it. No span has a key.
func TestSpans(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	require.NoError(t, b.cl.ProduceSync(t.Context(), &kgo.Record{
		Topic: "in", Key: []byte("secret-key"), Value: []byte("1"),
		Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-" + traceID + "-b7ad6b7169203331-01")}},
	}).FirstErr())
	recorded := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(recorded))
	cfg := b.config()
	cfg.UntilEnd = true
	m := monitor.New(monitor.Config{TracerProvider: provider})
	p, err := processor.New(m.Observe(cfg), pipe)
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))

	spans := map[string][]tracetest.SpanStub{}
	for _, s := range recorded.GetSpans() {
		spans[s.Name] = append(spans[s.Name], s)
		for _, a := range s.Attributes {
			require.NotContains(t, a.Value.AsString(), "secret-key", s.Name)
		}
	}
	require.Len(t, spans["in receive"], 1)
	require.Len(t, spans["out publish"], 1)
	receive, publish := spans["in receive"][0], spans["out publish"][0]
	require.Equal(t, traceID, receive.SpanContext.TraceID().String())
	require.Equal(t, "b7ad6b7169203331", receive.Parent.SpanID().String())
	require.Equal(t, traceID, publish.SpanContext.TraceID().String())
	require.Equal(t, receive.SpanContext.SpanID(), publish.Parent.SpanID())

	require.Len(t, spans["app transaction"], 1)
	txn := spans["app transaction"][0]
	has := map[attribute.Key]string{}
	for _, a := range txn.Attributes {
		has[a.Key] = a.Value.String()
	}
	require.Equal(t, "committed", has["eos_pipe.outcome"])
	require.Equal(t, "app-i-0", has["eos_pipe.transactional_id"])
	require.Equal(t, []string{"1", "1"}, []string{has["eos_pipe.records_in"], has["eos_pipe.records_out"]})
	require.NotContains(t, has, attribute.Key("eos_pipe.cause"))
	var states []string
	for _, e := range txn.Events {
		states = append(states, e.Name)
	}
	require.Equal(t, "flushing committing", strings.Join(states, " "))
	require.Equal(t, codes.Unset, txn.Status.Code)
	require.Less(t, txn.EndTime.Sub(txn.StartTime), time.Minute)

	b.requireHeader(t, "traceparent", "00-"+traceID+"-"+publish.SpanContext.SpanID().String()+"-01")
}

// requireHeader fails unless the one record of topic out has one header of that name, with that value.
func (b *testBench) requireHeader(t *testing.T, name, want string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.servers...), kgo.ConsumeTopics("out"), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer cl.Close()
	records := cl.PollRecords(t.Context(), 1).Records()
	require.Len(t, records, 1)
	var got []string
	for _, h := range records[0].Headers {
		if h.Key == name {
			got = append(got, string(h.Value))
		}
	}
	require.Equal(t, []string{want}, got)
}
