package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// Offset is what a broker has answered about one partition.
type Offset struct {
	offsets.Position
	Metadata string // of a committed offset
	Err      error  // why there is no answer; the position then means nothing
}

// Offsets are the answers about partitions. The answer about a whole topic, which is an error, has partition -1.
type Offsets map[offsets.Partition]Offset

// Err returns the error of the first partition that has one, with its name.
func (o Offsets) Err() error {
	for _, p := range slices.SortedFunc(maps.Keys(o), offsets.Partition.Compare) {
		switch err := o[p].Err; {
		case err != nil && p.Number < 0:
			return fmt.Errorf("%s: %w", p.Topic, err)
		case err != nil:
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

// Set returns the positions of the partitions that have one: no error, and no offset below 0.
func (o Offsets) Set() offsets.Set {
	set := offsets.Set{}
	for p, at := range o {
		if at.Err == nil && at.Offset >= 0 {
			set[p] = at.Position
		}
	}
	return set
}

// Committed returns the offsets that a group has committed. A group that does not exist has committed nothing.
func (c *Client) Committed(ctx context.Context, group string) (Offsets, error) {
	bounded, asked := c.Bound(ctx)
	answer, err := c.adm.FetchOffsets(bounded, group)
	asked(err)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, c.refresh(err)
	}
	got := Offsets{}
	answer.Each(func(o kadm.OffsetResponse) {
		got[offsets.Partition{Topic: o.Topic, Number: o.Partition}] = Offset{offsets.Position{Offset: o.At, LeaderEpoch: o.LeaderEpoch}, o.Metadata, o.Err}
	})
	return got, nil
}

// Stable is Committed with require_stable (KIP-447): a partition for which a transaction has pending offsets has the
// error UNSTABLE_OFFSET_COMMIT until that transaction is decided.
func (c *Client) Stable(ctx context.Context, group string) (Offsets, error) {
	return c.Committed(kadm.RequireStable(ctx), group)
}

// Starts returns the first offset of each partition of the topics.
func (c *Client) Starts(ctx context.Context, topics ...string) (Offsets, error) {
	return c.list(ctx, c.adm.ListStartOffsets, topics)
}

// Ends returns the high watermark of each partition of the topics.
func (c *Client) Ends(ctx context.Context, topics ...string) (Offsets, error) {
	return c.list(ctx, c.adm.ListEndOffsets, topics)
}

// LastStable returns the last stable offset of each partition of the topics, as the broker gives it; see Readable.
func (c *Client) LastStable(ctx context.Context, topics ...string) (Offsets, error) {
	return c.list(ctx, c.adm.ListCommittedOffsets, topics)
}

// Readable returns how far read_committed readers can read each partition of the topics: to its last stable offset, or
// to the log's start if that is greater. A broker leaves the last stable offset at the base of the batch of an open
// transaction when DeleteRecords has passed it (Kafka 4.4.0); below the start there is nothing to read.
func (c *Client) Readable(ctx context.Context, topics ...string) (Offsets, error) {
	stable, err := c.LastStable(ctx, topics...)
	starts, serr := c.Starts(ctx, topics...) // last: the start only grows
	if err := errors.Join(err, serr); err != nil {
		return nil, err
	}
	for p, o := range stable {
		if start, ok := starts[p]; o.Err == nil && ok && start.Err == nil && start.Offset > o.Offset {
			stable[p] = start
		}
	}
	return stable, nil
}

// list asks for one kind of offset. Errors of partitions are in the answer.
func (c *Client) list(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error), topics []string) (Offsets, error) {
	listed, err := list(ctx, topics...)
	if err != nil {
		return nil, c.refresh(err)
	}
	got, passes := Offsets{}, error(nil)
	listed.Each(func(o kadm.ListedOffset) {
		got[offsets.Partition{Topic: o.Topic, Number: o.Partition}] = Offset{Position: offsets.Position{Offset: o.Offset, LeaderEpoch: o.LeaderEpoch}, Err: o.Err}
		if o.Err != nil && !IsFinal(o.Err) && !errors.Is(o.Err, kerr.UnknownTopicOrPartition) { // most often such a topic is gone for good
			passes = o.Err
		}
	})
	_ = c.refresh(passes)
	return got, nil
}
