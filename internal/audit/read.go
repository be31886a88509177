package audit

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/millis"
	"github.com/eos-pipe/eos-pipe/internal/stable"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// quiet is how long a partition may bring nothing before the rest of it is taken for empty.
const quiet = 15 * time.Second

// span is what is left to read of a partition: from next to before end.
type span struct{ next, end int64 }

// take takes one record.
type take func(context.Context, *kgo.Record) error

// read calls each with every record that a read_committed reader gets of the partitions of until, from from (or from
// the log's start, where that is later or from is nil) to before until, those of a partition in the order of their
// offsets. what is what the progress calls them.
func (b *brokers) read(ctx context.Context, what string, from, until offsets.Set, each take) error {
	left, err := b.spans(ctx, from, until)
	if err != nil || len(left) == 0 {
		return err
	}
	begin := map[string]map[int32]kgo.Offset{}
	total := int64(0)
	for p, of := range left {
		if begin[p.Topic] == nil {
			begin[p.Topic] = map[int32]kgo.Offset{}
		}
		begin[p.Topic][p.Number] = kgo.NewOffset().At(of.next)
		total += of.end - of.next
	}
	cl, err := kgo.NewClient(slices.Concat(b.connect, []kgo.Opt{
		kgo.ConsumePartitions(begin), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
	})...)
	if err != nil {
		return err
	}
	defer cl.Close()
	add, finish := b.progress(what, total)
	defer finish()
	return b.drain(ctx, cl, left, add, each)
}

// spans returns what is to be read of each partition of until, without those of which nothing is.
func (b *brokers) spans(ctx context.Context, from, until offsets.Set) (map[offsets.Partition]span, error) {
	left := map[offsets.Partition]span{}
	starts := map[string]offsets.Set{}
	for p, end := range until {
		if starts[p.Topic] == nil {
			var err error
			if starts[p.Topic], err = b.starts(ctx, p.Topic); err != nil {
				return nil, err
			}
		}
		if at := max(starts[p.Topic][p].Offset, from[p].Offset); at < end.Offset {
			left[p] = span{at, end.Offset}
		}
	}
	return left, nil
}

// drain reads until every partition of left has come to its end. What lies before an end may be nothing but aborted
// records whose marker comes after it, which never show: partitions that stay quiet are at their end.
func (b *brokers) drain(
	ctx context.Context, cl *kgo.Client, left map[offsets.Partition]span, add func(int64), each take,
) error {
	held := stable.Reader{Unlisted: b.warnUnlisted}
	for len(left) > 0 {
		poll, cancel := context.WithTimeout(ctx, quiet)
		fetches := cl.PollFetches(poll)
		isQuiet := poll.Err() != nil && ctx.Err() == nil
		cancel()
		if isQuiet {
			b.log.Warn("no record comes any more before the end that was asked for; taken as the end", "partitions", len(left))
			return nil
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, r := range held.Records(fetches) {
			p := offsets.Partition{Topic: r.Topic, Number: r.Partition}
			of, reading := left[p]
			if !reading {
				continue
			}
			if r.Offset < of.end && !r.Attrs.IsControl() {
				millis.Restore(r)
				if err := each(ctx, r); err != nil {
					return err
				}
			}
			next := min(r.Offset+1, of.end) // what comes after the end is not counted
			add(next - of.next)
			if left[p] = (span{next, of.end}); next == of.end {
				delete(left, p)
			}
		}
	}
	return nil
}

func (b *brokers) warnUnlisted(topic string, partition int32, a stable.Aborted) {
	b.log.Warn("the broker gives records of an aborted transaction for committed ones, as its marker says; "+
		"they do not count here. Other readers of this topic may get them: the leader's transaction index is wrong",
		"partition", offsets.Partition{Topic: topic, Number: partition}.String(),
		"producer_id", a.ProducerID, "first", a.First, "last", a.Last, "records", a.Records)
}
