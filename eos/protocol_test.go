package eos_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// consumers is a bench whose brokers have a short heartbeat in the consumer protocol, and the config of a session with it.
func consumers(t *testing.T) (*testBench, eos.Config) {
	t.Helper()
	b := setup(t, kfake.BrokerConfigs(map[string]string{
		"group.consumer.heartbeat.interval.ms": "100", "group.consumer.min.heartbeat.interval.ms": "100",
	}))
	cfg := b.config()
	cfg.GroupProtocol = eos.ConsumerProtocol
	return b, cfg
}

// work polls and commits until ctx ends or the session stops; it returns how many records it committed, and why it stopped.
func work(ctx context.Context, s *eos.Session) (n int, err error) {
	for ctx.Err() == nil {
		batch, err := s.Poll(ctx)
		if err == nil {
			err = s.Commit(context.WithoutCancel(ctx), batch, copyOf(batch))
		}
		switch {
		case err == nil:
			n += len(batch.Records)
		case ctx.Err() == nil && nextOf(err) != eos.PollAgain:
			return n, err
		}
	}
	return n, nil
}

// In the consumer protocol the brokers assign: sessions share the partitions, the Observer is told, and what a session has leaves with it.
func TestConsumerProtocol(t *testing.T) {
	b, cfg := consumers(t)
	a := &assignments{changed: make(chan struct{}, 1), newest: map[string][]offsets.Partition{}}
	cfg.MaxRecords, cfg.Observer.Assigned = 100, a.note
	b.produce(3000)
	first := b.open(cfg)
	require.Empty(t, run(t, first, 300))
	group, err := b.adm.DescribeConsumerGroups(t.Context(), "g")
	require.NoError(t, err)
	require.NoError(t, group["g"].Err, "it is a group of the consumer protocol")
	a.await(t, 3)

	cfg.TransactionalID = "g-a-1"
	second := b.open(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	counted := make(chan int, 2)
	for _, s := range []*eos.Session{first, second} {
		go func() {
			n, err := work(ctx, s)
			counted <- n
			require.NoError(t, err)
		}()
	}
	a.await(t, 1, 2)
	want := "in-0=1000 in-1=1000 in-2=1000"
	require.Eventually(t, func() bool { return b.committed().String() == want }, 40*time.Second, 20*time.Millisecond)
	cancel()
	require.Equal(t, 2700, <-counted+<-counted)
	require.NoError(t, second.Close(t.Context()))
	b.produceFrom(3000, 30)
	run(t, first, 30) // it has all partitions again
	a.mu.Lock()
	require.Len(t, a.newest["g-a-0"], 3)
	a.mu.Unlock()
	b.requireOnce(3030)
}

// A rebalance does not wait for a batch of the consumer protocol. If it takes partitions away, the batch is aborted and given back.
func TestConsumerProtocolRebalancesAtOnce(t *testing.T) {
	b, cfg := consumers(t)
	b.produce(30)
	tapped, tap := b.tapped()
	cfg.Client = tapped.Client
	first := b.open(cfg)
	batch, err := first.Poll(t.Context())
	require.NoError(t, err)
	cfg.TransactionalID, cfg.Client = "g-a-1", nil
	second := b.open(cfg)
	got, err := second.Poll(t.Context()) // while the batch is out
	require.NoError(t, err)
	require.NoError(t, second.Commit(t.Context(), got, copyOf(got)))
	group, err := b.adm.DescribeConsumerGroups(t.Context(), "g")
	require.NoError(t, err)
	require.Len(t, group["g"].Members, 2, "the first was not given up for it")
	err = first.Commit(t.Context(), batch, copyOf(batch))
	require.Equal(t, eos.PollAgain, nextOf(err), "%v", err)
	require.Zero(t, tap.Count(kmsg.Produce), "what cannot be committed is not produced")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, s := range []*eos.Session{first, second} {
		go func() { _, _ = work(ctx, s) }()
	}
	require.Eventually(t, func() bool { return b.committed().String() == "in-0=10 in-1=10 in-2=10" }, 40*time.Second, 20*time.Millisecond)
	b.requireOnce(30)
}

// A session that comes back where its predecessor was killed does not wait until the group has given that up: it takes it out, after it has
// fenced its transaction.
func TestConsumerProtocolRestart(t *testing.T) {
	b, cfg := consumers(t)
	b.produce(300)
	tapped, tap := b.tapped()
	cfg.TransactionTimeout = time.Minute
	dead := cfg
	dead.Client = tapped.Client
	killed := b.open(dead)
	held := tap.Hold(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.HoldRequest})
	batch, err := killed.Poll(t.Context())
	require.NoError(t, err)
	ctx, kill := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- killed.Commit(ctx, batch, copyOf(batch)) }()
	<-held.Reached()
	tap.Cut()

	began := time.Now()
	s := b.open(cfg)
	require.Empty(t, run(t, s, 300))
	require.Less(t, time.Since(began), 20*time.Second, "well below the brokers' session timeout of 45 s")
	b.requireOnce(300)
	kill()
	require.Error(t, <-ended)
}

// Of two sessions with the same ids the second one goes on, and the first stops and says why, also while it has nothing to do.
func TestConsumerProtocolFences(t *testing.T) {
	b, cfg := consumers(t)
	first := b.open(cfg)
	stopped := make(chan error, 1)
	go func() {
		_, err := work(t.Context(), first)
		stopped <- err
	}()
	b.produce(30)
	require.Eventually(t, func() bool { return b.committed().String() == "in-0=10 in-1=10 in-2=10" }, 40*time.Second, 20*time.Millisecond)
	second := b.open(cfg)
	// It works from the start: where the first one's client joins again between being taken out and the second's join, it is the second's poll
	// that hears of it, and takes the first one out once more.
	ctx, end := context.WithCancel(t.Context())
	defer end()
	went := make(chan error, 1)
	go func() {
		_, err := work(ctx, second)
		went <- err
	}()
	select {
	case err := <-stopped:
		require.ErrorIs(t, err, eos.ErrFenced)
	case <-time.After(40 * time.Second):
		require.FailNow(t, "the first session goes on")
	}
	b.produceFrom(30, 30)
	require.Eventually(t, func() bool { return b.committed().String() == "in-0=20 in-1=20 in-2=20" }, 40*time.Second, 20*time.Millisecond)
	end()
	require.NoError(t, <-went)
	b.requireOnce(60)
}

// Brokers that do not know the consumer protocol, and balancers that are not the brokers', are refused: franz-go would go back to the classic
// protocol without a word.
func TestConsumerProtocolIsRefused(t *testing.T) {
	b := setup(t, kfake.MaxVersions(kversion.V3_9_0()))
	cfg := b.config()
	cfg.GroupProtocol = eos.ConsumerProtocol
	_, err := eos.Open(t.Context(), cfg)
	require.ErrorIs(t, err, eos.ErrUnsupported)
	require.ErrorContains(t, err, "KIP-848")

	b, cfg = consumers(t)
	cfg.Client = []kgo.Opt{kgo.Balancers(kgo.RoundRobinBalancer())}
	_, err = eos.Open(t.Context(), cfg)
	require.ErrorContains(t, err, "Balancers is refused")
	cfg.Client = []kgo.Opt{kgo.Balancers(kgo.RangeBalancer())}
	b.produce(3)
	require.Empty(t, errors.Join(run(t, b.open(cfg), 3)...))
	group, err := b.adm.DescribeConsumerGroups(t.Context(), "g")
	require.NoError(t, err)
	require.Equal(t, "range", fmt.Sprint(group["g"].AssignorName))
	require.ErrorContains(t, eos.Config{Tuning: eos.Tuning{GroupProtocol: 7}}.Validate(), "GroupProtocol(7)")
}
