package storm

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// A storm over three brokers: processes are killed at random moments, also while a broker has been killed; are stopped
// until others have taken over, and go on; brokers are killed, and restarted in turn; coordinators move; members join and
// leave, and vanish for good. A million records come over, each once and in order; a reader beside the faults gets what one
// gets afterwards; the log's own markers say the same; each output was committed with its offset; and nothing is left open.
// When the pipe is started once more, nothing changes.
func TestStorm(t *testing.T) {
	const records = 1_000_000
	s := newStorm(t, stormCluster(t), 3_500)
	s.play(slices.Concat(
		repeated(7, s.killOne), repeated(6, s.killBroker), repeated(6, s.makeZombie), repeated(3, s.moveCoordinators),
		repeated(1, s.restartAll), repeated(1, s.joinAndLeave), repeated(1, s.vanish),
	), func() bool { return false })
	total := s.finish(records)
	s.note("what has happened: %+v", s.counts)
	require.GreaterOrEqual(t, s.counts.Kills, 30)
	require.GreaterOrEqual(t, s.counts.KillsBeside, 12)
	require.Equal(t, 6, s.counts.BrokerKills)
	require.Equal(t, 6, s.counts.Zombies)
	require.Equal(t, 1, s.counts.Rolling)
	require.Equal(t, 3, s.counts.Moves)
	require.Equal(t, 1, s.counts.Joins)
	require.Equal(t, 1, s.counts.Leaves)
	require.Equal(t, 1, s.counts.Vanished)
	first := s.judge(total)
	require.GreaterOrEqual(t, first.Out, int64(records))
	require.Positive(t, first.log.Aborts, "transactions were aborted, and so the logs had something to tell apart")
	s.judgeLate(first)
}

// stormPlanted is a pipe that has copied some records, all well, and that stands still. What is planted comes behind.
func stormPlanted(t *testing.T) *proc.Pipe {
	t.Helper()
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{1}, To: []int32{1}}, "--until-end", "--max-records", "20")
	p.Record = proc.JSONRecord
	p.Fill(100)
	require.Zero(t, p.Start("a").Wait(time.Minute))
	p.RequireNothingOpen()
	got, err := examine(p)
	require.NoError(t, err)
	require.Equal(t, "in=100 out=100 lost=0 doubled=0 phantom=0 reordered=0 torn=0 foreign=0 retimed=0", got.String())
	require.Positive(t, got.commits.Commits)
	require.EqualValues(t, 100, got.commits.Outputs)
	return p
}

// copyByHand writes what the pipe would write of the input from this offset on, by any client.
func copyByHand(p *proc.Pipe, cl *kgo.Client, from, to int64) {
	p.T.Helper()
	at := offsets.Partition{Topic: p.From[0]}
	var outs []*kgo.Record
	require.NoError(p.T, p.Read(p.T.Context(), offsets.Set{at: offsets.NewPosition(to)}, func(r *kgo.Record) {
		if r.Offset >= from {
			outs = append(outs, &kgo.Record{
				Topic: p.To[0], Key: r.Key, Value: r.Value, Timestamp: r.Timestamp,
				Headers: append(slices.Clone(r.Headers), proc.Provenance(at, r.Offset, 0, 1)),
			})
		}
	}))
	require.NoError(p.T, cl.ProduceSync(p.T.Context(), outs...).FirstErr())
}

// What the storm is judged by finds what is planted behind a pipe's own output, on real Kafka.
func TestStormPlanted(t *testing.T) {
	t.Run("offset ahead", func(t *testing.T) {
		p := stormPlanted(t)
		p.Fill(10)
		p.CommitAt(110)
		got, err := examine(p)
		require.Error(t, err)
		require.EqualValues(t, 10, got.Lost)
	})
	t.Run("offset behind", func(t *testing.T) {
		p := stormPlanted(t)
		p.CommitAt(90)
		got, err := examine(p)
		require.Error(t, err)
		require.EqualValues(t, 10, got.Phantom)
		require.EqualValues(t, 1, got.commits.Backward)
	})
	t.Run("a copy that is right, and not of the transaction that committed its offset", func(t *testing.T) {
		p := stormPlanted(t)
		p.Fill(10)
		copyByHand(p, p.Cluster.Client(t), 100, 110)
		p.CommitAt(110)
		got, err := examine(p)
		require.ErrorContains(t, err, "not committed together")
		require.True(t, got.OK(), "the copy as a whole has no fault")
		require.EqualValues(t, 10, got.commits.Astray)
	})
	t.Run("output without an offset", func(t *testing.T) {
		p := stormPlanted(t)
		p.Fill(10)
		copyByHand(p, p.Cluster.Client(t), 100, 110)
		got, err := examine(p)
		require.Error(t, err)
		require.EqualValues(t, 10, got.Phantom)
		require.EqualValues(t, 10, got.commits.Early)
	})
	t.Run("a transaction that stays open", func(t *testing.T) {
		p := stormPlanted(t)
		txn := openByHand(p, t)
		_, ending, err := p.Open(t.Context())
		require.NoError(t, err)
		require.Len(t, ending, 2, "the partition, and the producer in it: %v", ending)
		logs, readings := logsAndReadings(p, t, kgo.ReadCommitted())
		got := logs.Report(readings)
		require.EqualValues(t, 1, got.Stuck)
		require.EqualValues(t, 1, got.Open)
		require.NoError(t, txn.EndTransaction(t.Context(), kgo.TryAbort))
	})
	t.Run("a reader that is told what was aborted", func(t *testing.T) {
		p := stormPlanted(t)
		require.NoError(t, openByHand(p, t).EndTransaction(t.Context(), kgo.TryAbort))
		p.AwaitNothingOpen(stormPatience)
		log, right := logsAndReadings(p, t, kgo.ReadCommitted())
		require.True(t, log.Report(right).OK())
		log, wrong := logsAndReadings(p, t, kgo.ReadUncommitted())
		require.EqualValues(t, 1, log.Report(wrong).AbortedRead)
		require.NotEmpty(t, right.Diff(wrong), "and the two readers differ")
	})
}

// openByHand opens a transaction of a client of its own, with a copy of a record in it.
func openByHand(p *proc.Pipe, t *testing.T) *kgo.Client {
	t.Helper()
	txn := p.Cluster.Client(t, kgo.TransactionalID(kafkatest.Name(t, "producer")))
	require.NoError(t, txn.BeginTransaction())
	copyByHand(p, txn, 99, 100)
	return txn
}

// logsAndReadings returns the log of the output's only partition to its end, and what a reader of this level gets of it.
func logsAndReadings(p *proc.Pipe, t *testing.T, level kgo.IsolationLevel) (*checker.Log, *checker.Reading) {
	t.Helper()
	at := offsets.Partition{Topic: p.To[0]}
	ends := func(list func(context.Context, ...string) (kadm.ListedOffsets, error)) offsets.Set {
		set, err := p.Listed(t.Context(), list, p.To)
		require.NoError(t, err)
		return set
	}
	logs, err := p.RawLogs(t.Context(), ends(p.Adm.ListEndOffsets), nil)
	require.NoError(t, err)
	reading := checker.NewReading(at)
	require.NoError(t, p.ReadAs(t.Context(), level, ends(p.Adm.ListCommittedOffsets), func(r *kgo.Record) {
		if !r.Attrs.IsControl() {
			reading.Record(r.Offset, proc.Fingerprint(0, r))
		}
	}))
	return logs[at], reading
}
