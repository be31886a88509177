package bench

import (
	"context"
	"strings"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Verdict waits until no transaction is open on the output, and judges it.
func (b *Bench) Verdict() checker.Report {
	b.T.Helper()
	b.NothingOpen()
	return b.Report()
}

// RequireNoneMarked fails if a marked record is committed.
func (b *Bench) RequireNoneMarked(why string) {
	b.T.Helper()
	for _, r := range b.ReadOutput() {
		require.Empty(b.T, r.Headers, "%s: %s at %s-%d@%d", why, r.Value, r.Topic, r.Partition, r.Offset)
	}
}

// Committed returns the group's committed offsets, after all transactions with offsets of it are decided. It names the
// partitions: a fetch of all that the group has passes over those whose first commit is still undecided.
func (b *Bench) Committed() offsets.Set {
	b.T.Helper()
	topic := kmsg.OffsetFetchRequestGroupTopic{Topic: b.In, TopicID: b.InID}
	for p := range int32(Partitions) {
		topic.Partitions = append(topic.Partitions, p)
	}
	ask := kmsg.NewPtrOffsetFetchRequest()
	ask.RequireStable = true
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group, group.Topics = b.Group, []kmsg.OffsetFetchRequestGroupTopic{topic}
	ask.Groups = append(ask.Groups, group)
	set := offsets.Set{}
	b.Eventually("the group's offsets are stable", func() bool {
		resp, err := ask.RequestWith(b.T.Context(), b.Plain)
		if err != nil {
			return false // a coordinator may just be moving
		}
		for _, p := range resp.Groups[0].Topics[0].Partitions {
			if p.ErrorCode != 0 {
				return false
			}
			if p.Offset >= 0 {
				set[offsets.Partition{Topic: b.In, Number: p.Partition}] = offsets.NewPosition(p.Offset)
			}
		}
		return resp.Groups[0].ErrorCode == 0
	})
	return set
}

// Inputs is a set of the input's partitions at the given offsets.
func (b *Bench) Inputs(at ...int64) offsets.Set {
	set := offsets.Set{}
	for p, offset := range at {
		set[offsets.Partition{Topic: b.In, Number: int32(p)}] = offsets.NewPosition(offset)
	}
	return set
}

// Ends returns the ends (high watermarks) of a topic's partitions.
func (b *Bench) Ends(topic string) offsets.Set {
	b.T.Helper()
	return b.listed(topic, b.Adm.ListEndOffsets)
}

// Stable returns the last stable offsets of a topic's partitions.
func (b *Bench) Stable(topic string) offsets.Set {
	b.T.Helper()
	return b.listed(topic, b.Adm.ListCommittedOffsets)
}

func (b *Bench) listed(topic string, list Lister) (set offsets.Set) {
	b.T.Helper()
	b.Eventually("the offsets of "+topic+" are listed", func() bool { // a leader may just be moving
		var err error
		set, err = b.Listed(b.T.Context(), list, []string{topic})
		return err == nil
	})
	return set
}

// CaughtUp waits until the group's offsets stand at the input's ends.
func (b *Bench) CaughtUp() {
	b.T.Helper()
	var at, stable, ends offsets.Set
	defer func() {
		if b.T.Failed() {
			b.T.Logf("the group stands at %v; stable is %v of %v", at, stable, ends)
		}
	}()
	b.Eventually("the group's offsets stand at the input's ends", func() bool {
		at, stable, ends = b.Committed(), b.Stable(b.In), b.Ends(b.In)
		return at.Equal(ends) && stable.Equal(ends)
	})
}

// RequireOnce is the check that ends every test: no transaction is open on the output, the group's offsets stand at the
// input's ends, and a read_committed reader gets every input record once, in order, and nothing else.
func (b *Bench) RequireOnce() {
	b.T.Helper()
	b.CaughtUp()
	b.NothingOpen()
	report := b.Report()
	require.True(b.T, report.OK(), "%s\n%s", report, strings.Join(report.Examples, "\n"))
	require.Equal(b.T, report.In-int64(len(b.Dropped)), report.Out)
	require.Positive(b.T, report.Out)
}

// NothingOpen waits until no transaction is open on the output.
func (b *Bench) NothingOpen() {
	b.T.Helper()
	b.Eventually("no transaction is open on the output", func() bool { return b.Stable(b.Out).Equal(b.Ends(b.Out)) })
}

// Report reads the output and judges it.
func (b *Bench) Report() checker.Report {
	b.T.Helper()
	c := checker.New()
	for p, n := range b.Written {
		for number := range n {
			expect := 1
			if b.Dropped[Record{int32(p), number}] {
				expect = 0
			}
			c.Input(offsets.Partition{Topic: b.In, Number: int32(p)}, number, expect)
		}
	}
	for _, r := range b.ReadOutput() {
		at := offsets.Partition{Topic: b.Out, Number: r.Partition}
		from, ok := ParseRecord(r.Value)
		if !ok || from.Partition != r.Partition {
			c.Foreign(at, r.Offset)
			continue
		}
		c.Output(at, r.Offset, offsets.Partition{Topic: b.In, Number: from.Partition}, from.Number, 0, 1)
	}
	return c.Report()
}

// ReadOutput returns what a read_committed reader gets of the output.
func (b *Bench) ReadOutput() (records []*kgo.Record) {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.T.Context(), Deadline)
	defer cancel()
	require.NoError(b.T, b.Read(ctx, b.Stable(b.Out), func(r *kgo.Record) { records = append(records, r) }))
	return records
}
