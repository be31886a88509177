package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/isolation"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Read says what ReadCommitted reads.
type Read struct {
	From  offsets.Set // the first offset of each partition; one that is missing begins at its log's start
	Until offsets.Set // the partitions, and the offset behind the last one to read; Client.Readable gives all there is
	// Quiet is how long nothing may come before the rest is taken for empty: what lies before an offset may be only
	// records of an aborted transaction whose marker is behind it. 0: ReadCommitted waits for every end.
	Quiet time.Duration
	// Options are for the client that reads, behind those of the client that asks. Optional.
	Options []kgo.Opt
	// Unlisted is called with records that the broker gives for committed ones though their marker says that they are
	// aborted. They are left out. Optional.
	Unlisted func(offsets.Partition, isolation.Aborted)
	// Progress is called with how many offsets were read since it was called last. Optional.
	Progress func(offsets int64)
}

// ReadCommitted calls each with every record that a read_committed reader gets, those of a partition in the order of their
// offsets. Whether a transaction is committed is taken from its marker in the log, not from the broker's list of aborted
// ones; see package isolation. It returns at the ends, at an error, of each too, or when ctx ends. silent is how many
// partitions did not come to their end before Quiet.
func (c *Client) ReadCommitted(ctx context.Context, read Read, each func(*kgo.Record) error) (silent int, err error) {
	r := reading{Read: read, each: each, left: map[offsets.Partition]span{}}
	from, err := c.begin(ctx, r)
	if err != nil || len(r.left) == 0 {
		return 0, err
	}
	cl, err := kgo.NewClient(slices.Concat(c.cl.Opts(), read.Options, []kgo.Opt{
		kgo.ConsumePartitions(from), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
	})...)
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	err = r.run(ctx, cl)
	return len(r.left), err
}

// begin fills r.left with what is to be read, and returns where each partition begins.
func (c *Client) begin(ctx context.Context, r reading) (map[string]map[int32]kgo.Offset, error) {
	var missing []string
	for p := range r.Until {
		if _, ok := r.From[p]; !ok {
			missing = append(missing, p.Topic)
		}
	}
	starts := Offsets{}
	if len(missing) > 0 {
		var err error
		if starts, err = c.Starts(ctx, missing...); err != nil {
			return nil, err
		}
	}
	begin := map[string]map[int32]kgo.Offset{}
	for p, end := range r.Until {
		at, ok := r.From[p]
		if !ok {
			start, isListed := starts[p]
			if !isListed {
				start.Err = kerr.UnknownTopicOrPartition
			}
			if start.Err != nil {
				return nil, fmt.Errorf("%s: %w", p, start.Err)
			}
			at = start.Position
		}
		if at.Offset >= end.Offset {
			continue
		}
		if begin[p.Topic] == nil {
			begin[p.Topic] = map[int32]kgo.Offset{}
		}
		begin[p.Topic][p.Number] = kgo.NewOffset().At(at.Offset)
		r.left[p] = span{at.Offset, end.Offset}
	}
	return begin, nil
}

// reading is one call of ReadCommitted. It belongs to its goroutine.
type reading struct {
	Read
	each func(*kgo.Record) error
	left map[offsets.Partition]span // without the partitions that have come to their end
}

// span is what is left to read of a partition.
type span struct{ next, end int64 }

func (r *reading) run(ctx context.Context, cl *kgo.Client) error {
	held := isolation.Reader{Unlisted: func(topic string, partition int32, a isolation.Aborted) {
		if r.Unlisted != nil {
			r.Unlisted(offsets.Partition{Topic: topic, Number: partition}, a)
		}
	}}
	for len(r.left) > 0 {
		fetches, isSilent := r.poll(ctx, cl)
		if isSilent {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, record := range held.Records(fetches) {
			if err := r.take(record); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reading) poll(ctx context.Context, cl *kgo.Client) (fetches kgo.Fetches, isSilent bool) {
	if r.Quiet == 0 {
		return cl.PollFetches(ctx), false
	}
	quiet, cancel := context.WithTimeout(ctx, r.Quiet)
	defer cancel()
	fetches = cl.PollFetches(quiet)
	return fetches, quiet.Err() != nil && ctx.Err() == nil
}

// take hands out one record, or takes note of a marker.
func (r *reading) take(record *kgo.Record) error {
	p := offsets.Partition{Topic: record.Topic, Number: record.Partition}
	of, isLeft := r.left[p]
	if !isLeft {
		return nil
	}
	if record.Offset < of.end && !record.Attrs.IsControl() {
		if err := r.each(record); err != nil {
			return err
		}
	}
	next := min(record.Offset+1, of.end) // what is behind the end does not count
	if r.Progress != nil {
		r.Progress(next - of.next)
	}
	if r.left[p] = (span{next, of.end}); next == of.end {
		delete(r.left, p)
	}
	return nil
}
