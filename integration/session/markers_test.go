package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// Finding 4: a partition without a leader when its transaction ends never gets a marker; the coordinator takes it for
// deleted, and the transaction is complete without it. What it committed there hangs, and the next transaction of the
// same producer takes it along: into its abort, and the records are lost; into its commit, and what was aborted is
// there after all. A session sees to the markers of its last transaction before it produces over a new connection.
func TestFindingForgottenMarkers(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Brokers(3), kafkatest.Set("offsets.topic.replication.factor", "1"),
		kafkatest.Set("broker.session.timeout.ms", "1500"), kafkatest.Set("broker.heartbeat.interval.ms", "300"))

	t.Run("plain loop", func(t *testing.T) {
		b := newMarkersBench(t, cluster, 1)
		tap := wiretap.New()
		t.Cleanup(tap.Close)
		s, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(cluster.Bootstrap()...), kgo.ConsumerGroup(b.Group), kgo.ConsumeTopics(b.In),
			kgo.TransactionalID(b.Group+"-"+string(b.name)), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.Dialer(tap.Dial))
		require.NoError(t, err)
		t.Cleanup(s.Close)
		round := func(end kgo.TransactionEndTry) error {
			var polled []*kgo.Record
			for len(polled) < 300 {
				fetches := s.PollFetches(t.Context())
				if err := fetches.Err(); err != nil {
					return err
				}
				polled = append(polled, fetches.Records()...)
			}
			if err := s.Begin(); err != nil {
				return err
			}
			for _, r := range polled {
				s.Produce(t.Context(), &kgo.Record{Topic: b.Out, Partition: r.Partition, Value: r.Value}, nil)
			}
			if err := s.Client().Flush(t.Context()); err != nil {
				return err
			}
			committed, err := s.End(t.Context(), end)
			if err == nil && committed != bool(end) {
				err = errors.New("it was aborted")
			}
			return err
		}
		b.Write(300)
		b.forgetMarker(tap, func() error { return round(kgo.TryCommit) })
		b.Eventually("the transaction hangs in the partition", b.hangs)
		b.Write(300)
		require.NoError(t, round(kgo.TryAbort))
		require.NoError(t, round(kgo.TryCommit))
		lost := b.Verdict()
		t.Logf("plain loop: %s, and no error", lost)
		require.EqualValues(t, 100, lost.Lost)
	})

	t.Run("session", func(t *testing.T) {
		b := newMarkersBench(t, cluster, 1)
		s, tap := b.openTapped()
		b.Write(300)
		b.forgetMarker(tap, func() error { return b.commitOne(s) })
		b.Eventually("the transaction hangs in the partition", b.hangs)
		b.Write(300)
		require.NoError(t, b.abortOne(s))
		b.Work(s)
		b.RequireOnce()
	})

	// The process dies together with the broker; its successor finds what hangs.
	t.Run("successor", func(t *testing.T) {
		b := newMarkersBench(t, cluster, 1)
		dead, tap := b.openTapped()
		b.Write(300)
		b.forgetMarker(tap, func() error {
			defer tap.Cut()
			return b.commitOne(dead)
		})
		b.Eventually("the transaction hangs in the partition", b.hangs)
		s, _ := b.openTapped()
		b.Write(300)
		require.NoError(t, b.abortOne(s))
		b.Work(s)
		b.RequireOnce()
	})

	// What is aborted stays aborted, though its marker was forgotten and the next transaction commits. (A session whose abort
	// takes long makes a new client, and may have written the marker again before anybody can look.)
	t.Run("abort", func(t *testing.T) {
		b := newMarkersBench(t, cluster, 1)
		s, tap := b.openTapped()
		b.Write(300)
		b.forgetMarker(tap, func() error { return b.abortOne(s) })
		b.Work(s)
		b.RequireOnce()
		require.Positive(t, tap.Count(kmsg.AddPartitionsToTxn), "the marker was not written again")
	})

	// The marker in the group's offsets is the one that is forgotten.
	t.Run("offsets", func(t *testing.T) {
		b := newMarkersBench(t, cluster, 3)
		s, tap := b.openTapped()
		b.Write(300)
		b.forgetOffsets(tap, func() error { return b.commitOne(s) })
		b.Eventually("the group's offsets hang", b.offsetsHang)
		b.Write(300)
		lost := b.loseCommit(tap, wiretap.DropRequest)
		again := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropRequest, Count: 2}) // of what writes the marker again
		b.Work(s)
		b.RequireOnce()
		require.Equal(t, 2, again.Hits())
		require.Positive(t, lost.Hits())
	})

	// The same, and the answer to the commit is lost too: the group's offsets, which hang, cannot say what became of it.
	t.Run("offsets, in doubt", func(t *testing.T) {
		b := newMarkersBench(t, cluster, 3)
		s, tap := b.openTapped()
		b.Write(300)
		lost := b.loseCommit(tap, wiretap.DropReply)
		b.forgetOffsets(tap, func() error { return b.commitOne(s) })
		b.Write(300)
		b.Work(s)
		b.RequireOnce()
		require.Positive(t, lost.Hits())
	})
}

// markersBench is a bench whose group's offsets, and output if so asked, have one replica.
type markersBench struct {
	*bench.Bench
	name      rune  // of its sessions
	forgotten int32 // the partition of the output that gets no marker
}

// newMarkersBench is a bench on a cluster of three brokers whose output has so many replicas and takes small records only.
func newMarkersBench(t *testing.T, cluster *kafkatest.Cluster, replicas int16) *markersBench {
	t.Helper()
	b := &markersBench{Bench: bench.NewOn(t, cluster)}
	b.Out = kafkatest.Name(t, "single")
	for b.name = 'a'; ; b.name++ { // until the one coordinator can die and the other lives
		if txn, group := b.coordinators(); txn != group {
			break
		}
	}
	cluster.CreateReplicated(t, b.Out, bench.Partitions, replicas, "max.message.bytes=100000")
	return b
}

// forgetMarker has end end a transaction with the id of the bench's session while one of the output's partitions has no leader,
// though it took records of it. It returns when the partition has a leader again.
func (b *markersBench) forgetMarker(tap *wiretap.Tap, end func() error) {
	b.T.Helper()
	txn, group := b.coordinators()
	victim := int32(-1)
	for p, leader := range b.Leaders(b.Out) {
		if leader != txn && leader != group {
			b.forgotten, victim = p, leader
		}
	}
	require.NotEqual(b.T, int32(-1), victim, "no broker leads a partition and coordinates nothing")
	b.endWithout(victim, b.Out, tap, end)
}

// forgetOffsets is the same for the partition of the group's offsets.
func (b *markersBench) forgetOffsets(tap *wiretap.Tap, end func() error) {
	b.T.Helper()
	_, group := b.coordinators()
	b.endWithout(group, "__consumer_offsets", tap, end)
}

// offsetsHang says whether offsets of the group wait for the end of a transaction.
func (b *markersBench) offsetsHang() bool {
	b.T.Helper()
	resp, err := b.Adm.FetchOffsets(kadm.RequireStable(b.T.Context()), b.Group)
	return err == nil && errors.Is(resp.Error(), kerr.UnstableOffsetCommit)
}

// coordinators returns which brokers coordinate the transactions of the bench's session, and the group.
func (b *markersBench) coordinators() (txn, group int32) {
	b.T.Helper()
	id := b.Group + "-" + string(b.name)
	b.Eventually("there are coordinators", func() bool {
		t := b.Adm.FindTxnCoordinators(b.T.Context(), id)[id]
		g := b.Adm.FindGroupCoordinators(b.T.Context(), b.Group)[b.Group]
		txn, group = t.NodeID, g.NodeID
		return t.Err == nil && g.Err == nil
	})
	return txn, group
}

// endWithout has end end a transaction while the victim is dead, which leads partitions of the topic that have no other
// replica. It returns when the transaction is complete and the victim is back.
func (b *markersBench) endWithout(victim int32, topic string, tap *wiretap.Tap, end func() error) {
	b.T.Helper()
	all := len(b.Leaders(topic))
	held := tap.Hold(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.HoldRequest})
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	b.Await(held.Reached(), "EndTxn is sent")
	b.Cluster.Kill(b.T, int(victim))
	b.Eventually("partitions have no leader", func() bool { return len(b.Leaders(topic)) < all })
	held.Release()
	id := b.Group + "-" + string(b.name)
	b.Eventually("the transaction is complete", func() bool {
		d, err := b.Adm.DescribeTransactions(b.T.Context(), id)
		return err == nil && slices.Contains([]string{"CompleteCommit", "CompleteAbort", "Empty"}, d[id].State) // Empty: a new client, already
	})
	b.Cluster.Restart(b.T, int(victim))
	select {
	case err := <-ended:
		require.NoError(b.T, err)
	case <-time.After(bench.Deadline):
		require.FailNow(b.T, "the transaction does not end")
	}
}

// hangs says whether a transaction is open in the forgotten partition.
func (b *markersBench) hangs() (open bool) {
	b.T.Helper()
	topics := kadm.TopicsSet{}
	topics.Add(b.Out, b.forgotten)
	producers, err := b.Adm.DescribeProducers(b.T.Context(), topics)
	if err != nil {
		return false // the broker has just come back
	}
	producers.EachProducer(func(p kadm.DescribedProducer) { open = open || p.CurrentTxnStartOffset >= 0 })
	return open
}

// openTapped opens a session that takes all 300 records that a test writes into one batch.
func (b *markersBench) openTapped() (*eos.Session, *wiretap.Tap) {
	b.T.Helper()
	cfg, tap := b.Tapped(string(b.name))
	cfg.MaxRecords, cfg.MaxAge = 300, 5*time.Second
	return b.Open(cfg), tap
}

// commitOne commits one batch of 300 records.
func (b *markersBench) commitOne(s *eos.Session) error {
	batch, err := s.Poll(b.T.Context())
	if err != nil {
		return err
	}
	if len(batch.Records) != 300 {
		return fmt.Errorf("a batch of %d records", len(batch.Records))
	}
	return s.Commit(b.T.Context(), batch, b.Copies(batch))
}

// abortOne has a batch of 300 records aborted after all of them are in the log: one record more is too large. A session
// that has lost its client meanwhile aborts for that first, and does it again.
func (b *markersBench) abortOne(s *eos.Session) error {
	ctx, cancel := context.WithTimeout(b.T.Context(), 3*bench.Deadline) // a broker may be gone meanwhile
	defer cancel()
	for {
		batch, err := s.Poll(ctx)
		if err != nil {
			return err
		}
		outs := b.Copies(batch)
		if len(batch.Records) > 0 {
			outs = b.tooLarge(batch)
		}
		switch err := s.Commit(ctx, batch, outs); {
		case errors.Is(err, eos.ErrProduce):
			b.T.Logf("aborted: %v", err)
			return nil
		case err != nil && bench.Next(err) != eos.PollAgain:
			return err
		}
	}
}

// loseCommit has the next commit of a session, or all answers to it, lost until the client is given up for a new one.
// What is to write markers again is told by its AddOffsetsToTxn, which a session's own transactions do not need.
func (b *markersBench) loseCommit(tap *wiretap.Tap, how wiretap.Action) *wiretap.Fault {
	var repeating atomic.Bool
	tap.Add(wiretap.Rule{
		API: kmsg.AddOffsetsToTxn, Action: wiretap.CallOnRequest, Count: wiretap.Always,
		Call: func(wiretap.Event) { repeating.Store(true) },
	})
	fault := tap.Add(wiretap.Rule{
		API: kmsg.EndTxn, Action: how, Count: wiretap.Always,
		When: func(wiretap.Request) bool { return !repeating.Load() },
	})
	tap.Add(wiretap.Rule{API: kmsg.InitProducerID, Action: wiretap.CallOnRequest, Count: wiretap.Always, Call: func(wiretap.Event) {
		repeating.Store(false)
		if fault.Hits() > 0 {
			fault.Remove()
		}
	}})
	return fault
}

// tooLarge are copies of a batch and one record more that the output does not take, in a partition that gets its marker.
func (b *markersBench) tooLarge(batch eos.Batch) iter.Seq[*kgo.Record] {
	return func(yield func(*kgo.Record) bool) {
		for r := range b.Copies(batch) {
			if !yield(r) {
				return
			}
		}
		large := make([]byte, 200_000)
		_, _ = rand.NewChaCha8([32]byte{}).Read(large) // it does not compress
		yield(&kgo.Record{Topic: b.Out, Partition: (b.forgotten + 1) % bench.Partitions, Value: large})
	}
}
