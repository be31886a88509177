package monitor

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kotel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/eos-pipe/eos-pipe/eos"
)

// spans traces. Spans of records are kotel's: receive and publish, tied together by the context in the records' headers, which the
// processor hands on from an input to its outputs. Beside them is one span of each transaction.
type spans struct {
	tracer  trace.Tracer
	group   string
	records kgo.Hook

	mu   sync.Mutex
	open map[string]trace.Span // by transactional id
}

func newSpans(provider trace.TracerProvider, group string) *spans {
	return &spans{
		tracer: provider.Tracer("github.com/eos-pipe/eos-pipe/monitor"), group: group, open: map[string]trace.Span{},
		records: kotel.NewTracer(kotel.TracerProvider(provider), kotel.TracerPropagator(propagation.TraceContext{}), kotel.ConsumerGroup(group),
			kotel.KeyFormatter(func(*kgo.Record) (string, error) { return "", errNoKeys })),
	}
}

// errNoKeys keeps kotel from putting the records' keys into spans.
var errNoKeys = errors.New("keys are not traced")

func (s *spans) observer() eos.Observer {
	return eos.Observer{Transition: s.transition, Transaction: s.transaction}
}

// transition begins the span of a transaction, and notes the states that it goes through.
func (s *spans) transition(t eos.Transition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.To == eos.InTxn {
		_, s.open[t.TransactionalID] = s.tracer.Start(context.Background(), s.group+" transaction", trace.WithAttributes(
			attribute.String("messaging.system", "kafka"),
			attribute.String("messaging.consumer.group.name", s.group),
			attribute.String("eos_pipe.transactional_id", t.TransactionalID),
			attribute.Int64("eos_pipe.txn", int64(t.Txn)),
		))
		return
	}
	if span := s.open[t.TransactionalID]; span != nil {
		span.AddEvent(t.To.String())
	}
}

// transaction ends it.
func (s *spans) transaction(t eos.Transaction) {
	s.mu.Lock()
	defer s.mu.Unlock()
	span := s.open[t.TransactionalID]
	if span == nil {
		return
	}
	delete(s.open, t.TransactionalID)
	span.SetAttributes(
		attribute.String("eos_pipe.outcome", t.Outcome.String()),
		attribute.Int("eos_pipe.records_in", t.In), attribute.Int("eos_pipe.records_out", t.Out),
		attribute.Int("eos_pipe.in_bytes", t.Bytes), attribute.Int("eos_pipe.out_bytes", t.OutBytes),
		attribute.Int64("eos_pipe.flush_ms", t.Flush.Milliseconds()), attribute.Int64("eos_pipe.end_ms", t.End.Milliseconds()),
	)
	if t.Err != nil {
		span.SetAttributes(attribute.String("eos_pipe.cause", string(eos.CauseOf(t.Err))))
	}
	if t.Outcome != eos.Committed {
		span.SetStatus(codes.Error, t.Outcome.String())
	}
	span.End(trace.WithTimestamp(time.Now()))
}
