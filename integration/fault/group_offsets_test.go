package fault

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// A transaction of another producer hangs on the input. The session processes what is before it, and waits: nothing of the
// open transaction is read. When it is aborted, the session goes on behind it.
func TestFaultHangingTransactionOnInput(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	w := b.Work(b.Open(b.Config("a")))
	b.Write(30)
	b.CaughtUp()
	foreign := b.Cluster.Client(t, kgo.TransactionalID(b.Group+"-foreign"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, foreign.BeginTransaction())
	require.NoError(t, foreign.ProduceSync(t.Context(), &kgo.Record{Topic: b.In, Partition: 1, Value: []byte("never")}).FirstErr())
	b.Write(30)
	open := b.Stable(b.In)
	require.False(t, open.Equal(b.Ends(b.In)), "the transaction holds the input")
	b.Eventually("what is before the open transaction is processed", func() bool { return b.Committed().Equal(open) })
	require.NoError(t, foreign.EndTransaction(t.Context(), kgo.TryAbort))
	b.RequireOnce()
	require.Empty(t, w.Stop(t))
}

// setOffset sets the group's offset of a partition by hand, as kafka-consumer-groups.sh --reset-offsets does.
func setOffset(b *bench.Bench, partition int32, at int64) {
	b.T.Helper()
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: b.In, Partition: partition, At: at, LeaderEpoch: -1})
	require.NoError(b.T, b.Adm.CommitAllOffsets(b.T.Context(), b.Group, os))
}

// The group's offset is set forward by hand between two runs: what is passed over is not processed, and nothing else is
// missing. The group is the truth of what is processed, also where a human has changed it.
func TestFaultOffsetSetForward(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	b.Write(30)
	s := b.Open(b.Config("a"))
	require.Empty(t, b.Copy(s, 30))
	b.Write(30)
	require.NoError(t, s.Close(t.Context()))
	setOffset(b, 1, 15)
	for n := int64(10); n < 15; n++ {
		b.Dropped[bench.Record{Partition: 1, Number: n}] = true
	}
	w := b.Work(b.Open(b.Config("a")))
	b.RequireOnce()
	w.Stop(t)
}

// While a session runs, nobody else can set the group's offsets or delete the group: the brokers refuse it.
func TestFaultGroupIsProtectedWhileItRuns(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	w := b.Work(b.Open(b.Config("a")))
	b.Write(30)
	b.CaughtUp()
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: b.In, Partition: 1, At: 0, LeaderEpoch: -1})
	require.ErrorIs(t, b.Adm.CommitAllOffsets(t.Context(), b.Group, os), kerr.UnknownMemberID)
	deleted, err := b.Adm.DeleteGroups(t.Context(), b.Group)
	require.NoError(t, err)
	require.ErrorIs(t, deleted[b.Group].Err, kerr.NonEmptyGroup)
	b.Write(30)
	b.RequireOnce()
	w.Stop(t)
}

// The group's offset is set back by hand: what is behind it is processed again, as whoever set it wants, and a warning
// says which offsets are not the pipe's own.
func TestFaultOffsetSetBack(t *testing.T) {
	t.Parallel()
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{2}, To: []int32{2}}, "--until-end")
	p.Fill(100)
	require.Zero(t, p.Start("a").Wait(time.Minute))
	p.RequireExactlyOnce(100, 100)
	ends, err := p.Listed(t.Context(), p.Adm.ListEndOffsets, p.From)
	require.NoError(t, err)
	at := offsets.Partition{Topic: p.From[0], Number: 1}
	var back kadm.Offsets
	back.AddOffset(at.Topic, at.Number, ends[at].Offset-7, -1)
	require.NoError(t, p.Adm.CommitAllOffsets(t.Context(), p.Group, back))
	pr := p.Start("a")
	require.Zero(t, pr.Wait(time.Minute))
	require.Contains(t, pr.Stderr(), "set by hand or by another program")
	require.Contains(t, pr.Stderr(), fmt.Sprintf(`"offsets":"%v=%d"`, at, ends[at].Offset-7))
	report, err := p.Audit(t.Context())
	require.Error(t, err)
	require.EqualValues(t, 7, report.Doubled, "the records that it was set back by, and no others: %v", report)
	require.Zero(t, report.Lost+report.Phantom+report.Torn)
}

// The group is deleted while nothing runs, which is the same as that its offsets expire. With --start none the pipe refuses
// to begin again from the topic's start, says so, and copies nothing twice; from offsets that are set again it goes on.
func TestFaultGroupDeletedBetweenRuns(t *testing.T) {
	t.Parallel()
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{2}, To: []int32{2}}, "--until-end")
	p.Fill(100)
	require.Zero(t, p.Start("a", "--start", "earliest").Wait(time.Minute))
	committed, err := p.Committed(t.Context())
	require.NoError(t, err)
	p.Fill(50)
	deleted, err := p.Adm.DeleteGroups(t.Context(), p.Group)
	require.NoError(t, errors.Join(err, deleted.Error()))
	hint := p.Start("a", "--start", "none").RequireFails(20*time.Second, 4, "no committed offset", p.Group, p.From[0]+"-0", p.From[0]+"-1")
	require.Contains(t, hint, "--reset-offsets")
	var again kadm.Offsets
	for at, pos := range committed {
		again.AddOffset(at.Topic, at.Number, pos.Offset, -1)
	}
	require.NoError(t, p.Adm.CommitAllOffsets(t.Context(), p.Group, again))
	require.Zero(t, p.Start("a", "--start", "none").Wait(time.Minute))
	p.RequireExactlyOnce(150, 150)
}

// A transaction of another producer that stays open on the input is said in a warning, while the session waits at it: where it is, whose it is, since
// when, and who ends it. A run with --until-end ends beside it, and says how many offsets it leaves.
func TestFaultOpenTransactionIsSaid(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	cfg, log := b.Config("a"), &bench.Log{}
	cfg.Logger = slog.New(slog.NewMultiHandler(cfg.Logger.Handler(), slog.NewTextHandler(log, nil)))
	w := b.Work(b.Open(cfg))
	b.Write(30)
	b.CaughtUp()
	foreign := b.Cluster.Client(t, kgo.TransactionalID(b.Group+"-foreign"), kgo.TransactionTimeout(10*time.Minute), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, foreign.BeginTransaction())
	require.NoError(t, foreign.ProduceSync(t.Context(), &kgo.Record{Topic: b.In, Partition: 1, Value: []byte("never")}).FirstErr())
	id, _, err := foreign.ProducerID(t.Context())
	require.NoError(t, err)
	b.Write(30)

	p := proc.New(t, b.Cluster, proc.Shape{To: []int32{1}}, "--until-end")
	p.From = []string{b.In}
	pr := p.Start("a")
	require.Zero(t, pr.Wait(time.Minute), "%q", pr.Said())
	require.Contains(t, pr.Stderr(), `"left":11,`, "the record of the transaction, and ten behind it")

	warning := []string{"a transaction of another producer is open on the input", "since="}
	require.NoError(t, log.Await(t.Context(), warning...))
	line := log.With(warning...)
	for _, text := range []string{
		"level=WARN", "partition=" + b.In + "-1", "offset=10", "producer_id=" + strconv.FormatInt(id, 10), "open_transactional_id=" + b.Group + "-foreign",
		"behind=11", `ends="its producer, or the coordinator at `,
	} {
		require.Contains(t, line, text)
	}
	require.NoError(t, foreign.EndTransaction(t.Context(), kgo.TryAbort))
	b.RequireOnce()
	w.Stop(t)
}
