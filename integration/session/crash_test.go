package session

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// A session dies in the midst of a transaction of a minute's timeout, as by kill -9: the next one with the same ids ends
// that transaction and goes on at once, and nothing of the dead one's records is in the output. It dies before each of
// the requests of a transaction, and after its commit.
func TestSessionRestartAfterCrash(t *testing.T) {
	for _, died := range []struct {
		name string
		rule wiretap.Rule
	}{
		{"produce is sent", wiretap.Rule{API: kmsg.Produce, Action: wiretap.HoldRequest}},
		{"produce is applied", wiretap.Rule{API: kmsg.Produce, Action: wiretap.HoldReply}},
		{"offsets are sent", wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.HoldRequest}},
		{"offsets are applied", wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.HoldReply}},
		{"commit is sent", wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.HoldRequest}},
		{"commit is applied", wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.HoldReply}},
	} {
		t.Run(died.name, func(t *testing.T) {
			bench.Protocols(t, func(b *bench.Bench) { restartAfterCrash(b, died.name, died.rule) })
		})
	}
}

func restartAfterCrash(b *bench.Bench, died string, rule wiretap.Rule) {
	b.T.Helper()
	b.Write(300)
	cfg, tap := b.Tapped("a")
	cfg.Client = append(cfg.Client, kgo.RequestRetries(1)) // what is left of it ends soon
	dead := b.Open(cfg)
	batch := b.Poll(dead)
	held := tap.Hold(rule)
	ctx, kill := context.WithCancel(b.T.Context())
	ended := make(chan error, 1)
	go func() { ended <- dead.Commit(ctx, batch, b.Copies(batch)) }()
	b.Await(held.Reached(), died)
	tap.Cut()
	kill()

	began := time.Now()
	s := b.Open(b.Config("a"))
	w := b.Work(s)
	b.CaughtUp()
	took := time.Since(began)
	require.Less(b.T, took, 20*time.Second, "the dead one's transaction would have held it up for a minute")
	b.T.Logf("went on and caught up in %v", took.Round(time.Millisecond))
	b.RequireOnce()
	require.Empty(b.T, w.Stop(b.T))
	require.Error(b.T, <-ended)
}
