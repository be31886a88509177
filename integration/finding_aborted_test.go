package integration

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Finding 6: a broker that was behind, and has copied several transactions of one producer at once, lists too few aborted transactions
// when it leads. The plain loop is given the records of one for committed ones, and copies them. A session sees by the marker that
// it was aborted. It writes to partition 0 of the input:
//
//	producer a: one record, aborted
//	producer a: many records,                    aborted
//	producer b:               one record,                 committed
//
// The index of the broker says of the first that nothing before b's record is undecided behind it, and so the search for what was aborted ends there
// for every fetch that does not reach b's record.
func testAbortedNotListed(t *testing.T, cluster *kafkatest.Cluster) {
	b := newSessionBenchOn(t, cluster)
	leader := b.leaders(b.in)[0]
	behind := leader%3 + 1
	fetchLittle := kgo.FetchMaxPartitionBytes(20_000)

	cluster.Kill(t, int(behind))
	b.writeAborted()
	require.Zero(t, b.plainGets(fetchLittle), "of the leader that has written them")
	cluster.Restart(t, int(behind))
	b.moveLeader(b.in, behind)

	given := b.plainGets(fetchLittle)
	t.Logf("the plain loop is given %d records of an aborted transaction by broker %d, which was behind", given, behind)
	require.Positive(t, given)

	cfg := b.config("a")
	cfg.Client = []kgo.Opt{fetchLittle}
	cfg.MaxRecords = 7
	s := b.open(cfg)
	require.Empty(t, b.copy(s, 1))
	b.requireOnce()
}

// writeAborted writes what testAbortedNotListed says, with one record that is to be copied.
func (b *sessionBench) writeAborted() {
	b.t.Helper()
	a, other := b.producer("-a"), b.producer("-b")
	write := func(cl *kgo.Client, rs ...*kgo.Record) {
		for _, r := range rs {
			require.NoError(b.t, cl.ProduceSync(b.t.Context(), r).FirstErr())
		}
	}
	aborted := func(n int) (rs []*kgo.Record) {
		for range n {
			rs = append(rs, &kgo.Record{Topic: b.in, Value: make([]byte, 10_000)})
		}
		return rs
	}
	require.NoError(b.t, a.BeginTransaction())
	write(a, aborted(1)...)
	require.NoError(b.t, a.EndTransaction(b.t.Context(), kgo.TryAbort))
	require.NoError(b.t, errors.Join(a.BeginTransaction(), other.BeginTransaction()))
	write(a, aborted(30)...)
	write(other, b.next(0, 0))
	require.NoError(b.t, a.EndTransaction(b.t.Context(), kgo.TryAbort))
	require.NoError(b.t, other.EndTransaction(b.t.Context(), kgo.TryCommit))
}

// plainGets returns how many records of aborted transactions a read_committed reader is given of partition 0 of the input.
func (b *sessionBench) plainGets(opts ...kgo.Opt) (aborted int) {
	b.t.Helper()
	cl := b.kafka.Client(b.t, append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{b.in: {0: kgo.NewOffset().AtStart()}}),
		kgo.KeepControlRecords(), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	defer cl.Close()
	end := b.stable(b.in)[offsets.Partition{Topic: b.in}].Offset
	for next := int64(0); next < end; {
		fetches := cl.PollFetches(b.t.Context())
		require.NoError(b.t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if _, ok := parseSessionRecord(r.Value); !ok && !r.Attrs.IsControl() {
				aborted++
			}
		})
	}
	return aborted
}

// moveLeader has a broker lead partition 0 of a topic.
func (b *sessionBench) moveLeader(topic string, to int32) {
	b.t.Helper()
	order := slices.DeleteFunc([]int32{to, 1, 2, 3}, func(n int32) bool { return n == to })
	var move kadm.AlterPartitionAssignmentsReq
	move.Assign(topic, 0, append([]int32{to}, order...))
	answers, err := b.adm.AlterPartitionAssignments(b.t.Context(), move)
	require.NoError(b.t, errors.Join(err, answers.Error()))
	set := kadm.TopicsSet{}
	set.Add(topic, 0)
	b.eventually(fmt.Sprintf("broker %d leads %s", to, topic), func() bool {
		_, err := b.adm.ElectLeaders(b.t.Context(), kadm.ElectPreferredReplica, set)
		return err == nil && b.leaders(topic)[0] == to
	})
}
