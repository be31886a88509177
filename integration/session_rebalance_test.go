package integration

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// Sessions join and leave, in order and by crash, while work is done: nothing is lost or doubled.
func TestSessionRebalancesDuringWork(t *testing.T) {
	b := newSessionBench(t)
	cfg := b.config("a")
	cfg.MaxRecords = 100
	first := b.work(b.open(cfg))
	for round := range 4 {
		b.write(3000)
		cfg, tap := b.tapped(fmt.Sprint("guest-", round))
		cfg.MaxRecords = 100
		cfg.SessionTimeout = 1500 * time.Millisecond
		cfg.TransactionTimeout = 2 * time.Second
		s := b.open(cfg)
		guest := b.work(s)
		b.eventually("the guest works", func() bool { return guest.commits.Load() > 0 })
		if round%2 == 1 {
			tap.Cut() // kill -9
			guest.cancel()
			guest.kill()
			continue
		}
		guest.stop(t)
		require.NoError(t, s.Close(t.Context()))
	}
	b.requireOnce()
	first.stop(t)
}

// A rebalance wholly between two transactions does not abort the next one.
func TestSessionStaleRebalanceDoesNotAbort(t *testing.T) {
	b := newSessionBench(t)
	b.write(300)
	cfg := b.config("a")
	cfg.SessionTimeout = 3 * time.Second // a heartbeat a second, which is how it hears of the others
	s := b.open(cfg)
	require.Empty(t, b.copy(s, 300))
	second := b.open(b.config("b"))
	ctx, cancel := context.WithCancel(t.Context())
	polled := make(chan error, 1)
	go func() { // keeps the first in the group while the second joins
		_, err := s.Poll(ctx)
		polled <- err
	}()
	b.eventually("the group has two members", func() bool { return b.members() == 2 })
	cancel()
	require.ErrorIs(t, <-polled, context.Canceled)
	require.NoError(t, second.Close(t.Context()))
	b.write(300)
	require.Empty(t, b.copy(s, 300), "no transaction is aborted for a rebalance before it")
	b.requireOnce()
}

// A session whose JoinGroup is held up is given up by the group, and another one processes all of its partitions. The JoinGroup is answered
// with UNKNOWN_MEMBER_ID then: the client joins again as a new member, and keeps what it had fetched before. A batch of it is not committed
// as that new member, though the group's coordinator would take its offsets.
func TestSessionGivenUpByTheGroup(t *testing.T) {
	b := newSessionBench(t)
	b.comeBack(3*time.Second, func(*sessionWorker) { b.caughtUp() })
	b.requireOnce()
}

// The same where the JoinGroup arrives before the group gives the member up, but after a generation has begun without it, which a static
// member survives with its member id.
func TestSessionMissesAGeneration(t *testing.T) {
	b := newSessionBench(t)
	b.comeBack(9*time.Second, func(second *sessionWorker) {
		b.eventually("the second works", func() bool { return second.commits.Load() > 0 })
	})
	b.requireOnce()
}

// comeBack has two sessions work. The JoinGroup of the first is held up while the second joins, until the group has gone on without the first;
// then it has a batch from before, which it may not commit.
func (b *sessionBench) comeBack(sessionTimeout time.Duration, wentOn func(second *sessionWorker)) {
	t := b.t
	t.Helper()
	b.write(30)
	var synced atomic.Int32 // answers to SyncGroup: by the second one, the client is in the group again
	var heartbeats atomic.Int32
	tap := tapFor(t, wiretap.Observe(func(e wiretap.Event) {
		if e.API == kmsg.SyncGroup && e.Phase == wiretap.PhaseReply {
			synced.Add(1)
		}
		if e.API == kmsg.Heartbeat && e.Phase == wiretap.PhaseReply {
			heartbeats.Add(1)
		}
	}))
	cfg := b.config("a")
	cfg.Client = []kgo.Opt{kgo.Dialer(tap.Dial), sessionFastRetries}
	cfg.SessionTimeout, cfg.TransactionTimeout = sessionTimeout, 3*time.Second
	a := b.open(cfg)
	b.copy(a, 30)
	held := tap.Add(wiretap.Rule{API: kmsg.JoinGroup, Action: wiretap.HoldRequest})
	polled := make(chan eos.Batch, 1)
	go func() {
		defer close(polled)
		if batch, err := a.Poll(t.Context()); err == nil {
			polled <- batch
		}
	}()
	before := heartbeats.Load() // behind a heartbeat the most time is left until the next one, which says that it is to join again
	b.eventually("a heartbeat", func() bool { return heartbeats.Load() > before })
	other := b.config("b")
	other.SessionTimeout, other.TransactionTimeout = cfg.SessionTimeout, cfg.TransactionTimeout
	second := b.work(b.open(other)) // the group waits for a, and then goes on without it
	b.await(held.Reached(), "a wants to join again")
	b.write(30)
	batch := <-polled
	require.NotEmpty(t, batch.Records)
	wentOn(second)
	held.Release()
	b.eventually("a has joined again", func() bool { return synced.Load() > 1 })
	err := a.Commit(t.Context(), batch, b.copies(batch))
	require.Error(t, err)
	t.Log(err)
	require.Equal(t, eos.PollAgain, sessionNext(err))
	first := b.work(a)
	b.write(300)
	b.caughtUp()
	first.stop(t)
	second.stop(t)
}

// members returns how many members the group has if it is stable, else 0.
func (b *sessionBench) members() int {
	b.t.Helper()
	groups, err := b.adm.DescribeGroups(b.t.Context(), b.group)
	require.NoError(b.t, err)
	if groups[b.group].State != "Stable" {
		return 0
	}
	return len(groups[b.group].Members)
}
