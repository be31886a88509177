package audit

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/jq"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

var input0 = offsets.Partition{Topic: "in"}

// newTestJudge is a judge of a pipe from in to out, with dead letters in dead, whose group had committed this many
// offsets of in-0 at first, and then.
func newTestJudge(c Config, until, later int64) *judge {
	c.From, c.To, c.DeadLetterTopic = []string{"in"}, "out", "dead"
	j := newJudge(c)
	j.until, j.later = offsets.Set{input0: offsets.NewPosition(until)}, offsets.Set{input0: offsets.NewPosition(later)}
	return j
}

func compile(t testing.TB, expr string) *jq.Program {
	t.Helper()
	p, err := jq.Compile(expr)
	require.NoError(t, err)
	return p
}

// in is an input record whose value is its offset.
func in(offset int64) *kgo.Record {
	return &kgo.Record{Topic: "in", Offset: offset, Value: fmt.Append(nil, offset), Timestamp: time.UnixMilli(offset)}
}

// out is the output at that offset of the input record at from.
func out(offset, from int64) *kgo.Record {
	r := &kgo.Record{Topic: "out", Offset: offset, Value: fmt.Append(nil, from), Timestamp: time.UnixMilli(from)}
	r.Headers = []kgo.RecordHeader{{Key: processor.ProvenanceHeader, Value: fmt.Appendf(nil, "in-0@%d 0/1", from)}}
	return r
}

// dead is the dead letter at that offset of the input records from first to last.
func dead(offset, first, last int64) *kgo.Record {
	header := func(key string, value any) kgo.RecordHeader {
		return kgo.RecordHeader{Key: key, Value: fmt.Append(nil, value)}
	}
	r := &kgo.Record{Topic: "dead", Offset: offset, Value: fmt.Append(nil, last), Headers: []kgo.RecordHeader{
		header(processor.DeadLetterTopicHeader, "in"), header(processor.DeadLetterPartitionHeader, 0),
		header(processor.DeadLetterOffsetHeader, last), header(processor.DeadLetterTimestampHeader, last),
		header(processor.DeadLetterAttemptHeader, 1),
	}}
	if first < last {
		r.Headers = append(r.Headers, header(processor.DeadLetterFirstHeader, first))
	}
	return r
}

// judged tells j of the input and of the outputs, and returns the counts.
func judged(t *testing.T, j *judge, inputs int64, outs ...*kgo.Record) string {
	t.Helper()
	for _, r := range outs {
		if r.Topic == "dead" {
			require.NoError(t, j.deadLetter(t.Context(), r))
		}
	}
	for offset := range inputs {
		require.NoError(t, j.input(t.Context(), in(offset)))
	}
	for _, r := range outs {
		require.NoError(t, j.output(t.Context(), r))
	}
	return j.result().String()
}

// By the header each class of fault is found; what came between the two answers of the group is not judged.
func TestJudgeByHeader(t *testing.T) {
	t.Parallel()
	foreign := out(3, 2)
	foreign.Headers = nil
	retimed := out(2, 2)
	retimed.Timestamp = time.UnixMilli(77)
	for _, c := range []struct {
		want string
		outs []*kgo.Record
	}{
		{"in=3 out=3" + clean + " retimed=0 open=0", []*kgo.Record{out(0, 0), out(1, 1), out(2, 2)}},
		{"in=3 out=2 lost=1 doubled=0 phantom=0 reordered=0 torn=0 foreign=0 ", []*kgo.Record{out(0, 0), out(2, 2)}},
		{"in=3 out=4 lost=0 doubled=1 ", []*kgo.Record{out(0, 0), out(1, 1), out(2, 1), out(3, 2)}},
		{"in=3 out=4 lost=0 doubled=0 phantom=1 ", []*kgo.Record{out(0, 0), out(1, 1), out(2, 2), out(3, 5)}},
		{"in=3 out=3" + clean + " retimed=0 open=0", []*kgo.Record{out(0, 0), out(1, 1), out(2, 2), out(3, 4)}},
		{"reordered=1 torn=0 foreign=0", []*kgo.Record{out(0, 1), out(1, 0), out(2, 2)}},
		{"reordered=0 torn=0 foreign=1", []*kgo.Record{out(0, 0), out(1, 1), out(2, 2), foreign}},
		{"foreign=0 retimed=1", []*kgo.Record{out(0, 0), out(1, 1), retimed}},
	} {
		require.Contains(t, judged(t, newTestJudge(Config{}, 3, 5), 3, c.outs...), c.want)
	}
	anyTime := newTestJudge(Config{AnyTimestamp: true}, 3, 5)
	require.Contains(t, judged(t, anyTime, 3, out(0, 0), out(1, 1), retimed), "retimed=0")
}

// By an id the same record is found on both sides without a header; the id of a late input record is not judged.
func TestJudgeByID(t *testing.T) {
	t.Parallel()
	id := compile(t, ".value")
	j := newTestJudge(Config{ID: id}, 3, 4)
	require.NoError(t, j.lateInput(t.Context(), in(3)))
	got := judged(t, j, 3, out(0, 0), out(1, 2), out(2, 3), out(3, 1)) // 3 is late, and order is not known by ids
	require.Contains(t, got, "in=3 out=3"+clean)
	require.Contains(t, judged(t, newTestJudge(Config{ID: id}, 3, 3), 3, out(0, 0), out(1, 0)), "lost=2 doubled=1")

	j = newTestJudge(Config{ID: compile(t, `error("no id")`)}, 1, 1)
	require.ErrorContains(t, j.input(t.Context(), in(0)), "--id of in-0@0: ")
}

// The filter and the map say how many outputs a record must have, and where. One for which they fail has none if the
// pipe skips it, and is an error otherwise, unless it is a dead letter.
func TestJudgeKnowsThePipe(t *testing.T) {
	t.Parallel()
	c := Config{
		Filter: compile(t, ".offset != 1"),
		Map:    compile(t, `if .offset == 2 then error("bad") else .topic = "other" end`),
	}
	j := newTestJudge(c, 3, 3)
	require.NoError(t, j.input(t.Context(), in(0)))
	require.NoError(t, j.input(t.Context(), in(1)))
	err := j.input(t.Context(), in(2))
	failed, ok := errors.AsType[*ProgramError](err)
	require.True(t, ok)
	require.Equal(t, input0, failed.Partition)
	require.ErrorContains(t, err, "in-0@2: --map: ")
	require.ErrorContains(t, err, "; the group has committed this record, and nothing is compared")
	require.Equal(t, map[string]bool{"out": true, "dead": true, "other": true}, j.outputs)
	require.Equal(t, int64(1), j.result().Lost)

	c.Policy = processor.SkipOnError
	require.Contains(t, judged(t, newTestJudge(c, 3, 3), 3, out(0, 0)), "in=3 out=1 lost=0")
	c.Policy = processor.DeadLetterOnError
	require.Contains(t, judged(t, newTestJudge(c, 3, 3), 3, out(0, 0), dead(0, 2, 2)), "in=3 out=2"+clean)
}

// A dead letter is the one output of each record that it is for, and of those of its batch. One of another pipe counts
// as nothing.
func TestJudgeDeadLetters(t *testing.T) {
	t.Parallel()
	other := dead(0, 1, 1)
	other.Headers[0].Value = []byte("elsewhere")
	backwards := dead(0, 1, 1)
	first := kgo.RecordHeader{Key: processor.DeadLetterFirstHeader, Value: []byte("2")}
	backwards.Headers = append(backwards.Headers, first)
	retimed := dead(0, 1, 1)
	retimed.Headers[3].Value = []byte("77")
	for _, c := range []struct {
		want string
		outs []*kgo.Record
	}{
		{"in=3 out=3" + clean + " retimed=0", []*kgo.Record{out(0, 0), dead(0, 1, 2)}},
		{"in=3 out=2 lost=1 doubled=0 phantom=0 ", []*kgo.Record{out(0, 0), out(1, 2), other}},
		{"in=3 out=2 lost=1 doubled=0 phantom=0 ", []*kgo.Record{out(0, 0), out(1, 2), backwards}},
		{"foreign=0 retimed=1", []*kgo.Record{out(0, 0), out(1, 2), retimed}},
	} {
		require.Contains(t, judged(t, newTestJudge(Config{}, 3, 5), 3, c.outs...), c.want)
	}
}

// A letter may name any offsets: what the group has not committed is one phantom, what came late is not judged, and the
// time and the room that the letter takes do not grow with its numbers.
func TestJudgeDeadLettersOfEverything(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want   string
		letter *kgo.Record
	}{
		{"in=3 out=4 lost=0 doubled=0 phantom=1 ", dead(0, 0, math.MaxInt64)},
		{"in=3 out=3 lost=0 doubled=0 phantom=0 ", dead(0, 0, 4)},
		{"in=3 out=4 lost=0 doubled=0 phantom=1 ", dead(0, 0, 5)},
		{"in=3 out=1 lost=3 doubled=0 phantom=1 ", dead(0, math.MaxInt64-1, math.MaxInt64)},
	} {
		require.Contains(t, judged(t, newTestJudge(Config{}, 3, 5), 3, c.letter), c.want)
	}
}

// Where no output names the input, nothing counts as lost, and no example says so.
func TestJudgeWithoutAnyHeader(t *testing.T) {
	t.Parallel()
	bare := out(0, 0)
	bare.Headers = nil
	j := newTestJudge(Config{}, 3, 3)
	text := judged(t, j, 3, bare)
	require.Contains(t, text, "nothing could be compared: in=3 out=1 lost=0 doubled=0 phantom=0 ")
	require.Contains(t, text, "foreign=1")
	require.NotContains(t, text, "lost:")
	require.True(t, j.result().Incomparable)
}
