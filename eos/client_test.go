package eos_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// The tests of this file are of franz-go alone: what the session relies on beyond its documentation, and the line that does. docs/franz-go.md
// lists them. Where one fails with another franz-go, that line is to be thought over; it is not the test that is to be changed.

// transact makes the client of a group that reads "in", as the session does, through a tap.
func transact(t *testing.T, b *testBench, opts ...kgo.Opt) (*kgo.GroupTransactSession, *wiretap.Tap) {
	t.Helper()
	tap := wiretap.New()
	t.Cleanup(tap.Close)
	gts, err := kgo.NewGroupTransactSession(append([]kgo.Opt{
		kgo.SeedBrokers(b.ListenAddrs()...), kgo.Dialer(tap.Dial),
		kgo.ConsumerGroup("g"), kgo.TransactionalID("txn"), kgo.ConsumeTopics("in"),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ProducerLinger(0), kgo.MetadataMinAge(10 * time.Millisecond),
	}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(gts.Close)
	return gts, tap
}

// firsts polls n records and returns the first offset of each partition of them.
func firsts(t *testing.T, gts *kgo.GroupTransactSession, n int) map[int32]int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	first := map[int32]int64{}
	for n > 0 {
		fetches := gts.PollRecords(ctx, n)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			if _, known := first[r.Partition]; !known {
				first[r.Partition] = r.Offset
			}
			n--
		})
	}
	return first
}

// only are the offsets, without epochs, of topic "in".
func only(set map[string]map[int32]kgo.EpochOffset) map[int32]int64 {
	at := map[int32]int64{}
	for partition, o := range set["in"] {
		at[partition] = o.Offset
	}
	return at
}

// commitWith begins a transaction, produces a record and ends it; edit, if not nil, is given the request with the offsets.
func commitWith(t *testing.T, gts *kgo.GroupTransactSession, edit func(*kmsg.TxnOffsetCommitRequest) error) (bool, error) {
	t.Helper()
	require.NoError(t, gts.Begin())
	require.NoError(t, gts.ProduceSync(t.Context(), &kgo.Record{Topic: "out", Value: []byte("0")}).FirstErr())
	ctx := t.Context()
	if edit != nil {
		ctx = kgo.PreTxnCommitFnContext(ctx, edit)
	}
	return gts.End(ctx, kgo.TryCommit)
}

// The client would commit all that it has handed out; what it takes for committed afterwards is what the request said when it was sent; and after an
// abort it reads on from there. So records may be held back over a commit: transaction.rewriteOffsets changes the request, and Session.rewind comes
// back to what is held. (franz-go before v1.22.3 takes what it has handed out for committed: client.distrust.)
func TestClientNotesWhatWasSent(t *testing.T) {
	b := setup(t)
	b.produce(30)
	gts, _ := transact(t, b)
	firsts(t, gts, 30)
	committed, err := commitWith(t, gts, func(req *kmsg.TxnOffsetCommitRequest) error {
		kept := req.Topics[0].Partitions[:0]
		for _, p := range req.Topics[0].Partitions {
			require.Equal(t, int64(10), p.Offset, "all that was handed out")
			switch p.Partition {
			case 0:
				p.Offset = 4
			case 1:
				continue // nothing of it
			}
			kept = append(kept, p)
		}
		req.Topics[0].Partitions = kept
		return nil
	})
	require.NoError(t, err)
	require.True(t, committed)
	require.Equal(t, "in-0=4 in-2=10", b.committed().String())
	require.Equal(t, map[int32]int64{0: 4, 2: 10}, only(gts.Client().CommittedOffsets()))
	require.Equal(t, map[int32]int64{0: 10, 1: 10}, only(gts.Client().UncommittedOffsets()))
	_, err = gts.End(t.Context(), kgo.TryAbort)
	require.NoError(t, err)
	require.Equal(t, map[int32]int64{0: 4, 1: 0}, firsts(t, gts, 16))
	require.Equal(t, map[int32]int64{0: 10, 1: 10}, only(gts.Client().UncommittedOffsets()))
}

// Offsets that the AdjustFetchOffsetsFn puts in the place of missing ones are none that are committed, and the client does not count their partitions
// before a record of them was handed out. If it is also set to them there, it would commit them, and counts them so, in the next request, too. holdings tells by that
// which partitions the client has, and transaction.rewriteOffsets leaves them out of the request. After an abort it reads on from there.
func TestClientCountsStartsItWasSetTo(t *testing.T) {
	b := setup(t)
	b.produce(30)
	starts := map[string]map[int32]kgo.EpochOffset{"in": {0: {Epoch: -1, Offset: 10}, 1: {Epoch: -1, Offset: 3}}}
	var gts *kgo.GroupTransactSession
	made := make(chan struct{})
	gts, _ = transact(t, b, kgo.AdjustFetchOffsetsFn(func(_ context.Context, fetched map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
		<-made
		for partition, at := range map[int32]int64{0: 10, 1: 3, 2: 5} {
			require.Equal(t, int64(-2), fetched["in"][partition].EpochOffset().Offset, "none")
			fetched["in"][partition] = kgo.NewOffset().At(at)
		}
		gts.Client().SetOffsets(starts)
		return fetched, nil
	}))
	close(made)
	require.Equal(t, map[int32]int64{1: 3, 2: 5}, firsts(t, gts, 12))
	require.Empty(t, gts.Client().CommittedOffsets())
	require.Equal(t, map[int32]int64{0: 10, 1: 10, 2: 10}, only(gts.Client().UncommittedOffsets()), "also the one of which nothing was handed out")
	_, err := gts.End(t.Context(), kgo.TryAbort)
	require.NoError(t, err)
	require.Equal(t, map[int32]int64{1: 3, 2: 5}, firsts(t, gts, 12))

	committed, err := commitWith(t, gts, func(req *kmsg.TxnOffsetCommitRequest) error {
		require.Len(t, req.Topics[0].Partitions, 3)
		return nil
	})
	require.NoError(t, err)
	require.True(t, committed)
	require.Equal(t, map[int32]int64{0: 10, 1: 10, 2: 10}, only(gts.Client().CommittedOffsets()))
	require.Empty(t, gts.Client().UncommittedOffsets())
}

// An offset that the client is set to while it fetches those of the group has precedence over them. So the session sets it to offsets nowhere but where
// the group has none (holdings.fetched): what another member has committed meanwhile would be processed again.
func TestClientPrefersOffsetsItWasSetTo(t *testing.T) {
	b := setup(t)
	b.produce(30)
	var at kadm.Offsets
	at.AddOffset("in", 0, 2, -1)
	require.NoError(t, b.adm.CommitAllOffsets(t.Context(), "g", at))
	var gts *kgo.GroupTransactSession
	made := make(chan struct{})
	gts, _ = transact(t, b, kgo.AdjustFetchOffsetsFn(func(_ context.Context, fetched map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
		<-made
		require.Equal(t, int64(2), fetched["in"][0].EpochOffset().Offset)
		gts.Client().SetOffsets(map[string]map[int32]kgo.EpochOffset{"in": {0: {Epoch: -1, Offset: 7}}})
		return fetched, nil
	}))
	close(made)
	require.Equal(t, map[int32]int64{0: 7, 1: 0, 2: 0}, firsts(t, gts, 23))
	require.Equal(t, map[int32]int64{0: 2}, only(gts.Client().CommittedOffsets()))
}

// Of partitions that are taken away the callback is told once until the next end, and not of others that follow; the transaction is aborted in
// each case, and an end outside of one clears the mark and sends nothing. So client.rebalancing cannot count on being told, holdings asks what the client has, and
// Session.rewind ends where nothing was begun.
func TestClientTellsOfOneRevokeUntilTheEnd(t *testing.T) {
	b := setup(t)
	b.produce(30)
	var told atomic.Int32
	gts, tap := transact(t, b, kgo.OnPartitionsRevoked(func(context.Context, *kgo.Client, map[string][]int32) { told.Add(1) }))
	firsts(t, gts, 30)
	revoked, ok := gts.Client().OptValue(kgo.OnPartitionsRevoked).(func(context.Context, *kgo.Client, map[string][]int32))
	require.True(t, ok)
	taken := map[string][]int32{"in": {0}}
	revoked(t.Context(), gts.Client(), taken) // as the client calls it
	revoked(t.Context(), gts.Client(), taken)
	require.Equal(t, int32(1), told.Load())
	committed, err := commitWith(t, gts, nil)
	require.NoError(t, err)
	require.False(t, committed)
	require.Empty(t, b.committed())

	firsts(t, gts, 30)
	revoked(t.Context(), gts.Client(), taken)
	require.Equal(t, int32(2), told.Load())
	ends := tap.Count(kmsg.EndTxn)
	_, err = gts.End(t.Context(), kgo.TryAbort)
	require.NoError(t, err)
	require.Equal(t, ends, tap.Count(kmsg.EndTxn))
	firsts(t, gts, 30)
	committed, err = commitWith(t, gts, nil)
	require.NoError(t, err)
	require.True(t, committed)
}

// An error of the function that is given the request keeps the offsets from being sent, has the transaction aborted, and comes back from End. That
// is how transaction.checkOffsets stops a commit.
func TestClientAbortsWhereOffsetsAreRefused(t *testing.T) {
	b := setup(t)
	b.produce(30)
	gts, tap := transact(t, b)
	firsts(t, gts, 30)
	refused := errors.New("refused")
	aborted := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Commit: new(false), Action: wiretap.CallOnRequest, Call: func(wiretap.Event) {}})
	committed, err := commitWith(t, gts, func(*kmsg.TxnOffsetCommitRequest) error { return refused })
	require.False(t, committed)
	require.ErrorIs(t, err, refused)
	require.Zero(t, tap.Count(kmsg.TxnOffsetCommit))
	require.Equal(t, 1, aborted.Hits())
	require.Equal(t, map[int32]int64{0: 0, 1: 0, 2: 0}, firsts(t, gts, 30))
}

// stall is a logger of franz-go that stands still at the first line that says what, until it is released.
type stall struct {
	what             string
	reached, release chan struct{}
	once             sync.Once
}

func newStall(what string) *stall {
	return &stall{what: what, reached: make(chan struct{}), release: make(chan struct{})}
}

func (*stall) Level() kgo.LogLevel { return kgo.LogLevelDebug }

func (s *stall) Log(_ kgo.LogLevel, line string, _ ...any) {
	if line == s.what {
		s.once.Do(func() {
			close(s.reached)
			<-s.release
		})
	}
}

// In the consumer protocol the request with the offsets has the epoch that the member has when it is made, and the broker takes offsets of any partition with that.
// A client that stands still after it has read what to commit, while a partition goes to another member, sends it with the newer epoch; but it aborts, as it was told
// of the partition before the brokers could give it away. So a commit rests on that mark (GroupTransactSession.failed), before memberships.check looks.
func TestClientAbortsWhatARevokeOvertakes(t *testing.T) {
	b, _ := consumers(t)
	b.produce(30)
	stands := newStall("in commitTransactionOffsets")
	gts, tap := transact(t, b, kgo.ServerSideBalancer(), kgo.WithLogger(stands))
	firsts(t, gts, 30)
	_, epoch := gts.Client().GroupMetadata()
	aborted := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Commit: new(false), Action: wiretap.CallOnRequest, Call: func(wiretap.Event) {}})
	var sent int32
	type end struct {
		committed bool
		err       error
	}
	ended := make(chan end, 1)
	go func() {
		committed, err := commitWith(t, gts, func(req *kmsg.TxnOffsetCommitRequest) error {
			sent = req.Generation
			return nil
		})
		ended <- end{committed, err}
	}()
	<-stands.reached
	other, _ := transact(t, b, kgo.ServerSideBalancer(), kgo.TransactionalID("other"))
	require.NotEmpty(t, firsts(t, other, 10), "it has read from where the group is")
	require.Eventually(t, func() bool {
		_, now := gts.Client().GroupMetadata()
		return now > epoch
	}, 20*time.Second, time.Millisecond)
	close(stands.release)
	result := <-ended
	require.NoError(t, result.err)
	require.False(t, result.committed)
	require.Greater(t, sent, epoch, "as the one who has given it away")
	require.Equal(t, 1, tap.Count(kmsg.TxnOffsetCommit), "the broker has taken it")
	require.Equal(t, 1, aborted.Hits())
	require.Empty(t, b.committed())
}

// The same with sessions: what the first has polled is aborted, and comes out once.
func TestCommitStandsStillOverARevoke(t *testing.T) {
	b, cfg := consumers(t)
	b.produce(30)
	stands := newStall("in commitTransactionOffsets")
	stalled := cfg
	stalled.TransactionTimeout, stalled.Client = time.Minute, []kgo.Opt{kgo.WithLogger(stands)}
	first := b.open(stalled)
	batch, err := first.Poll(t.Context())
	for err == nil && len(batch.Records) < 30 { // it gives back what it had
		batch, err = first.Poll(t.Context())
	}
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- first.Commit(t.Context(), batch, copyOf(batch)) }()
	<-stands.reached
	cfg.TransactionalID = "g-a-1"
	second := b.open(cfg)
	run(t, second, 10)
	close(stands.release)
	err = <-ended
	require.Equal(t, eos.PollAgain, nextOf(err), "%v", err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, s := range []*eos.Session{first, second} {
		go func() { _, _ = work(ctx, s) }()
	}
	require.Eventually(t, func() bool { return b.committed().String() == "in-0=10 in-1=10 in-2=10" }, 40*time.Second, 20*time.Millisecond)
	b.requireOnce(30)
}
