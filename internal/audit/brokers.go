package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/internal/isolation"
	"github.com/eos-pipe/eos-pipe/internal/millis"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// brokers asks the cluster. Each question is repeated until it is answered, its error is final, or the cluster has had
// time to settle. It belongs to one goroutine.
type brokers struct {
	client   *cluster.Client
	log      *slog.Logger
	progress func(what string, total int64) (add func(int64), finish func())
}

func newBrokers(cl *kgo.Client, c Config) *brokers {
	b := &brokers{client: cluster.New(cl, cluster.Patience{}), log: c.Logger, progress: c.Progress}
	if b.progress == nil {
		b.progress = func(string, int64) (func(int64), func()) { return func(int64) {}, func() {} }
	}
	return b
}

// topics returns all topics of the cluster.
func (b *brokers) topics(ctx context.Context) (all kadm.TopicDetails, err error) {
	err = b.await(ctx, "all topics", func(ctx context.Context) (err error) {
		all, err = b.client.Topics(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask for all topics: %w", err)
	}
	return all, nil
}

// committed returns all offsets of the group when no transaction may change them any more. A group that does not exist
// has committed nothing. A new cluster has no coordinator until it is asked for one.
func (b *brokers) committed(ctx context.Context, group string) (offsets.Set, error) {
	var answer cluster.Offsets
	err := b.await(ctx, "the offsets of group "+group, func(ctx context.Context) (err error) {
		answer, err = b.client.Stable(ctx, group)
		return errors.Join(err, answer.Err())
	})
	if err != nil {
		return nil, fmt.Errorf("fetch the offsets of group %s: %w", group, err)
	}
	return answer.Set(), nil
}

// list asks for one kind of offset of topic (Starts, Ends or Readable of cluster.Client) until the leaders of all its
// partitions have answered.
func (b *brokers) list(
	ctx context.Context, topic string, question func(context.Context, ...string) (cluster.Offsets, error),
) (offsets.Set, error) {
	var answer cluster.Offsets
	err := b.await(ctx, topic, func(ctx context.Context) (err error) {
		answer, err = question(ctx, topic)
		return errors.Join(err, answer.Err())
	})
	switch {
	case errors.Is(err, eos.ErrNoTopic):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("list the offsets of %s: %w", topic, err)
	}
	return answer.Set(), nil
}

// await repeats a question while its errors may pass. what names what is asked for; where a topic does not exist the
// error is eos.ErrNoTopic with this name.
func (b *brokers) await(ctx context.Context, what string, question func(context.Context) error) error {
	err := cluster.Await(ctx, cluster.Settle, b.log, "the brokers to know "+what, question)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("%w: %s", eos.ErrNoTopic, what)
	}
	return err
}

// quiet is how long partitions may bring nothing before the rest of them is taken for empty.
const quiet = 15 * time.Second

// take takes one record.
type take func(context.Context, *kgo.Record) error

// read calls each with every record that a read_committed reader gets of the partitions of until, from from (or from
// the log's start, where that is later or from is nil) to before until, those of a partition in the order of their
// offsets. what is what the progress calls them.
func (b *brokers) read(ctx context.Context, what string, from, until offsets.Set, each take) error {
	starts := map[string]offsets.Set{} // by topic
	read := cluster.Read{From: offsets.Set{}, Until: offsets.Set{}, Quiet: quiet, Unlisted: b.warnUnlisted}
	total := int64(0)
	for p, end := range until {
		if starts[p.Topic] == nil {
			var err error
			if starts[p.Topic], err = b.list(ctx, p.Topic, b.client.Starts); err != nil {
				return err
			}
		}
		if at := max(starts[p.Topic][p].Offset, from[p].Offset); at < end.Offset {
			read.From[p], read.Until[p] = offsets.NewPosition(at), end
			total += end.Offset - at
		}
	}
	if total == 0 {
		return nil
	}
	add, finish := b.progress(what, total)
	defer finish()
	read.Progress = add
	silent, err := b.client.ReadCommitted(ctx, read, func(r *kgo.Record) error {
		millis.Restore(r)
		return each(ctx, r)
	})
	if err == nil && silent > 0 {
		b.log.Warn("no record comes any more before the end that was asked for; taken as the end", "partitions", silent)
	}
	return err
}

func (b *brokers) warnUnlisted(p offsets.Partition, a isolation.Aborted) {
	b.log.Warn("the broker gives records of an aborted transaction for committed ones, as its marker says; "+
		"they do not count here. Other readers of this topic may get them: the leader's transaction index is wrong",
		"partition", p.String(), "producer_id", a.ProducerID, "first", a.First, "last", a.Last, "records", a.Records)
}
