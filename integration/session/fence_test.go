package session

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// A second session with the same ids takes over: the first stops with ErrFenced wherever it is, and does not fence back;
// the second goes on undisturbed. Neither asks for a producer id again.
func TestSessionFencedBySecond(t *testing.T) {
	for _, at := range []string{"idle", "with a batch in hand", "before its offsets", "before its commit"} {
		t.Run(at, func(t *testing.T) {
			bench.Protocols(t, func(b *bench.Bench) { fencedBySecond(b, at) })
		})
	}
}

func fencedBySecond(b *bench.Bench, at string) {
	t := b.T
	t.Helper()
	b.Write(300)
	cfg, tap := b.Tapped("a")
	first := b.Open(cfg)
	began := tap.Count(kmsg.InitProducerID) // again and again on a broker that has just started
	ended := make(chan error, 1)
	release := func() {}
	switch at {
	case "idle":
		w := b.Work(first)
		b.CaughtUp()
		go func() { ended <- w.Wait(t) }()
	default:
		batch := b.Poll(first)
		commit := func() { ended <- first.Commit(t.Context(), batch, b.Marked(batch)) }
		if at == "with a batch in hand" {
			release = func() { go commit() }
			break
		}
		api := map[string]kmsg.Key{"before its offsets": kmsg.TxnOffsetCommit, "before its commit": kmsg.EndTxn}[at]
		held := tap.Hold(wiretap.Rule{API: api, Action: wiretap.HoldRequest})
		go commit()
		b.Await(held.Reached(), at)
		release = held.Release
	}

	cfg, tap2 := b.Tapped("a")
	s := b.Open(cfg)
	asked := tap2.Count(kmsg.InitProducerID) // again and again, until the first one's transaction is ended
	second := b.Work(s)
	b.Write(300)
	b.CaughtUp()
	release()
	err := untilStopped(b, first, <-ended)
	require.ErrorIs(t, err, eos.ErrFenced)
	require.Equal(t, eos.Stop, bench.Next(err))
	_, again := first.Poll(t.Context())
	require.ErrorIs(t, again, eos.ErrFenced, "it stays stopped")
	require.NoError(t, first.Close(t.Context()))

	b.Write(300)
	b.RequireOnce()
	b.RequireNoneMarked("the first has committed")
	require.Empty(t, second.Stop(t))
	require.Equal(t, began, tap.Count(kmsg.InitProducerID), "the first fences back")
	require.Equal(t, asked, tap2.Count(kmsg.InitProducerID), "the second was fenced")
	t.Logf("the first was told: %v", err)
}

// untilStopped goes on with a session that was told err, until it stops: it may be told first that it has lost its partitions.
func untilStopped(b *bench.Bench, s *eos.Session, err error) error {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.T.Context(), bench.Deadline)
	defer cancel()
	for bench.Next(err) == eos.PollAgain {
		var batch eos.Batch
		if batch, err = s.Poll(ctx); err == nil {
			err = s.Commit(ctx, batch, b.Marked(batch))
			require.Error(b.T, err, "it commits")
		}
	}
	return err
}

// An operator ends the session's transaction, as kafka-transactions.sh does: with an InitProducerId of its id by somebody
// who never joins the group. That is no other instance: the session makes a new client and goes on.
func TestSessionSurvivesOperatorsAbort(t *testing.T) {
	for name, rule := range map[string]wiretap.Rule{
		"before its records": {API: kmsg.Produce, Action: wiretap.HoldRequest},
		"before its offsets": {API: kmsg.TxnOffsetCommit, Action: wiretap.HoldRequest},
		"before its commit":  {API: kmsg.EndTxn, Action: wiretap.HoldRequest},
	} {
		t.Run(name, func(t *testing.T) {
			b := bench.New(t)
			b.Write(300)
			cfg, tap := b.Tapped("a")
			s := b.Open(cfg)
			held := tap.Hold(rule)
			w := b.Work(s)
			b.Await(held.Reached(), name)
			_, _, err := b.Cluster.Client(t, kgo.TransactionalID(cfg.TransactionalID)).ProducerID(t.Context())
			require.NoError(t, err)
			held.Release()
			b.RequireOnce()
			failures := w.Stop(t)
			require.Len(t, failures, 1)
			require.NotErrorIs(t, failures[0], eos.ErrFenced)
			t.Logf("the session was told: %v", failures[0])
		})
	}
}
