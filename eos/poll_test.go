package eos_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// committed returns the group's committed offsets.
func (b *testBench) committed() offsets.Set {
	b.t.Helper()
	resp, err := b.adm.FetchOffsets(b.t.Context(), "g")
	if !errors.Is(err, kerr.GroupIDNotFound) {
		require.NoError(b.t, err)
	}
	set := offsets.Set{}
	resp.Each(func(o kadm.OffsetResponse) {
		set[offsets.Partition{Topic: o.Topic, Number: o.Partition}] = offsets.NewPosition(o.At)
	})
	return set
}

func (b *testBench) deleteRecords(partition int32, before int64) {
	b.t.Helper()
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: "in", Partition: partition, At: before})
	resp, err := b.adm.DeleteRecords(b.t.Context(), os)
	require.NoError(b.t, err)
	require.NoError(b.t, resp.Error())
}

// Every partition has a committed offset before any of its records is handed out: the log's start, which
// need not be 0, and an abort before the first commit goes back there.
func TestEveryPartitionGetsACommittedOffset(t *testing.T) {
	b := setup(t)
	b.produce(30)
	b.deleteRecords(1, 4)
	s := b.open(b.config())
	_, err := s.Poll(t.Context())
	require.NoError(t, err)
	require.Equal(t, "in-0=0 in-1=4 in-2=0", b.committed().String())
	require.Empty(t, run(t, s, 26), "the first batch is given back, and comes again from the log's start")
	require.Len(t, b.output(), 26)
}

// A group that starts at the latest offset never sees an older record, not even after an abort.
func TestStartLatest(t *testing.T) {
	b := setup(t)
	b.produce(30)
	cfg := b.config()
	cfg.Start = eos.StartLatest
	s := b.open(cfg)
	polled := make(chan eos.Batch, 1)
	go func() {
		batch, _ := s.Poll(t.Context())
		polled <- batch
	}()
	require.Eventually(t, func() bool { return len(b.committed()) == 3 }, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, "in-0=10 in-1=10 in-2=10", b.committed().String())
	require.NoError(t, b.cl.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Partition: 2, Value: []byte("new")}).FirstErr())
	batch := <-polled
	require.Len(t, batch.Records, 1)
	big := &kgo.Record{Topic: "out", Value: make([]byte, 2<<20)}
	require.Error(t, s.Commit(t.Context(), batch, slices.Values([]*kgo.Record{big}))) // an abort
	require.Empty(t, run(t, s, 1))
	require.Equal(t, []string{"new"}, b.output())
}

// A partition that is added later is read from its first record, also by a group that started at the latest.
func TestAddedPartitionStartsAtItsFirstRecord(t *testing.T) {
	b := setup(t)
	cfg := b.config()
	cfg.Start = eos.StartLatest
	cfg.Client = []kgo.Opt{kgo.MetadataMaxAge(200 * time.Millisecond)}
	s := b.open(cfg)
	_, err := b.adm.UpdatePartitions(t.Context(), 4, "in")
	require.NoError(t, err)
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer cl.Close()
	require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Partition: 3, Value: []byte("first")}).FirstErr())
	require.Empty(t, run(t, s, 1))
	require.Equal(t, []string{"first"}, b.output())
}

// Records deleted before they were processed stop the session with the exact range, and are never passed
// over: another session stops just the same.
func TestLostOffsetsStop(t *testing.T) {
	b := setup(t)
	b.produce(30)
	s := b.open(b.config())
	require.Empty(t, run(t, s, 30))
	require.NoError(t, s.Close(t.Context()))
	b.produce(60)
	b.deleteRecords(1, 17)
	for range 2 {
		s = b.open(b.config())
		err := untilError(t, s)
		var lost *eos.LostOffsetsError
		require.ErrorAs(t, err, &lost)
		require.Equal(t, &eos.LostOffsetsError{Partition: offsets.Partition{Topic: "in", Number: 1}, From: 10, To: 17}, lost)
		require.ErrorContains(t, err, "offsets 10 to 16 of in-1 (7 offsets) were deleted before they were processed")
		require.Equal(t, eos.Stop, nextOf(err))
		require.NoError(t, s.Close(t.Context()))
	}
}

// The same in the middle of a run: what the session has not fetched yet is deleted behind its back.
func TestLostOffsetsStopWhileRunning(t *testing.T) {
	b := setup(t)
	b.produce(30)
	cfg, tap := b.tapped()
	s := b.open(cfg)
	require.Empty(t, run(t, s, 30))
	held := tap.Hold(wiretap.Rule{API: kmsg.Fetch, Action: wiretap.HoldRequest, Count: wiretap.Always})
	<-held.Reached()
	b.produce(60)
	for p := range int32(3) {
		b.deleteRecords(p, 25)
	}
	held.Release()
	var lost *eos.LostOffsetsError
	require.ErrorAs(t, untilError(t, s), &lost)
	require.EqualValues(t, 10, lost.From)
	require.EqualValues(t, 25, lost.To)
	require.Len(t, b.output(), 30)
}

// untilError copies until the session reports an error.
func untilError(t *testing.T, s *eos.Session) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		batch, err := s.Poll(ctx)
		if err == nil {
			err = s.Commit(ctx, batch, copyOf(batch))
		}
		if err != nil {
			return err
		}
	}
}

// Records of an aborted transaction on the input are not processed, and those of an open one wait; the
// group's offsets pass over the markers, so that nothing lags.
func TestAbortedInputIsNotProcessed(t *testing.T) {
	b := setup(t)
	txn, err := kgo.NewClient(kgo.SeedBrokers(b.ListenAddrs()...), kgo.TransactionalID("upstream"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer txn.Close()
	for i := range 10 {
		require.NoError(t, txn.BeginTransaction())
		for p := range int32(3) {
			require.NoError(t, txn.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Partition: p, Value: fmt.Append(nil, 3*i+int(p))}).FirstErr())
		}
		require.NoError(t, txn.EndTransaction(t.Context(), kgo.TransactionEndTry(i < 5)))
	}
	s := b.open(b.config())
	require.Empty(t, run(t, s, 15))
	// The aborted rest holds no record to hand out, only markers: a batch without records commits the way past them.
	for b.committed().String() != "in-0=20 in-1=20 in-2=20" {
		batch, err := s.Poll(t.Context())
		require.NoError(t, err)
		require.Empty(t, batch.Records)
		require.NoError(t, s.Commit(t.Context(), batch, copyOf(batch)))
	}
	b.requireOnce(15)
}

// Members that come and go: rebalances between and around transactions neither lose nor double, and
// a rebalance that was over before a transaction began does not abort it.
func TestRebalances(t *testing.T) {
	b := setup(t)
	const total = 6000
	b.produce(total)
	cfg := b.config()
	cfg.MaxRecords = 100
	first := b.open(cfg)
	require.Empty(t, run(t, first, 500))

	other := cfg
	other.TransactionalID = "g-b-0"
	second := b.open(other)
	count := make(chan int, 2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	work := func(s *eos.Session) {
		n := 0
		for ctx.Err() == nil {
			batch, err := s.Poll(ctx)
			if err == nil && s.Commit(context.WithoutCancel(ctx), batch, copyOf(batch)) == nil {
				n += len(batch.Records)
			}
		}
		count <- n
	}
	go work(first)
	go work(second)
	want := "in-0=2000 in-1=2000 in-2=2000"
	require.Eventually(t, func() bool { return b.committed().String() == want }, 40*time.Second, 20*time.Millisecond)
	cancel()
	require.Equal(t, total-500, <-count+<-count)
	b.requireOnce(total)
}

// While a batch is out, the group waits: a member that joins meanwhile does not make its commit an abort.
func TestCommitInTheMiddleOfARebalance(t *testing.T) {
	b := setup(t)
	b.produce(30)
	cfg := b.config()
	blocked := make(chan struct{}, 10)
	cfg.Client = []kgo.Opt{kgo.HeartbeatInterval(100 * time.Millisecond), kgo.OnPartitionsCallbackBlocked(func(context.Context, *kgo.Client) { blocked <- struct{}{} })}
	s := b.open(cfg)
	batch, err := s.Poll(t.Context())
	require.NoError(t, err)
	other := b.config()
	other.TransactionalID = "g-b-0"
	b.open(other)
	select {
	case <-blocked:
	case <-time.After(20 * time.Second):
		t.Fatal("no rebalance was held up")
	}
	require.NoError(t, s.Commit(t.Context(), batch, copyOf(batch)))
	require.Len(t, b.output(), len(batch.Records))
}

// A member that the group gives up while its commit is under way learns of it, aborts, and goes on; it does not wait for
// its transaction to time out. (The client's group loop waits for the batch, and the commit for the group loop.)
func TestMemberGivenUpDuringCommit(t *testing.T) {
	b := setup(t)
	b.produce(30)
	cfg, tap := b.tapped()
	cfg.SessionTimeout, cfg.TransactionTimeout = 3*time.Second, time.Minute
	blocked := make(chan struct{}, 10)
	cfg.Client = append(cfg.Client, kgo.OnPartitionsCallbackBlocked(func(context.Context, *kgo.Client) { blocked <- struct{}{} }))
	s := b.open(cfg)
	batch, err := s.Poll(t.Context())
	require.NoError(t, err)
	held := tap.Hold(wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.HoldReply})
	go func() {
		<-held.Reached()
		_, _ = b.adm.LeaveGroup(t.Context(), kadm.LeaveGroup("g").InstanceIDs(cfg.TransactionalID))
		<-blocked // the group loop has found out
		held.Release()
	}()
	began := time.Now()
	err = s.Commit(t.Context(), batch, copyOf(batch))
	require.Less(t, time.Since(began), 30*time.Second, "well before the transaction timeout")
	require.Equal(t, eos.PollAgain, nextOf(err), "%v", err)
	require.Empty(t, run(t, s, 30))
	b.requireOnce(30)
}

// The first transaction after a rebalance that took place between two transactions commits.
func TestStaleRevokeDoesNotAbort(t *testing.T) {
	b := setup(t)
	b.produce(30)
	s := b.open(b.config())
	require.Empty(t, run(t, s, 30))
	other := b.config()
	other.TransactionalID = "g-b-0"
	second := b.open(other)
	ctx, cancel := context.WithCancel(t.Context())
	polled := make(chan struct{})
	go func() { // keeps the first in the group while the second joins
		defer close(polled)
		_, err := s.Poll(ctx)
		_ = err
	}()
	stable := func(members int) {
		require.Eventually(t, func() bool {
			groups, err := b.adm.DescribeGroups(t.Context(), "g")
			return err == nil && groups["g"].State == "Stable" && len(groups["g"].Members) == members
		}, 20*time.Second, 10*time.Millisecond)
	}
	stable(2)
	cancel()
	<-polled
	require.NoError(t, second.Close(t.Context()))
	stable(1) // the rebalance is over before the next transaction begins
	b.produce(30)
	require.Empty(t, run(t, s, 30), "no transaction is aborted for a rebalance before it")
	require.Len(t, b.output(), 60)
}

// The bounds of a batch: records and bytes.
func TestBatchBounds(t *testing.T) {
	b := setup(t)
	var rs []*kgo.Record
	for i := range 300 {
		rs = append(rs, &kgo.Record{Topic: "in", Partition: int32(i % 3), Value: make([]byte, 1000)})
	}
	require.NoError(t, b.cl.ProduceSync(t.Context(), rs...).FirstErr())
	cfg := b.config()
	cfg.MaxRecords, cfg.MaxBytes = 70, 50_000
	s := b.open(cfg)
	total := 0
	for total < 300 {
		batch, err := s.Poll(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, len(batch.Records), 70)
		if total > 0 {
			require.LessOrEqual(t, batch.Bytes, 70_000)
		}
		require.NoError(t, s.Commit(t.Context(), batch, copyOf(batch)))
		total += len(batch.Records)
	}
	require.Equal(t, 300, total)
}

// A poll whose context ends gives the context's error, and the session stays well.
func TestPollEndsWithItsContext(t *testing.T) {
	b := setup(t)
	s := b.open(b.config())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := s.Poll(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	b.produce(30)
	require.Empty(t, run(t, s, 30))
	b.requireOnce(30)
}

// A member that is told that another one has its static id asks who that is. Nobody has had a producer id since, so it was a JoinGroup
// of its own whose answer was lost: it goes on, and within a budget, as who says so again and again must be believed.
func TestFencedInstanceIDIsAsked(t *testing.T) {
	b := setup(t)
	b.produce(30)
	cfg, tap := b.tapped()
	cfg.SessionTimeout = 2 * time.Second
	s := b.open(cfg)
	require.Empty(t, run(t, s, 30))
	once := tap.Add(wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.RewriteError, ErrorCode: kerr.FencedInstanceID.Code})
	b.produceFrom(30, 30)
	failed := run(t, s, 30)
	require.Len(t, failed, 1)
	require.ErrorIs(t, failed[0], kerr.FencedInstanceID)
	require.Equal(t, 1, once.Hits())
	b.requireOnce(60)

	tap.Add(wiretap.Rule{API: kmsg.Heartbeat, Action: wiretap.RewriteError, ErrorCode: kerr.FencedInstanceID.Code, Count: wiretap.Always})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := s.Poll(ctx)
	require.ErrorIs(t, err, eos.ErrFenced)
	require.Equal(t, eos.Stop, nextOf(err))
}

// Errors of a partition that pass are waited for, and all is read once.
func TestErrorsOfAPartitionPass(t *testing.T) {
	b := setup(t)
	b.produce(3)
	cfg, tap := b.tapped()
	rule := tap.Add(wiretap.Rule{API: kmsg.Fetch, Action: wiretap.RewriteError, ErrorCode: kerr.UnknownServerError.Code, Count: 2})
	s := b.open(cfg) // which begins to fetch
	require.Empty(t, run(t, s, 3))
	require.Equal(t, 2, rule.Hits())
	b.requireOnce(3)
}
