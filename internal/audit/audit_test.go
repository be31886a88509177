package audit

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/processor"
)

// bench is an embedded broker with topics of one partition, and a client of it.
type bench struct {
	t  *testing.T
	cl *kgo.Client
}

// clean is the part of a result that counts nothing.
const clean = " lost=0 doubled=0 phantom=0 reordered=0 torn=0 foreign=0"

func newBench(t *testing.T, topics ...string) *bench {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics...))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return &bench{t, cl}
}

func (b *bench) write(rs ...*kgo.Record) {
	b.t.Helper()
	require.NoError(b.t, b.cl.ProduceSync(b.t.Context(), rs...).FirstErr())
}

// commit commits an offset of the topic's only partition for group g.
func (b *bench) commit(topic string, offset int64) {
	b.t.Helper()
	at := kadm.Offsets{}
	at.AddOffset(topic, 0, offset, -1)
	require.NoError(b.t, kadm.NewClient(b.cl).CommitAllOffsets(b.t.Context(), "g", at))
}

// audit runs an audit of a pipe to topic out of group g.
func (b *bench) audit(c Config) (Result, error) {
	b.t.Helper()
	c.To, c.Group, c.Logger = "out", "g", slog.New(slog.DiscardHandler)
	return Run(b.t.Context(), b.cl, c)
}

// What the group has committed is compared, and no more. The progress counts what is read of each side, up to where
// that side is judged.
func TestRun(t *testing.T) {
	t.Parallel()
	b := newBench(t, "in", "out")
	for i := range int64(30) {
		b.write(in(i), out(0, i))
	}
	b.commit("in", 30)
	for i := range int64(20) {
		b.write(in(30 + i))
	}
	var read []string
	progress := func(what string, total int64) (func(int64), func()) {
		done := int64(0)
		return func(n int64) { done += n }, func() { read = append(read, fmt.Sprintf("%s %d of %d", what, done, total)) }
	}
	result, err := b.audit(Config{From: []string{"in"}, Progress: progress})
	require.NoError(t, err)
	require.Equal(t, "in=30 out=30"+clean+" retimed=0 open=0", result.String())
	require.True(t, result.OK())
	require.Equal(t, []string{"offsets of the input read 30 of 30", "offsets of the output read 30 of 30"}, read)

	_, err = b.audit(Config{From: []string{"in"}, Filter: compile(t, `if .offset == 7 then error("bad") else true end`)})
	require.ErrorAs(t, err, new(*ProgramError))
	require.ErrorContains(t, err, "read the input: in-0@7: --filter: ")
}

// The timestamps of both sides are compared, by the header and by an id, unless they do not count.
func TestRunComparesTimestamps(t *testing.T) {
	t.Parallel()
	b := newBench(t, "in", "out")
	late := out(0, 2)
	late.Timestamp = time.UnixMilli(3)
	unset := out(0, 1)
	unset.Timestamp = time.UnixMilli(-1)
	unsetIn := in(1)
	unsetIn.Timestamp = time.UnixMilli(-1)
	b.write(in(0), unsetIn, in(2), out(0, 0), unset, late)
	b.commit("in", 3)
	for _, c := range []Config{{}, {ID: compile(t, ".value")}} {
		c.From = []string{"in"}
		result, err := b.audit(c)
		require.NoError(t, err)
		require.Equal(t, "in=3 out=3"+clean+" retimed=1", result.Report.String())
		require.Contains(t, result.Examples[0], "in-0@2")
		c.AnyTimestamp = true
		result, err = b.audit(c)
		require.NoError(t, err)
		require.True(t, result.OK(), result)
	}
}

// A topic that matches the pattern is input if the group has committed something of it. Outputs that the map sends to
// other topics, and dead letters, are read as well.
func TestRunFindsTopics(t *testing.T) {
	t.Parallel()
	b := newBench(t, "in", "in-unread", "out", "other", "dead")
	moved := out(0, 1)
	moved.Topic = "other"
	b.write(in(0), in(1), in(2), &kgo.Record{Topic: "in-unread"}, out(0, 0), moved, dead(0, 2, 2))
	b.commit("in", 3)
	c := Config{FromPattern: "in.*", DeadLetterTopic: "dead", Policy: processor.DeadLetterOnError}
	c.Map = compile(t, `if .offset == 1 then .topic = "other" elif .offset == 2 then error("bad") else . end`)
	result, err := b.audit(c)
	require.NoError(t, err)
	require.Equal(t, "in=3 out=3"+clean+" retimed=0", result.Report.String())
}

// Where there is nothing to compare the error says why.
func TestRunWithNothingToCompare(t *testing.T) {
	t.Parallel()
	b := newBench(t, "in", "out")
	b.write(in(0))
	_, err := b.audit(Config{From: []string{"in"}})
	require.EqualError(t, err, "group g has committed nothing of topic in: there is nothing to compare")
	_, err = b.audit(Config{FromPattern: "i."})
	require.EqualError(t, err, `group g has committed nothing of a topic that matches "i.": there is nothing to compare`)
	_, err = b.audit(Config{From: []string{"missing"}})
	require.ErrorIs(t, err, eos.ErrNoTopic)
	require.ErrorContains(t, err, ": missing")
}

// Run ends with its context.
func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := newBench(t, "in", "out")
	b.write(in(0), out(0, 0))
	b.commit("in", 1)
	ctx, cancel := context.WithCancel(t.Context())
	progress := func(string, int64) (func(int64), func()) {
		cancel()
		return func(int64) {}, func() {}
	}
	log := slog.New(slog.DiscardHandler)
	_, err := Run(ctx, b.cl, Config{From: []string{"in"}, To: "out", Group: "g", Logger: log, Progress: progress})
	require.ErrorIs(t, err, context.Canceled)
}
