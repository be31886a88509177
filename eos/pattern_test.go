package eos_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/logtest"
)

// patterned is a session from all topics that match.
func (b *testBench) patterned(pattern string) eos.Config {
	cfg := b.config()
	cfg.Topics, cfg.TopicPattern = nil, pattern
	cfg.Client = []kgo.Opt{kgo.MetadataMaxAge(100 * time.Millisecond)}
	return cfg
}

// write writes a record to a topic, with its name and a number as value.
func (b *testBench) write(topic string, partition int32, value string) {
	b.t.Helper()
	require.NoError(b.t, b.cl.ProduceSync(b.t.Context(), &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value)}).FirstErr())
}

// A session with a pattern reads every topic whose whole name matches, and from its first record one that is created later; two members do
// so together. Its own outputs it does not read, nor topics that match only in part.
func TestTopicPattern(t *testing.T) {
	t.Parallel()
	b := setup(t, kfake.SeedTopics(2, "orders-a", "orders-b", "orders-out", "old-orders-a", "orders"))
	var log logtest.Buffer
	cfg := b.patterned("orders-.*")
	cfg.Outputs, cfg.Start = []string{"out", "orders-out"}, eos.StartLatest
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	b.write("orders-a", 0, "old")
	s := b.open(cfg)
	require.Contains(t, log.String(), `topics="[orders-a orders-b]" not_read=[orders-out]`)
	other := cfg
	other.TransactionalID, other.Logger = "g-b-0", nil
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	work := func(s *eos.Session) {
		for {
			batch, err := s.Poll(ctx)
			if err == nil {
				err = s.Commit(ctx, batch, copyOf(batch))
			}
			if err != nil && (ctx.Err() != nil || nextOf(err) == eos.Stop) {
				ended <- err
				return
			}
		}
	}
	second := b.open(other)
	go work(s)
	go work(second)
	require.Eventually(t, func() bool { return len(b.committed()) == 4 }, 20*time.Second, 10*time.Millisecond)
	for _, topic := range []string{"orders-a", "orders-b", "orders-out", "old-orders-a", "orders", "in"} {
		b.write(topic, 1, topic)
	}
	_, err := b.adm.CreateTopic(t.Context(), 2, 1, nil, "orders-new")
	require.NoError(t, err)
	b.write("orders-new", 0, "first of new")
	b.write("orders-new", 1, "second of new")
	want := []string{"first of new", "orders-a", "orders-b", "second of new"}
	require.Eventually(t, func() bool { return len(b.committed()) == 6 && len(b.output()) >= len(want) }, 20*time.Second, 10*time.Millisecond)
	stop()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.ErrorIs(t, <-ended, context.Canceled)
	got := b.output()
	slices.Sort(got)
	require.Equal(t, want, got)
}

// A record for a topic that matches the pattern is refused, also while no such topic exists: the pipe would read it. Outputs are the exception.
func TestPatternRefusesItsInputsAsOutputs(t *testing.T) {
	t.Parallel()
	b := setup(t, kfake.SeedTopics(3, "in-out"))
	cfg := b.patterned("in.*")
	cfg.Outputs = []string{"in-out"}
	b.produce(3)
	s := b.open(cfg)
	for topic, refused := range map[string]bool{"in-new": true, "in": true, "in-out": false} {
		batch, err := s.Poll(t.Context())
		require.NoError(t, err)
		err = s.Commit(t.Context(), batch, slices.Values([]*kgo.Record{{Topic: topic, Value: []byte("x")}}))
		if !refused {
			require.NoError(t, err)
			b.produce(3)
			continue
		}
		var rejected *eos.RejectedError
		require.ErrorAs(t, err, &rejected)
		require.ErrorContains(t, err, topic+" is an input topic")
	}
}

// Where no topic matches Open says so, with the pattern. A pattern that is none is a fault of the configuration.
func TestPatternWithoutTopics(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := eos.Open(t.Context(), b.patterned("inn|ou"))
	require.ErrorIs(t, err, eos.ErrNoTopic)
	require.ErrorContains(t, err, `matches the pattern "inn|ou"`)
	require.Equal(t, eos.Stop, nextOf(err))
	for _, wrong := range []string{"in(", "a)(b"} {
		require.ErrorContains(t, b.patterned(wrong).Validate(), `topic pattern "`+wrong+`"`)
	}
	require.NoError(t, b.patterned("in").Validate())
	inputs, err := b.patterned("in|out").Inputs([]string{"inn", "out", "in"})
	require.NoError(t, err)
	require.Equal(t, []string{"in"}, inputs)
}

// A topic that is deleted is said; the session reads the others on, and so does the next one.
func TestPatternTopicDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t, kfake.SeedTopics(1, "in-2"))
	b.produce(3)
	b.write("in-2", 0, "3")
	cfg := b.patterned("in.*")
	said := make(chan string, 100)
	cfg.Logger = slog.New(slog.NewTextHandler(lines(said), nil))
	s := b.open(cfg)
	require.Empty(t, run(t, s, 4))
	_, err := b.adm.DeleteTopic(t.Context(), "in-2")
	require.NoError(t, err)
	for line := ""; !strings.Contains(line, "input topics were deleted"); {
		select {
		case line = <-said:
		case <-time.After(20 * time.Second):
			t.Fatal("nothing is said")
		}
		if strings.Contains(line, "deleted") {
			require.Contains(t, line, "topics=[in-2]")
		}
	}
	b.produceFrom(4, 3)
	run(t, s, 3)
	require.NoError(t, s.Close(t.Context()))
	b.produceFrom(7, 3)
	cfg.Start = eos.StartNone
	b.life(cfg, 3)
	b.requireOnce(10)
}

// lines is a writer of lines to a channel; what there is no room for is left out.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	select {
	case l <- string(p):
	default:
	}
	return len(p), nil
}

// A session with a pattern goes on after it has taken a new client.
func TestPatternAfterANewClient(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.produce(30)
	s := b.open(b.patterned("in"))
	require.Empty(t, run(t, s, 30))
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.InvalidTxnState})
	b.produceFrom(30, 30)
	require.Len(t, run(t, s, 30), 1)
	b.requireOnce(60)
}
