package integration

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

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
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

// The group's offset is set back by hand: what is behind it is processed again, as whoever set it wants, and a warning
// says which offsets are not the pipe's own.
func TestFaultOffsetSetBack(t *testing.T) {
	t.Parallel()
	p := newPipe(t, kafkatest.Shared(t), shape{from: []int32{2}, to: []int32{2}}, "--until-end")
	p.fill(100)
	require.Zero(t, p.start("a").wait(time.Minute))
	p.requireExactlyOnce(100, 100)
	ends, err := p.listed(t.Context(), p.adm.ListEndOffsets, p.from)
	require.NoError(t, err)
	at := offsets.Partition{Topic: p.from[0], Number: 1}
	var back kadm.Offsets
	back.AddOffset(at.Topic, at.Number, ends[at].Offset-7, -1)
	require.NoError(t, p.adm.CommitAllOffsets(t.Context(), p.group, back))
	pr := p.start("a")
	require.Zero(t, pr.wait(time.Minute))
	require.Contains(t, pr.stderr(), "set by hand or by another program")
	require.Contains(t, pr.stderr(), fmt.Sprintf(`"offsets":"%v=%d"`, at, ends[at].Offset-7))
	report, err := p.audit(t.Context())
	require.Error(t, err)
	require.EqualValues(t, 7, report.Doubled, "the records that it was set back by, and no others: %v", report)
	require.Zero(t, report.Lost+report.Phantom+report.Torn)
}

// The group is deleted while nothing runs, which is the same as that its offsets expire. With --start none the pipe refuses
// to begin again from the topic's start, says so, and copies nothing twice; from offsets that are set again it goes on.
func TestFaultGroupDeletedBetweenRuns(t *testing.T) {
	t.Parallel()
	p := newPipe(t, kafkatest.Shared(t), shape{from: []int32{2}, to: []int32{2}}, "--until-end")
	p.fill(100)
	require.Zero(t, p.start("a", "--start", "earliest").wait(time.Minute))
	committed, err := p.committed(t.Context())
	require.NoError(t, err)
	p.fill(50)
	deleted, err := p.adm.DeleteGroups(t.Context(), p.group)
	require.NoError(t, errors.Join(err, deleted.Error()))
	hint := p.start("a", "--start", "none").requireFails(20*time.Second, 4, "no committed offset", p.group, p.from[0]+"-0", p.from[0]+"-1")
	require.Contains(t, hint, "--reset-offsets")
	var again kadm.Offsets
	for at, pos := range committed {
		again.AddOffset(at.Topic, at.Number, pos.Offset, -1)
	}
	require.NoError(t, p.adm.CommitAllOffsets(t.Context(), p.group, again))
	require.Zero(t, p.start("a", "--start", "none").wait(time.Minute))
	p.requireExactlyOnce(150, 150)
}

// A transaction of another producer that stays open on the input is said in a warning, while the session waits at it: where it is, whose it is, since
// when, and who ends it. A run with --until-end ends beside it, and says how many offsets it leaves.
func TestFaultOpenTransactionIsSaid(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t)
	cfg, log := b.config("a"), &linesOf{}
	cfg.Logger = slog.New(slog.NewMultiHandler(cfg.Logger.Handler(), slog.NewTextHandler(log, nil)))
	w := b.work(b.open(cfg))
	b.write(30)
	b.caughtUp()
	foreign := b.kafka.Client(t, kgo.TransactionalID(b.group+"-foreign"), kgo.TransactionTimeout(10*time.Minute), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, foreign.BeginTransaction())
	require.NoError(t, foreign.ProduceSync(t.Context(), &kgo.Record{Topic: b.in, Partition: 1, Value: []byte("never")}).FirstErr())
	id, _, err := foreign.ProducerID(t.Context())
	require.NoError(t, err)
	b.write(30)

	p := newPipe(t, b.kafka, shape{to: []int32{1}}, "--until-end")
	p.from = []string{b.in}
	pr := p.start("a")
	require.Zero(t, pr.wait(time.Minute), "%q", pr.said())
	require.Contains(t, pr.stderr(), `"left":11,`, "the record of the transaction, and ten behind it")

	said := time.After(quotaDeadline)
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	line := ""
	for line == "" {
		line = log.with("a transaction of another producer is open on the input", "since=")
		select {
		case <-again.C:
		case <-said:
			require.FailNow(t, "it is not said")
		}
	}
	for _, text := range []string{
		"level=WARN", "partition=" + b.in + "-1", "offset=10", "producer_id=" + strconv.FormatInt(id, 10), "open_transactional_id=" + b.group + "-foreign",
		"behind=11", `ends="its producer, or the coordinator at `,
	} {
		require.Contains(t, line, text)
	}
	require.NoError(t, foreign.EndTransaction(t.Context(), kgo.TryAbort))
	b.requireOnce()
	w.stop(t)
}
