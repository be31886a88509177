package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Sessions join and leave, in order and by crash, while work is done: nothing is lost or doubled.
func TestSessionRebalancesDuringWork(t *testing.T) {
	protocols(t, func(b *sessionBench) { b.rebalancesDuringWork() })
}

func (b *sessionBench) rebalancesDuringWork() {
	t := b.t
	t.Helper()
	cfg := b.config("a")
	cfg.MaxRecords = 100
	first := b.work(b.open(cfg))
	for round := range 4 {
		b.write(3000)
		cfg, tap := b.tapped(fmt.Sprint("guest-", round))
		cfg.MaxRecords = 100
		b.sessionTimeout(&cfg, 1500*time.Millisecond)
		cfg.TransactionTimeout = 2 * time.Second
		s := b.open(cfg)
		guest := b.work(s)
		b.works(guest)
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
