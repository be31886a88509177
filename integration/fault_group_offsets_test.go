package integration

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A transaction of another producer hangs on the input. The session processes what is before it, and waits: nothing of the
// open transaction is read. When it is aborted, the session goes on behind it.
func TestFaultHangingTransactionOnInput(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t)
	w := b.work(b.open(b.config("a")))
	b.write(30)
	b.caughtUp()
	foreign := b.kafka.Client(t, kgo.TransactionalID(b.group+"-foreign"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, foreign.BeginTransaction())
	require.NoError(t, foreign.ProduceSync(t.Context(), &kgo.Record{Topic: b.in, Partition: 1, Value: []byte("never")}).FirstErr())
	b.write(30)
	open := b.stable(b.in)
	require.False(t, open.Equal(b.ends(b.in)), "the transaction holds the input")
	b.eventually("what is before the open transaction is processed", func() bool { return b.committed().Equal(open) })
	require.NoError(t, foreign.EndTransaction(t.Context(), kgo.TryAbort))
	b.requireOnce()
	require.Empty(t, w.stop(t))
}

// setOffset sets the group's offset of a partition by hand, as kafka-consumer-groups.sh --reset-offsets does.
func (b *sessionBench) setOffset(partition int32, at int64) {
	b.t.Helper()
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: b.in, Partition: partition, At: at, LeaderEpoch: -1})
	require.NoError(b.t, b.adm.CommitAllOffsets(b.t.Context(), b.group, os))
}

// The group's offset is set forward by hand between two runs: what is passed over is not processed, and nothing else is
// missing. The group is the truth of what is processed, also where a human has changed it.
func TestFaultOffsetSetForward(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t)
	b.write(30)
	s := b.open(b.config("a"))
	require.Empty(t, b.copy(s, 30))
	b.write(30)
	require.NoError(t, s.Close(t.Context()))
	b.setOffset(1, 15)
	for n := int64(10); n < 15; n++ {
		b.dropped[sessionRecord{1, n}] = true
	}
	w := b.work(b.open(b.config("a")))
	b.requireOnce()
	w.stop(t)
}

// While a session runs, nobody else can set the group's offsets or delete the group: the brokers refuse it.
func TestFaultGroupIsProtectedWhileItRuns(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t)
	w := b.work(b.open(b.config("a")))
	b.write(30)
	b.caughtUp()
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: b.in, Partition: 1, At: 0, LeaderEpoch: -1})
	require.ErrorIs(t, b.adm.CommitAllOffsets(t.Context(), b.group, os), kerr.UnknownMemberID)
	deleted, err := b.adm.DeleteGroups(t.Context(), b.group)
	require.NoError(t, err)
	require.ErrorIs(t, deleted[b.group].Err, kerr.NonEmptyGroup)
	b.write(30)
	b.requireOnce()
	w.stop(t)
}
