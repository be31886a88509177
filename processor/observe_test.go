package processor_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/processor"
)

// Observer.Lane is told that each lane starts, all before any ends, and of each lane how it ended: drained, or with its error.
func TestRunTellsLanes(t *testing.T) {
	b := setup(t)
	b.produce(100)
	var mu sync.Mutex
	var events []processor.LaneEvent
	cfg := b.config()
	cfg.Lanes = 2
	cfg.Observer.Lane = func(e processor.LaneEvent) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	}
	p, err := processor.New(cfg, double)
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.Len(t, events, 4)
	require.Equal(t, []processor.LaneEvent{
		{Lane: 0, TransactionalID: "app-i-0"}, {Lane: 1, TransactionalID: "app-i-1"},
	}, events[:2])
	for _, e := range events[2:] {
		require.True(t, e.Ended)
		require.NoError(t, e.Err)
	}

	b.produce(100)
	events = nil
	cfg.Lanes = 1
	pipe := double
	poison := errors.New("poison")
	pipe.Handle = processor.Map(func(string) (string, error) { return "", poison })
	p, err = processor.New(cfg, pipe)
	require.NoError(t, err)
	err = p.Run(t.Context())
	require.ErrorContains(t, err, "nothing of its batch is committed: handle record in-")
	require.NotContains(t, err.Error(), "lane", "there is only one")
	require.Len(t, events, 2)
	require.ErrorIs(t, events[1].Err, poison)
}

type contextKey struct{}

// tracing is a hook that gives every fetched record a context, and notes those of the records produced.
type tracing struct {
	mu  sync.Mutex
	got map[any]int
}

func (h *tracing) OnFetchRecordBuffered(r *kgo.Record) {
	r.Context = context.WithValue(context.Background(), contextKey{}, string(r.Value))
}

func (h *tracing) OnProduceRecordBuffered(r *kgo.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got[r.Context.Value(contextKey{})]++
}

// A context that a hook of the client has given an input record reaches all outputs made of it, the second and the dead letter too.
func TestRunHandsOnContexts(t *testing.T) {
	b := setup(t)
	b.produce(2)
	h := &tracing{got: map[any]int{}}
	cfg := b.config()
	cfg.DeadLetterTopic = "dead"
	cfg.Session.Client = []kgo.Opt{kgo.WithHooks(h)}
	pipe := double
	pipe.Handle = processor.Each(func(_ context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
		if in.Value == "1" {
			return nil, processor.DeadLetter(nil)
		}
		return []processor.Record[string]{in, in}, nil
	})
	p, err := processor.New(cfg, pipe)
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.Equal(t, map[any]int{"0": 2, "1": 1}, h.got)
}
