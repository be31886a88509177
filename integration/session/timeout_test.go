package session

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// transactionState is what the coordinator says of a session's transaction, as kafka-transactions.sh describe shows it.
func transactionState(b *bench.Bench, cfg eos.Config) string {
	b.T.Helper()
	described, err := b.Adm.DescribeTransactions(b.T.Context(), cfg.TransactionalID)
	require.NoError(b.T, err)
	return described[cfg.TransactionalID].State
}

// aborted says whether the session's transaction is aborted; Empty is the same with a producer id asked for since.
func aborted(b *bench.Bench, cfg eos.Config) bool {
	state := transactionState(b, cfg)
	return state == "CompleteAbort" || state == "Empty"
}

// A session that is held up in a transaction beyond the transaction's timeout, so that the broker aborts it, makes a new
// client, and the records come again; it does not take its own timeout for another instance. It is held up at each step,
// as by a stall of the network or of the whole process. Where its produce was slow, the broker's timeout mostly comes
// before its own patience ends: then it is told of the abort, by errors that a fence by another instance gives as well.
func TestSessionOwnTransactionTimeout(t *testing.T) {
	offsets, commit := kmsg.TxnOffsetCommit, kmsg.EndTxn
	for _, at := range []struct {
		name         string
		slow, frozen bool
		rule         wiretap.Rule
	}{
		{"before the offsets", false, false, wiretap.Rule{API: offsets, Action: wiretap.HoldRequest}},
		{"before the offsets, slow", true, false, wiretap.Rule{API: offsets, Action: wiretap.HoldRequest}},
		{"after the offsets", true, false, wiretap.Rule{API: offsets, Action: wiretap.HoldReply}},
		{"before the commit", false, false, wiretap.Rule{API: commit, Action: wiretap.HoldRequest}},
		{"before the commit, slow", true, false, wiretap.Rule{API: commit, Action: wiretap.HoldRequest}},
		{"frozen", false, true, wiretap.Rule{API: commit, Action: wiretap.HoldRequest}},
		{"frozen, slow", true, true, wiretap.Rule{API: commit, Action: wiretap.HoldRequest}},
	} {
		t.Run(at.name, func(t *testing.T) {
			b := bench.New(t)
			b.Write(300)
			cfg, tap := b.Tapped("a")
			cfg.TransactionTimeout = 2 * time.Second
			if at.slow {
				cfg.TransactionTimeout = 3 * time.Second
				tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.DelayReply, Delay: 2 * time.Second})
			}
			s := b.Open(cfg)
			batch := b.Poll(s)
			held := tap.Hold(at.rule)
			ended := make(chan error, 1)
			go func() { ended <- s.Commit(t.Context(), batch, b.Marked(batch)) }()
			b.Await(held.Reached(), at.name)
			if at.frozen {
				tap.Freeze()
				held.Release()
			}
			b.Eventually("the broker aborts the transaction", func() bool { return aborted(b, cfg) })
			tap.Thaw()
			held.Release()

			err := <-ended
			t.Logf("it was told: %v", err)
			var e *eos.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, eos.Aborted, e.Outcome, "%v", err)
			require.Equal(t, eos.PollAgain, e.Next, "%v", err)
			require.Equal(t, 1, held.Hits())
			require.Empty(t, b.Copy(s, 300))
			b.RequireOnce()
			b.RequireNoneMarked("the transaction that timed out is committed")
		})
	}
}

// A transaction whose produce is not answered until nearly its timeout is aborted by the session itself.
func TestSessionAbortsOldTransaction(t *testing.T) {
	b := bench.New(t)
	b.Write(300)
	cfg, tap := b.Tapped("a")
	cfg.TransactionTimeout = 2 * time.Second
	s := b.Open(cfg)
	held := tap.Hold(wiretap.Rule{API: kmsg.Produce, Action: wiretap.HoldReply})
	batch := b.Poll(s)
	ended := make(chan error, 1)
	go func() { ended <- s.Commit(t.Context(), batch, b.Copies(batch)) }()
	b.Await(held.Reached(), "a produce")
	b.Eventually("the transaction is aborted", func() bool { return aborted(b, cfg) })
	held.Release()
	err := <-ended
	require.ErrorContains(t, err, "close to its timeout")
	require.Equal(t, eos.PollAgain, bench.Next(err))
	require.Empty(t, b.Copy(s, 300))
	b.RequireOnce()
}

// A transaction that was committed before its answer was held up beyond the timeout is committed all the same.
func TestSessionLateCommitAnswer(t *testing.T) {
	b := bench.New(t)
	b.Write(300)
	cfg, tap := b.Tapped("a")
	cfg.TransactionTimeout = 2 * time.Second
	s := b.Open(cfg)
	batch := b.Poll(s)
	held := tap.Hold(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.HoldReply})
	ended := make(chan error, 1)
	go func() { ended <- s.Commit(t.Context(), batch, b.Copies(batch)) }()
	b.Await(held.Reached(), "the commit")
	b.Eventually("the broker commits the transaction", func() bool { return transactionState(b, cfg) == "CompleteCommit" })
	tap.Add(wiretap.Rule{API: kmsg.InitProducerID, Action: wiretap.CallOnRequest, Call: func(wiretap.Event) { held.Release() }})
	require.NoError(t, <-ended)
	require.Empty(t, b.Copy(s, 300-len(batch.Records)))
	b.RequireOnce()
}

// A commit that meets the abort of its transaction, which has timed out, is answered with PRODUCER_FENCED, or, in releases to come, with
// INVALID_TXN_STATE (KAFKA-20785): whatever this broker answers, both are put into its reply. A second session with the same ids brings about
// both answers as well. The session tells one from the other by asking the brokers who has its ids: after the time-out it makes a new client
// and the records come again, and after the second session it stops, and does not fence back.
func TestSessionCommitMeetsAbort(t *testing.T) {
	for _, code := range []*kerr.Error{kerr.ProducerFenced, kerr.InvalidTxnState, kerr.InvalidProducerEpoch} {
		t.Run(code.Message+" after the time-out", func(t *testing.T) {
			bench.Protocols(t, func(b *bench.Bench) {
				_, s, err := commitLate(b, code, 2*time.Second, func(cfg eos.Config) {
					b.Eventually("the broker aborts the transaction", func() bool { return aborted(b, cfg) })
				})
				var e *eos.Error
				require.ErrorAs(t, err, &e)
				require.NotErrorIs(t, err, eos.ErrFenced)
				require.Equal(t, eos.Aborted, e.Outcome, "%v", err)
				require.Equal(t, eos.PollAgain, e.Next, "%v", err)
				require.Empty(t, b.Copy(s, 300))
				b.RequireOnce()
				b.RequireNoneMarked("the transaction that timed out is committed")
			})
		})
		t.Run(code.Message+" after a second session", func(t *testing.T) {
			bench.Protocols(t, func(b *bench.Bench) {
				var second *bench.Worker
				tap, s, err := commitLate(b, code, 0, func(eos.Config) {
					second = b.Work(b.Open(b.Config("a")))
					b.CaughtUp()
				})
				err = untilStopped(b, s, err)
				require.ErrorIs(t, err, eos.ErrFenced)
				require.Equal(t, eos.Stop, bench.Next(err))
				asked := tap.Count(kmsg.InitProducerID)
				b.RequireOnce()
				b.RequireNoneMarked("the first has committed")
				require.Empty(t, second.Stop(t))
				require.Equal(t, asked, tap.Count(kmsg.InitProducerID), "the first fences back")
			})
		})
	}
}

// commitLate holds up the commit of a session's transaction, whose produce was slow, until meanwhile returns; then the answer to it says code.
// The transaction times out after slow and a second; the session waits longer for the answer.
func commitLate(b *bench.Bench, code *kerr.Error, slow time.Duration, meanwhile func(eos.Config)) (*wiretap.Tap, *eos.Session, error) {
	t := b.T
	t.Helper()
	b.Write(300)
	cfg, tap := b.Tapped("a")
	if slow > 0 {
		cfg.TransactionTimeout = slow + time.Second
		tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.DelayReply, Delay: slow})
	}
	s := b.Open(cfg)
	batch := b.Poll(s)
	held := tap.Hold(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.HoldRequest})
	said := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.RewriteError, ErrorCode: code.Code})
	ended := make(chan error, 1)
	go func() { ended <- s.Commit(t.Context(), batch, b.Marked(batch)) }()
	b.Await(held.Reached(), "the commit")
	meanwhile(cfg)
	held.Release()
	err := <-ended
	t.Logf("it was told: %v", err)
	require.Equal(t, 1, said.Hits())
	return tap, s, err
}
