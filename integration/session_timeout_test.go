package integration

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// transactionState is what the coordinator says of a session's transaction, as kafka-transactions.sh describe shows it.
func (b *sessionBench) transactionState(cfg eos.Config) string {
	b.t.Helper()
	described, err := b.adm.DescribeTransactions(b.t.Context(), cfg.TransactionalID)
	require.NoError(b.t, err)
	return described[cfg.TransactionalID].State
}

// aborted says whether the session's transaction is aborted; Empty is the same with a producer id asked for since.
func (b *sessionBench) aborted(cfg eos.Config) bool {
	state := b.transactionState(cfg)
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
			b := newSessionBench(t)
			b.write(300)
			cfg, tap := b.tapped("a")
			cfg.TransactionTimeout = 2 * time.Second
			if at.slow {
				cfg.TransactionTimeout = 3 * time.Second
				tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.DelayReply, Delay: 2 * time.Second})
			}
			s := b.open(cfg)
			batch := b.poll(s)
			held := tap.Hold(at.rule)
			ended := make(chan error, 1)
			go func() { ended <- s.Commit(t.Context(), batch, b.marked(batch)) }()
			b.await(held.Reached(), at.name)
			if at.frozen {
				tap.Freeze()
				held.Release()
			}
			b.eventually("the broker aborts the transaction", func() bool { return b.aborted(cfg) })
			tap.Thaw()
			held.Release()

			err := <-ended
			t.Logf("it was told: %v", err)
			var e *eos.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, eos.Aborted, e.Outcome, "%v", err)
			require.Equal(t, eos.PollAgain, e.Next, "%v", err)
			require.Equal(t, 1, held.Hits())
			require.Empty(t, b.copy(s, 300))
			b.requireOnce()
			b.requireNoneMarked("the transaction that timed out is committed")
		})
	}
}

// A transaction whose produce is not answered until nearly its timeout is aborted by the session itself.
func TestSessionAbortsOldTransaction(t *testing.T) {
	b := newSessionBench(t)
	b.write(300)
	cfg, tap := b.tapped("a")
	cfg.TransactionTimeout = 2 * time.Second
	s := b.open(cfg)
	held := tap.Hold(wiretap.Rule{API: kmsg.Produce, Action: wiretap.HoldReply})
	batch := b.poll(s)
	ended := make(chan error, 1)
	go func() { ended <- s.Commit(t.Context(), batch, b.copies(batch)) }()
	b.await(held.Reached(), "a produce")
	b.eventually("the transaction is aborted", func() bool { return b.aborted(cfg) })
	held.Release()
	err := <-ended
	require.ErrorContains(t, err, "close to its timeout")
	require.Equal(t, eos.PollAgain, sessionNext(err))
	require.Empty(t, b.copy(s, 300))
	b.requireOnce()
}

// A transaction that was committed before its answer was held up beyond the timeout is committed all the same.
func TestSessionLateCommitAnswer(t *testing.T) {
	b := newSessionBench(t)
	b.write(300)
	cfg, tap := b.tapped("a")
	cfg.TransactionTimeout = 2 * time.Second
	s := b.open(cfg)
	batch := b.poll(s)
	held := tap.Hold(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.HoldReply})
	ended := make(chan error, 1)
	go func() { ended <- s.Commit(t.Context(), batch, b.copies(batch)) }()
	b.await(held.Reached(), "the commit")
	b.eventually("the broker commits the transaction", func() bool { return b.transactionState(cfg) == "CompleteCommit" })
	tap.Add(wiretap.Rule{API: kmsg.InitProducerID, Action: wiretap.CallOnRequest, Call: func(wiretap.Event) { held.Release() }})
	require.NoError(t, <-ended)
	require.Empty(t, b.copy(s, 300-len(batch.Records)))
	b.requireOnce()
}

// A commit that meets the abort of its transaction, which has timed out, is answered with PRODUCER_FENCED, or, in releases to come, with
// INVALID_TXN_STATE (KAFKA-20785): whatever this broker answers, both are put into its reply. A second session with the same ids brings about
// both answers as well. The session tells one from the other by asking the brokers who has its ids: after the time-out it makes a new client
// and the records come again, and after the second session it stops, and does not fence back.
func TestSessionCommitMeetsAbort(t *testing.T) {
	for _, code := range []*kerr.Error{kerr.ProducerFenced, kerr.InvalidTxnState, kerr.InvalidProducerEpoch} {
		t.Run(code.Message+" after the time-out", func(t *testing.T) {
			protocols(t, func(b *sessionBench) {
				_, s, err := b.commitLate(code, 2*time.Second, func(cfg eos.Config) {
					b.eventually("the broker aborts the transaction", func() bool { return b.aborted(cfg) })
				})
				var e *eos.Error
				require.ErrorAs(t, err, &e)
				require.NotErrorIs(t, err, eos.ErrFenced)
				require.Equal(t, eos.Aborted, e.Outcome, "%v", err)
				require.Equal(t, eos.PollAgain, e.Next, "%v", err)
				require.Empty(t, b.copy(s, 300))
				b.requireOnce()
				b.requireNoneMarked("the transaction that timed out is committed")
			})
		})
		t.Run(code.Message+" after a second session", func(t *testing.T) {
			protocols(t, func(b *sessionBench) {
				var second *sessionWorker
				tap, s, err := b.commitLate(code, 0, func(eos.Config) {
					second = b.work(b.open(b.config("a")))
					b.caughtUp()
				})
				err = b.untilStopped(s, err)
				require.ErrorIs(t, err, eos.ErrFenced)
				require.Equal(t, eos.Stop, sessionNext(err))
				asked := tap.Count(kmsg.InitProducerID)
				b.requireOnce()
				b.requireNoneMarked("the first has committed")
				require.Empty(t, second.stop(t))
				require.Equal(t, asked, tap.Count(kmsg.InitProducerID), "the first fences back")
			})
		})
	}
}

// commitLate holds up the commit of a session's transaction, whose produce was slow, until meanwhile returns; then the answer to it says code.
// The transaction times out after slow and a second; the session waits longer for the answer.
func (b *sessionBench) commitLate(code *kerr.Error, slow time.Duration, meanwhile func(eos.Config)) (*wiretap.Tap, *eos.Session, error) {
	t := b.t
	t.Helper()
	b.write(300)
	cfg, tap := b.tapped("a")
	if slow > 0 {
		cfg.TransactionTimeout = slow + time.Second
		tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.DelayReply, Delay: slow})
	}
	s := b.open(cfg)
	batch := b.poll(s)
	held := tap.Hold(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.HoldRequest})
	said := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.RewriteError, ErrorCode: code.Code})
	ended := make(chan error, 1)
	go func() { ended <- s.Commit(t.Context(), batch, b.marked(batch)) }()
	b.await(held.Reached(), "the commit")
	meanwhile(cfg)
	held.Release()
	err := <-ended
	t.Logf("it was told: %v", err)
	require.Equal(t, 1, said.Hits())
	return tap, s, err
}
