package integration

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
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
		b := newMarkersBench(t, cluster)
		tap := wiretap.New()
		t.Cleanup(tap.Close)
		s, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(cluster.Bootstrap()...), kgo.ConsumerGroup(b.group), kgo.ConsumeTopics(b.in),
			kgo.TransactionalID(b.group+"-a"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.Dialer(tap.Dial))
		require.NoError(t, err)
		t.Cleanup(s.Close)
		round := func(end kgo.TransactionEndTry) {
			t.Helper()
			var polled []*kgo.Record
			for len(polled) < 300 {
				fetches := s.PollFetches(t.Context())
				require.NoError(t, fetches.Err())
				polled = append(polled, fetches.Records()...)
			}
			require.NoError(t, s.Begin())
			for _, r := range polled {
				s.Produce(t.Context(), &kgo.Record{Topic: b.out, Partition: r.Partition, Value: r.Value}, nil)
			}
			require.NoError(t, s.Client().Flush(t.Context()))
			committed, err := s.End(t.Context(), end)
			require.NoError(t, err)
			require.Equal(t, bool(end), committed)
		}
		b.write(300)
		b.forgetMarker(tap, func() { round(kgo.TryCommit) })
		b.write(300)
		round(kgo.TryAbort)
		round(kgo.TryCommit)
		lost := b.verdict()
		t.Logf("plain loop: %s, and no error", lost)
		require.EqualValues(t, 100, lost.Lost)
	})

	t.Run("session", func(t *testing.T) {
		b := newMarkersBench(t, cluster)
		s, tap := b.openTapped()
		b.write(300)
		b.forgetMarker(tap, func() { b.commitOne(s) })
		b.write(300)
		b.abortOne(s)
		b.work(s)
		b.requireOnce()
	})

	// The process dies together with the broker; its successor finds what hangs.
	t.Run("successor", func(t *testing.T) {
		b := newMarkersBench(t, cluster)
		dead, tap := b.openTapped()
		b.write(300)
		b.forgetMarker(tap, func() {
			b.commitOne(dead)
			tap.Cut()
		})
		s, _ := b.openTapped()
		b.write(300)
		b.abortOne(s)
		b.work(s)
		b.requireOnce()
	})

	// What is aborted stays aborted, though its marker was forgotten and the next transaction commits.
	t.Run("abort", func(t *testing.T) {
		b := newMarkersBench(t, cluster)
		s, tap := b.openTapped()
		b.write(300)
		b.forgetMarker(tap, func() { b.abortOne(s) })
		b.work(s)
		b.requireOnce()
	})

	// The marker in the group's offsets is the one that is forgotten.
	t.Run("offsets", func(t *testing.T) {
		b := newMarkersBench(t, cluster)
		s, tap := b.openTapped()
		b.write(300)
		b.forgetOffsets(tap, func() { b.commitOne(s) })
		b.eventually("the group's offsets hang", b.offsetsHang)
		b.write(300)
		lost := b.loseCommit(tap, wiretap.DropRequest)
		b.work(s)
		b.requireOnce()
		require.Positive(t, lost.Hits())
	})

	// The same, and the answer to the commit is lost too: the group's offsets, which hang, cannot say what became of it.
	t.Run("offsets, in doubt", func(t *testing.T) {
		b := newMarkersBench(t, cluster)
		s, tap := b.openTapped()
		b.write(300)
		lost := b.loseCommit(tap, wiretap.DropReply)
		b.forgetOffsets(tap, func() { b.commitOne(s) })
		b.write(300)
		b.work(s)
		b.requireOnce()
		require.Positive(t, lost.Hits())
	})
}

// markersBench is a sessionBench whose output has one replica of each partition.
type markersBench struct {
	*sessionBench
	forgotten int32 // the partition of the output that gets no marker
}

// newMarkersBench is a bench on a cluster of three brokers whose output has one replica and takes small records only.
func newMarkersBench(t *testing.T, cluster *kafkatest.Cluster) *markersBench {
	t.Helper()
	b := &markersBench{sessionBench: newSessionBenchOn(t, cluster)}
	b.out = kafkatest.Name(t, "single")
	limit := "100000"
	for txn, group := b.coordinators(); txn == group; txn, group = b.coordinators() {
		b.group = kafkatest.Name(t, "g") // that one of them can die and the other live
	}
	_, err := b.adm.CreateTopic(t.Context(), sessionPartitions, 1, map[string]*string{"max.message.bytes": &limit}, b.out)
	require.NoError(t, err)
	b.eventually("the output has leaders", func() bool { return len(b.leaders(b.out)) == sessionPartitions })
	return b
}

// leaders returns the leaders of a topic's partitions, of those that have one.
func (b *markersBench) leaders(topic string) map[int32]int32 {
	b.t.Helper()
	leaders := map[int32]int32{}
	topics, err := b.adm.ListTopicsWithInternal(b.t.Context(), topic)
	require.NoError(b.t, err)
	for p, detail := range topics[topic].Partitions {
		if detail.Leader >= 0 {
			leaders[p] = detail.Leader
		}
	}
	return leaders
}

// forgetMarker has end end a transaction with the id of session "a" while one of the output's partitions has no leader,
// though it took records of it. It returns when the partition has a leader again, and the transaction is open there.
func (b *markersBench) forgetMarker(tap *wiretap.Tap, end func()) {
	b.t.Helper()
	txn, group := b.coordinators()
	victim := int32(-1)
	for p, leader := range b.leaders(b.out) {
		if leader != txn && leader != group {
			b.forgotten, victim = p, leader
		}
	}
	require.NotEqual(b.t, int32(-1), victim, "no broker leads a partition and coordinates nothing")
	b.endWithout(victim, b.out, tap, end)
	b.eventually("the transaction hangs in the partition", b.hangs)
}

// forgetOffsets is the same for the partition of the group's offsets.
func (b *markersBench) forgetOffsets(tap *wiretap.Tap, end func()) {
	b.t.Helper()
	_, group := b.coordinators()
	b.endWithout(group, "__consumer_offsets", tap, end)
}

// offsetsHang says whether offsets of the group wait for the end of a transaction.
func (b *markersBench) offsetsHang() bool {
	b.t.Helper()
	resp, err := b.adm.FetchOffsets(kadm.RequireStable(b.t.Context()), b.group)
	return err == nil && errors.Is(resp.Error(), kerr.UnstableOffsetCommit)
}

// coordinators returns which brokers coordinate the transactions of session "a", and the group.
func (b *markersBench) coordinators() (txn, group int32) {
	b.t.Helper()
	id := b.group + "-a"
	b.eventually("there are coordinators", func() bool {
		t := b.adm.FindTxnCoordinators(b.t.Context(), id)[id]
		g := b.adm.FindGroupCoordinators(b.t.Context(), b.group)[b.group]
		txn, group = t.NodeID, g.NodeID
		return t.Err == nil && g.Err == nil
	})
	return txn, group
}

// endWithout has end end a transaction while the victim is dead, which leads partitions of the topic that have no other
// replica. It returns when the transaction is complete and the victim is back.
func (b *markersBench) endWithout(victim int32, topic string, tap *wiretap.Tap, end func()) {
	b.t.Helper()
	all := len(b.leaders(topic))
	held := tap.Hold(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.HoldRequest})
	ended := make(chan struct{})
	go func() { defer close(ended); end() }()
	b.await(held.Reached(), "EndTxn is sent")
	b.kafka.Kill(b.t, int(victim))
	b.eventually("partitions have no leader", func() bool { return len(b.leaders(topic)) < all })
	held.Release()
	id := b.group + "-a"
	b.eventually("the transaction is complete", func() bool {
		d, err := b.adm.DescribeTransactions(b.t.Context(), id)
		return err == nil && (d[id].State == "CompleteCommit" || d[id].State == "CompleteAbort")
	})
	b.kafka.Restart(b.t, int(victim))
	b.await(ended, "the end of the transaction")
}

// hangs says whether a transaction is open in the forgotten partition.
func (b *markersBench) hangs() (open bool) {
	b.t.Helper()
	topics := kadm.TopicsSet{}
	topics.Add(b.out, b.forgotten)
	producers, err := b.adm.DescribeProducers(b.t.Context(), topics)
	if err != nil {
		return false // the broker has just come back
	}
	producers.EachProducer(func(p kadm.DescribedProducer) { open = open || p.CurrentTxnStartOffset >= 0 })
	return open
}

// openTapped opens a session that takes all 300 records that a test writes into one batch.
func (b *markersBench) openTapped() (*eos.Session, *wiretap.Tap) {
	b.t.Helper()
	cfg, tap := b.tapped("a")
	cfg.MaxRecords, cfg.MaxAge = 300, 5*time.Second
	return b.open(cfg), tap
}

// commitOne commits one batch of 300 records.
func (b *markersBench) commitOne(s *eos.Session) {
	b.t.Helper()
	batch := b.poll(s)
	require.Len(b.t, batch.Records, 300)
	require.NoError(b.t, s.Commit(b.t.Context(), batch, b.copies(batch)))
}

// abortOne has a batch of 300 records aborted after all of them are in the log: one record more is too large. A session
// that has lost its client meanwhile aborts for that first, and does it again.
func (b *markersBench) abortOne(s *eos.Session) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), sessionDeadline)
	defer cancel()
	for {
		batch, err := s.Poll(ctx)
		require.NoError(b.t, err)
		if len(batch.Records) > 0 {
			err = s.Commit(ctx, batch, b.tooLarge(batch))
			require.Error(b.t, err)
			b.t.Logf("aborted: %v", err)
			if errors.Is(err, eos.ErrProduce) {
				return
			}
		} else {
			require.NoError(b.t, s.Commit(ctx, batch, b.copies(batch)))
		}
	}
}

// loseCommit has the next commit, or all answers to it, lost until the client is given up for a new one.
func (b *markersBench) loseCommit(tap *wiretap.Tap, how wiretap.Action) *wiretap.Fault {
	fault := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: how, Count: wiretap.Always})
	tap.Add(wiretap.Rule{API: kmsg.InitProducerID, Action: wiretap.CallOnRequest, Count: wiretap.Always, Call: func(wiretap.Event) {
		if fault.Hits() > 0 {
			fault.Remove()
		}
	}})
	return fault
}

// tooLarge are copies of a batch and one record more that the output does not take, in a partition that gets its marker.
func (b *markersBench) tooLarge(batch eos.Batch) iter.Seq[*kgo.Record] {
	return func(yield func(*kgo.Record) bool) {
		for r := range b.copies(batch) {
			if !yield(r) {
				return
			}
		}
		large := make([]byte, 200_000)
		_, _ = rand.NewChaCha8([32]byte{}).Read(large) // it does not compress
		yield(&kgo.Record{Topic: b.out, Partition: (b.forgotten + 1) % sessionPartitions, Value: large})
	}
}
