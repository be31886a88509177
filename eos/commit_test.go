package eos_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

var commits = true

// tapped returns a configuration whose client runs through a tap, and the tap.
func (b *testBench) tapped() (eos.Config, *wiretap.Tap) {
	tap := wiretap.New()
	b.t.Cleanup(tap.Close)
	cfg := b.config()
	cfg.Client = []kgo.Opt{kgo.Dialer(tap.Dial), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond })}
	return cfg, tap
}

// A record that the broker refuses never leads to a commit: the batch is aborted, the error names the
// record, and its input comes again. (The plain client would commit the offsets and lose it.)
func TestFailedProduceNeverCommits(t *testing.T) {
	b := setup(t)
	b.produce(30)
	s := b.open(b.config())
	batch, err := s.Poll(t.Context())
	require.NoError(t, err)
	big := &kgo.Record{Topic: "out", Value: []byte(strings.Repeat("x", 2<<20))}
	err = s.Commit(t.Context(), batch, slices.Values([]*kgo.Record{{Topic: "out", Value: []byte("small")}, big}))
	var e *eos.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, eos.Aborted, e.Outcome)
	require.Equal(t, eos.Stop, e.Next)
	var rejected *eos.RejectedError
	require.ErrorAs(t, err, &rejected)
	require.Same(t, big, rejected.Record)
	require.ErrorIs(t, err, kerr.MessageTooLarge)
	require.Empty(t, b.output())
	require.Empty(t, run(t, s, 30))
	b.requireOnce(30)
}

// Answers to EndTxn(commit) that are lost, one or for good: the client cannot know; the session finds out
// that the transaction is committed, and says so. Nothing is doubled.
func TestLostCommitAnswer(t *testing.T) {
	for _, lost := range []int{1, 3, wiretap.Always} {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			b := setup(t)
			b.produce(300)
			cfg, tap := b.tapped()
			cfg.Client = append(cfg.Client, kgo.RequestRetries(2)) // give up soon
			s := b.open(cfg)
			fault := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Commit: &commits, Count: lost, Action: wiretap.DropReply})
			tap.Add(wiretap.Rule{API: kmsg.InitProducerID, Action: wiretap.CallOnRequest, Call: func(wiretap.Event) { fault.Remove() }})
			require.Empty(t, run(t, s, 300), "a lost answer is resolved as committed, not reported as a failure")
			require.Positive(t, fault.Hits())
			b.requireOnce(300)
		})
	}
}

// A commit that never reached the broker: the session finds out that the transaction was aborted, and the
// records come again. Nothing is lost.
func TestCommitThatNeverArrived(t *testing.T) {
	b := setup(t)
	b.produce(300)
	cfg, tap := b.tapped()
	cfg.Client = append(cfg.Client, kgo.RequestRetries(2))
	s := b.open(cfg)
	fault := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Commit: &commits, Count: wiretap.Always, Action: wiretap.DropRequest})
	tap.Add(wiretap.Rule{API: kmsg.InitProducerID, Action: wiretap.CallOnRequest, Call: func(wiretap.Event) { fault.Remove() }})
	failures := run(t, s, 300)
	require.Len(t, failures, 1)
	var e *eos.Error
	require.ErrorAs(t, failures[0], &e)
	require.Equal(t, eos.Aborted, e.Outcome)
	require.Positive(t, fault.Hits())
	b.requireOnce(300)
}

// UNKNOWN_SERVER_ERROR in answer to a commit that was applied: the client calls it an abort and
// goes back; the session asks the broker and finds it committed.
func TestUnknownServerErrorAfterCommit(t *testing.T) {
	b := setup(t)
	b.produce(300)
	cfg, tap := b.tapped()
	s := b.open(cfg)
	fault := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Commit: &commits, Action: wiretap.RewriteError, ErrorCode: kerr.UnknownServerError.Code})
	require.Empty(t, run(t, s, 300))
	require.Equal(t, 1, fault.Hits())
	b.requireOnce(300)
}

// A session that starts where another with the same ids has died in a transaction goes on at once, not after
// the transaction timeout: its producer id ends that transaction before the first poll.
func TestRestartFencesAtOnce(t *testing.T) {
	b := setup(t)
	b.produce(300)
	cfg, tap := b.tapped()
	cfg.TransactionTimeout = time.Minute
	dead := b.open(cfg)
	held := tap.Hold(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.HoldRequest})
	batch, err := dead.Poll(t.Context())
	require.NoError(t, err)
	ended := make(chan error, 1)
	killed, kill := context.WithCancel(t.Context())
	go func() { ended <- dead.Commit(killed, batch, copyOf(batch)) }()
	<-held.Reached()
	tap.Cut() // kill -9

	began := time.Now()
	s := b.open(b.config())
	first, err := s.Poll(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, first.Records)
	require.Less(t, time.Since(began), 20*time.Second, "well below the transaction timeout of a minute")
	require.NoError(t, s.Commit(t.Context(), first, copyOf(first)))
	require.Empty(t, run(t, s, 300-len(first.Records)))
	b.requireOnce(300)
	kill()
	require.Error(t, <-ended)
}

// What the client is about to commit is compared with what was polled: the batch and nothing else. A batch
// that is not the last one polled, or was committed already, is refused, and the session stays well.
func TestCommitTakesOnlyTheLastBatch(t *testing.T) {
	b := setup(t)
	b.produce(90)
	cfg := b.config()
	cfg.MaxRecords = 30
	s := b.open(cfg)
	first, err := s.Poll(t.Context())
	require.NoError(t, err)
	second, err := s.Poll(t.Context()) // gives the first back
	require.NoError(t, err)
	require.ErrorIs(t, s.Commit(t.Context(), first, copyOf(first)), eos.ErrMisuse)
	require.NoError(t, s.Commit(t.Context(), second, copyOf(second)))
	require.ErrorIs(t, s.Commit(t.Context(), second, copyOf(second)), eos.ErrMisuse)
	require.Empty(t, run(t, s, 90-len(second.Records)))
	b.requireOnce(90)
}

// A batch that was polled and not committed comes again, whole and in order.
func TestPollGivesBackWhatWasNotCommitted(t *testing.T) {
	b := setup(t)
	b.produce(90)
	s := b.open(b.config())
	seen := func() (values []string) {
		for len(values) < 90 {
			batch, err := s.Poll(t.Context())
			require.NoError(t, err)
			values = values[:0]
			for _, r := range batch.Records {
				values = append(values, string(r.Value))
			}
		}
		slices.Sort(values)
		return values
	}
	require.Equal(t, seen(), seen())
	require.Empty(t, run(t, s, 90))
	b.requireOnce(90)
}

// A transaction that comes near its timeout is aborted by the session itself, and its records come again.
func TestOldTransactionIsAborted(t *testing.T) {
	b := setup(t)
	b.produce(30)
	cfg, tap := b.tapped()
	cfg.TransactionTimeout = 2 * time.Second
	s := b.open(cfg)
	held := tap.Hold(wiretap.Rule{API: kmsg.Produce, Action: wiretap.HoldReply})
	time.AfterFunc(2500*time.Millisecond, held.Release)
	failures := run(t, s, 30)
	require.Len(t, failures, 1)
	require.ErrorContains(t, failures[0], "close to its timeout")
	require.Equal(t, 1, held.Hits())
	b.requireOnce(30)
}

// A second session with the same ids fences the first, which stops and says by whom; it does not fence back.
func TestSecondSessionFencesFirst(t *testing.T) {
	b := setup(t)
	b.produce(30)
	first := b.open(b.config())
	batch, err := first.Poll(t.Context())
	require.NoError(t, err)
	second := b.open(b.config())
	done := make(chan error, 1)
	go func() { done <- errors.Join(run(t, second, 30)...) }()
	err = first.Commit(t.Context(), batch, copyOf(batch))
	for err == nil || nextOf(err) == eos.PollAgain { // the group may get to it first
		batch, err = first.Poll(t.Context())
		if err == nil {
			err = first.Commit(t.Context(), batch, copyOf(batch))
		}
	}
	require.ErrorIs(t, err, eos.ErrFenced)
	require.Equal(t, eos.Stop, nextOf(err))
	require.Regexp(t, `transactional id g-a-0, which producer id \d+ epoch \d+ has now`, err.Error())
	_, err = first.Poll(t.Context())
	require.ErrorIs(t, err, eos.ErrFenced, "it stays stopped")
	require.NoError(t, <-done)
	b.requireOnce(30)
}

func nextOf(err error) eos.Next {
	if e, ok := errors.AsType[*eos.Error](err); ok {
		return e.Next
	}
	return eos.Stop
}

// A client whose producer id has failed for good is replaced; the records come again.
func TestFatalProducerErrorReplacesClient(t *testing.T) {
	b := setup(t)
	b.produce(30)
	cfg, tap := b.tapped()
	s := b.open(cfg)
	fault := tap.Add(wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.RewriteError, ErrorCode: kerr.InvalidTxnState.Code})
	failures := run(t, s, 30)
	require.Len(t, failures, 1)
	require.ErrorIs(t, failures[0], kerr.InvalidTxnState)
	require.Equal(t, 1, fault.Hits())
	b.requireOnce(30)
}

// An end that the client turns into an abort, (false, nil), is an error of Commit: aborted, poll again. So it is for each error by which
// the group's coordinator says that the group has gone on without this member, at TxnOffsetCommit v5 and v6, which tell the same by
// other codes (KIP-1319).
func TestAbortByRebalanceIsReported(t *testing.T) {
	for _, version := range []int16{5, 6} {
		for _, code := range []*kerr.Error{kerr.IllegalGeneration, kerr.StaleMemberEpoch, kerr.GroupIDNotFound, kerr.UnknownMemberID} {
			t.Run(fmt.Sprintf("v%d %s", version, code.Message), func(t *testing.T) {
				b := setup(t)
				b.produce(30)
				cfg, tap := b.tapped()
				most := kversion.Stable()
				most.SetMaxKeyVersion(kmsg.TxnOffsetCommit.Int16(), version)
				cfg.Client = append(cfg.Client, kgo.MaxVersions(most))
				s := b.open(cfg)
				fault := tap.Add(wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.RewriteError, ErrorCode: code.Code})
				failures := run(t, s, 30)
				require.Len(t, failures, 1)
				var e *eos.Error
				require.ErrorAs(t, failures[0], &e)
				require.Equal(t, eos.Aborted, e.Outcome)
				require.Equal(t, eos.PollAgain, e.Next)
				require.Equal(t, 1, fault.Hits())
				require.Equal(t, version, tap.Requests(kmsg.TxnOffsetCommit)[0].Version)
				b.requireOnce(30)
			})
		}
	}
}

// A caller's context that ends in the middle of a transaction aborts it at once, before its commit is sent.
func TestCancelledCommitAborts(t *testing.T) {
	b := setup(t)
	b.produce(30)
	cfg, tap := b.tapped()
	cfg.TransactionTimeout = time.Minute
	held := tap.Hold(wiretap.Rule{API: kmsg.Produce, Action: wiretap.HoldReply})
	cfg.Observer.Transition = func(tr eos.Transition) {
		if tr.To == eos.Aborting {
			held.Release() // not before: the answers are not waited for
		}
	}
	s := b.open(cfg)
	batch, err := s.Poll(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-held.Reached()
		cancel()
	}()
	began := time.Now()
	err = s.Commit(ctx, batch, copyOf(batch))
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(began), 15*time.Second, "well before the transaction comes near its timeout")
	require.Equal(t, eos.PollAgain, nextOf(err))
	require.Zero(t, len(b.output()))
	require.Empty(t, run(t, s, 30))
	b.requireOnce(30)
}

// A caller's context that ends while the commit is on its way does not cut it: it is waited for.
func TestCommitOnItsWayIsWaitedFor(t *testing.T) {
	b := setup(t)
	b.produce(30)
	cfg, tap := b.tapped()
	s := b.open(cfg)
	batch, err := s.Poll(t.Context())
	require.NoError(t, err)
	held := tap.Hold(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.HoldReply})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-held.Reached()
		cancel()
		held.Release()
	}()
	require.NoError(t, s.Commit(ctx, batch, copyOf(batch)))
	require.Empty(t, run(t, s, 30-len(batch.Records)))
	b.requireOnce(30)
}

// A batch of which nothing is produced still commits its offsets, in a transaction of offsets alone.
func TestCommitWithoutOutput(t *testing.T) {
	b := setup(t)
	b.produce(30)
	s := b.open(b.config())
	for n := 0; n < 30; {
		batch, err := s.Poll(t.Context())
		require.NoError(t, err)
		require.NoError(t, s.Commit(t.Context(), batch, slices.Values([]*kgo.Record(nil))))
		n += len(batch.Records)
	}
	require.Empty(t, b.output())
	lag, err := b.adm.Lag(t.Context(), "g")
	require.NoError(t, err)
	require.Zero(t, lag["g"].Lag.Total())
}

// A record for an input topic, or for none, is refused before anything is committed.
func TestCommitRefusesWrongTopics(t *testing.T) {
	b := setup(t)
	b.produce(30)
	s := b.open(b.config())
	for _, topic := range []string{"", "in"} {
		batch, err := s.Poll(t.Context())
		require.NoError(t, err)
		err = s.Commit(t.Context(), batch, slices.Values([]*kgo.Record{{Topic: topic}}))
		var rejected *eos.RejectedError
		require.ErrorAs(t, err, &rejected)
	}
	require.Empty(t, run(t, s, 30))
	b.requireOnce(30)
}

// Where records go: one with a key where every Kafka client by default sends that key, one without to the partition it
// names, so that the order of an input partition is kept.
func TestPartitions(t *testing.T) {
	b := setup(t)
	b.produce(30)
	s := b.open(b.config())
	batch, err := s.Poll(t.Context())
	require.NoError(t, err)
	outs := []*kgo.Record{
		{Topic: "out", Partition: 1},
		{Topic: "out", Partition: 2},
		{Topic: "out", Partition: 5},
		{Topic: "out", Partition: 1, Key: []byte("a")},
		{Topic: "out", Partition: 2, Key: []byte("a")},
		{Topic: "out", Key: []byte("b")},
	}
	require.NoError(t, s.Commit(t.Context(), batch, slices.Values(outs)))
	var got []int32
	for _, r := range outs {
		got = append(got, r.Partition)
	}
	murmur := kgo.StickyKeyPartitioner(nil).ForTopic("out")
	a, bb := int32(murmur.Partition(outs[3], 3)), int32(murmur.Partition(outs[5], 3))
	require.NotEqual(t, a, bb, "the keys are to go to different partitions")
	require.Equal(t, []int32{1, 2, 2, a, a, bb}, got)
}

// A batch that was written, though the first answer did not say so, and that is refused when it is sent again. The client takes its sequence
// numbers for free, and where transactions do not have an epoch each, the broker takes the next batch for a copy of that one, which is aborted.
// So the session goes on with a new epoch there. Found by a schedule (internal/schedules).
func TestProduceIsRefusedAfterItWasWritten(t *testing.T) {
	for name, opts := range map[string][]kfake.Opt{"transaction.version 1": {kfake.MaxVersions(kversion.V3_9_0())}, "transaction.version 2": nil} {
		for _, code := range []*kerr.Error{kerr.InvalidTimestamp, kerr.OperationNotAttempted} {
			t.Run(name+" "+code.Message, func(t *testing.T) {
				b := setup(t, opts...)
				b.produce(1)
				cfg, tap := b.tapped()
				s := b.open(cfg)
				unknown := tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.RewriteError, ErrorCode: kerr.NetworkException.Code})
				refused := tap.Add(wiretap.Rule{API: kmsg.Produce, Skip: 1, Action: wiretap.RewriteError, ErrorCode: code.Code})
				batch, err := s.Poll(t.Context())
				require.NoError(t, err)
				require.ErrorIs(t, s.Commit(t.Context(), batch, copyOf(batch)), code)
				require.Equal(t, 1, unknown.Hits())
				require.Equal(t, 1, refused.Hits())
				require.Empty(t, run(t, s, 1))
				b.requireOnce(1)
			})
		}
	}
}
