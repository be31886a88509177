package integration

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// A second session with the same ids takes over: the first stops with ErrFenced wherever it is, and does not fence back;
// the second goes on undisturbed. Neither asks for a producer id again.
func TestSessionFencedBySecond(t *testing.T) {
	for _, at := range []string{"idle", "with a batch in hand", "before its offsets", "before its commit"} {
		t.Run(at, func(t *testing.T) {
			protocols(t, func(b *sessionBench) { b.fencedBySecond(at) })
		})
	}
}

func (b *sessionBench) fencedBySecond(at string) {
	t := b.t
	t.Helper()
	b.write(300)
	cfg, tap := b.tapped("a")
	first := b.open(cfg)
	began := tap.Count(kmsg.InitProducerID) // again and again on a broker that has just started
	ended := make(chan error, 1)
	release := func() {}
	switch at {
	case "idle":
		w := b.work(first)
		b.caughtUp()
		go func() { ended <- w.wait(t) }()
	default:
		batch := b.poll(first)
		commit := func() { ended <- first.Commit(t.Context(), batch, b.marked(batch)) }
		if at == "with a batch in hand" {
			release = func() { go commit() }
			break
		}
		api := map[string]kmsg.Key{"before its offsets": kmsg.TxnOffsetCommit, "before its commit": kmsg.EndTxn}[at]
		held := tap.Hold(wiretap.Rule{API: api, Action: wiretap.HoldRequest})
		go commit()
		b.await(held.Reached(), at)
		release = held.Release
	}

	cfg, tap2 := b.tapped("a")
	s := b.open(cfg)
	asked := tap2.Count(kmsg.InitProducerID) // again and again, until the first one's transaction is ended
	second := b.work(s)
	b.write(300)
	b.caughtUp()
	release()
	err := b.untilStopped(first, <-ended)
	require.ErrorIs(t, err, eos.ErrFenced)
	require.Equal(t, eos.Stop, sessionNext(err))
	_, again := first.Poll(t.Context())
	require.ErrorIs(t, again, eos.ErrFenced, "it stays stopped")
	require.NoError(t, first.Close(t.Context()))

	b.write(300)
	b.requireOnce()
	b.requireNoneMarked("the first has committed")
	require.Empty(t, second.stop(t))
	require.Equal(t, began, tap.Count(kmsg.InitProducerID), "the first fences back")
	require.Equal(t, asked, tap2.Count(kmsg.InitProducerID), "the second was fenced")
	t.Logf("the first was told: %v", err)
}

// untilStopped goes on with a session that was told err, until it stops: it may be told first that it has lost its partitions.
func (b *sessionBench) untilStopped(s *eos.Session, err error) error {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), sessionDeadline)
	defer cancel()
	for sessionNext(err) == eos.PollAgain {
		var batch eos.Batch
		if batch, err = s.Poll(ctx); err == nil {
			err = s.Commit(ctx, batch, b.marked(batch))
			require.Error(b.t, err, "it commits")
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
			b := newSessionBench(t)
			b.write(300)
			cfg, tap := b.tapped("a")
			s := b.open(cfg)
			held := tap.Hold(rule)
			w := b.work(s)
			b.await(held.Reached(), name)
			_, _, err := b.kafka.Client(t, kgo.TransactionalID(cfg.TransactionalID)).ProducerID(t.Context())
			require.NoError(t, err)
			held.Release()
			b.requireOnce()
			failures := w.stop(t)
			require.Len(t, failures, 1)
			require.NotErrorIs(t, failures[0], eos.ErrFenced)
			t.Logf("the session was told: %v", failures[0])
		})
	}
}
