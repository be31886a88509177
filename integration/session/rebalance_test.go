package session

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
)

// Sessions join and leave, in order and by crash, while work is done: nothing is lost or doubled.
func TestSessionRebalancesDuringWork(t *testing.T) {
	bench.Protocols(t, func(b *bench.Bench) { rebalancesDuringWork(b) })
}

func rebalancesDuringWork(b *bench.Bench) {
	t := b.T
	t.Helper()
	cfg := b.Config("a")
	cfg.MaxRecords = 100
	first := b.Work(b.Open(cfg))
	for round := range 4 {
		b.Write(3000)
		cfg, tap := b.Tapped(fmt.Sprint("guest-", round))
		cfg.MaxRecords = 100
		b.SessionTimeout(&cfg, 1500*time.Millisecond)
		cfg.TransactionTimeout = 2 * time.Second
		s := b.Open(cfg)
		guest := b.Work(s)
		b.Works(guest)
		if round%2 == 1 {
			tap.Cut() // kill -9
			guest.Cancel()
			guest.Kill()
			continue
		}
		guest.Stop(t)
		require.NoError(t, s.Close(t.Context()))
	}
	b.RequireOnce()
	first.Stop(t)
}

// A rebalance wholly between two transactions does not abort the next one.
func TestSessionStaleRebalanceDoesNotAbort(t *testing.T) {
	b := bench.New(t)
	b.Write(300)
	cfg := b.Config("a")
	cfg.SessionTimeout = 3 * time.Second // a heartbeat a second, which is how it hears of the others
	s := b.Open(cfg)
	require.Empty(t, b.Copy(s, 300))
	second := b.Open(b.Config("b"))
	ctx, cancel := context.WithCancel(t.Context())
	polled := make(chan error, 1)
	go func() { // keeps the first in the group while the second joins
		_, err := s.Poll(ctx)
		polled <- err
	}()
	b.Eventually("the group has two members", func() bool { return members(b) == 2 })
	cancel()
	require.ErrorIs(t, <-polled, context.Canceled)
	require.NoError(t, second.Close(t.Context()))
	b.Write(300)
	require.Empty(t, b.Copy(s, 300), "no transaction is aborted for a rebalance before it")
	b.RequireOnce()
}

// members returns how many members the group has if it is stable, else 0.
func members(b *bench.Bench) int {
	b.T.Helper()
	groups, err := b.Adm.DescribeGroups(b.T.Context(), b.Group)
	require.NoError(b.T, err)
	if groups[b.Group].State != "Stable" {
		return 0
	}
	return len(groups[b.Group].Members)
}
