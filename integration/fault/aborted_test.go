package fault

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
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
	b := bench.NewOn(t, cluster)
	leader := b.Leaders(b.In)[0]
	behind := leader%3 + 1
	fetchLittle := kgo.FetchMaxPartitionBytes(20_000)

	cluster.Kill(t, int(behind))
	writeAborted(b)
	require.Zero(t, plainGets(b, fetchLittle), "of the leader that has written them")
	cluster.Restart(t, int(behind))
	moveLeader(b, b.In, behind)

	given := plainGets(b, fetchLittle)
	t.Logf("the plain loop is given %d records of an aborted transaction by broker %d, which was behind", given, behind)
	require.Positive(t, given)

	cfg := b.Config("a")
	cfg.Client = []kgo.Opt{fetchLittle}
	cfg.MaxRecords = 7
	s := b.Open(cfg)
	require.Empty(t, b.Copy(s, 1))
	b.RequireOnce()
}

// writeAborted writes what testAbortedNotListed says, with one record that is to be copied.
func writeAborted(b *bench.Bench) {
	b.T.Helper()
	a, other := b.Producer("-a"), b.Producer("-b")
	write := func(cl *kgo.Client, rs ...*kgo.Record) {
		for _, r := range rs {
			require.NoError(b.T, cl.ProduceSync(b.T.Context(), r).FirstErr())
		}
	}
	aborted := func(n int) (rs []*kgo.Record) {
		for range n {
			rs = append(rs, &kgo.Record{Topic: b.In, Value: make([]byte, 10_000)})
		}
		return rs
	}
	require.NoError(b.T, a.BeginTransaction())
	write(a, aborted(1)...)
	require.NoError(b.T, a.EndTransaction(b.T.Context(), kgo.TryAbort))
	require.NoError(b.T, errors.Join(a.BeginTransaction(), other.BeginTransaction()))
	write(a, aborted(30)...)
	write(other, b.Next(0, 0))
	require.NoError(b.T, a.EndTransaction(b.T.Context(), kgo.TryAbort))
	require.NoError(b.T, other.EndTransaction(b.T.Context(), kgo.TryCommit))
}

// plainGets returns how many records of aborted transactions a read_committed reader is given of partition 0 of the input.
func plainGets(b *bench.Bench, opts ...kgo.Opt) (aborted int) {
	b.T.Helper()
	cl := b.Cluster.Client(b.T, append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{b.In: {0: kgo.NewOffset().AtStart()}}),
		kgo.KeepControlRecords(), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	defer cl.Close()
	end := b.Stable(b.In)[offsets.Partition{Topic: b.In}].Offset
	for next := int64(0); next < end; {
		fetches := cl.PollFetches(b.T.Context())
		require.NoError(b.T, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if _, ok := bench.ParseRecord(r.Value); !ok && !r.Attrs.IsControl() {
				aborted++
			}
		})
	}
	return aborted
}

// moveLeader has a broker lead partition 0 of a topic.
func moveLeader(b *bench.Bench, topic string, to int32) {
	b.T.Helper()
	order := slices.DeleteFunc([]int32{to, 1, 2, 3}, func(n int32) bool { return n == to })
	var move kadm.AlterPartitionAssignmentsReq
	move.Assign(topic, 0, append([]int32{to}, order...))
	answers, err := b.Adm.AlterPartitionAssignments(b.T.Context(), move)
	require.NoError(b.T, errors.Join(err, answers.Error()))
	set := kadm.TopicsSet{}
	set.Add(topic, 0)
	b.Eventually(fmt.Sprintf("broker %d leads %s", to, topic), func() bool {
		_, err := b.Adm.ElectLeaders(b.T.Context(), kadm.ElectPreferredReplica, set)
		return err == nil && b.Leaders(topic)[0] == to
	})
}
