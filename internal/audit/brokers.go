package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/ask"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// brokers asks the cluster. Each question is repeated until it is answered, its error is final, or the cluster has had
// time to settle. It belongs to one goroutine.
type brokers struct {
	adm      *kadm.Client
	connect  []kgo.Opt // of every client that reads
	log      *slog.Logger
	progress func(what string, total int64) (add func(int64), finish func())
}

func newBrokers(cl *kgo.Client, c Config) *brokers {
	b := &brokers{adm: kadm.NewClient(cl), connect: cl.Opts(), log: c.Logger, progress: c.Progress}
	if b.progress == nil {
		b.progress = func(string, int64) (func(int64), func()) { return func(int64) {}, func() {} }
	}
	return b
}

// topics returns all topics of the cluster.
func (b *brokers) topics(ctx context.Context) (all kadm.TopicDetails, err error) {
	err = b.await(ctx, "all topics", func(ctx context.Context) (err error) {
		all, err = b.adm.ListTopics(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask for all topics: %w", err)
	}
	return all, nil
}

// committed returns all offsets of the group when no transaction may change them any more. A group that does not exist
// has committed nothing. A new cluster has no coordinator until it is asked for one.
func (b *brokers) committed(ctx context.Context, group string) (answer kadm.OffsetResponses, err error) {
	err = b.await(ctx, "the offsets of group "+group, func(ctx context.Context) (err error) {
		answer, err = b.adm.FetchOffsets(kadm.RequireStable(ctx), group)
		return errors.Join(err, answer.Error())
	})
	switch {
	case errors.Is(err, kerr.GroupIDNotFound): // it has committed nothing
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("fetch the offsets of group %s: %w", group, err)
	}
	return answer, nil
}

// starts returns the first offset of each partition of topic.
func (b *brokers) starts(ctx context.Context, topic string) (offsets.Set, error) {
	return b.list(ctx, topic, b.adm.ListStartOffsets)
}

// ends returns the high watermark of each partition of topic.
func (b *brokers) ends(ctx context.Context, topic string) (offsets.Set, error) {
	return b.list(ctx, topic, b.adm.ListEndOffsets)
}

// stableEnds returns how far a read_committed reader can read each partition of topic.
func (b *brokers) stableEnds(ctx context.Context, topic string) (offsets.Set, error) {
	return b.list(ctx, topic, func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
		return ask.StableEnds(ctx, b.adm, topics...)
	})
}

// listOffsets asks for one kind of offset of the named topics.
type listOffsets func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error)

// list asks for one kind of offset of topic until the leaders of all its partitions have answered.
func (b *brokers) list(ctx context.Context, topic string, list listOffsets) (offsets.Set, error) {
	var listed kadm.ListedOffsets
	err := b.await(ctx, topic, func(ctx context.Context) (err error) {
		listed, err = list(ctx, topic)
		return errors.Join(err, listed.Error())
	})
	switch {
	case errors.Is(err, eos.ErrNoTopic):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("list the offsets of %s: %w", topic, err)
	}
	set := offsets.Set{}
	listed.Each(func(o kadm.ListedOffset) {
		set[offsets.Partition{Topic: o.Topic, Number: o.Partition}] = offsets.NewPosition(o.Offset)
	})
	return set, nil
}

// await repeats a question while its errors may pass. what names what is asked for; where a topic does not exist the
// error is eos.ErrNoTopic with this name.
func (b *brokers) await(ctx context.Context, what string, question func(context.Context) error) error {
	err := ask.For(ctx, ask.Settle, b.log, "the brokers to know "+what, question)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("%w: %s", eos.ErrNoTopic, what)
	}
	return err
}
