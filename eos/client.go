package eos

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// client is one life of the franz-go client under a session. A session whose client is in doubt discards it and makes
// another with the same ids; what a client knows in memory never outlives it.
type client struct {
	s   *Session
	gts *kgo.GroupTransactSession

	producerID    int64
	producerEpoch int16

	// rebalanced is set when partitions are taken away and cleared when the client has been rewound since: the
	// transaction after a rebalance would be aborted for it, though nothing of it had begun (franz-go #754).
	rebalanced atomic.Bool
	// life ends when the client is to be discarded, by discard: from then on nothing that it does is waited for.
	life    context.Context
	discard context.CancelFunc
	// hurry ends the wait for more records, so that a rebalance that waits for the batch may go on.
	hurry atomic.Pointer[context.CancelFunc]
}

// connect makes a client in the one order that is safe: first the producer id, which fences the predecessor and ends
// its transaction; then the group, whose offsets are stable by now. (kgo would ask for the producer id with the first
// record; until then the predecessor's transaction hides the group's offsets, so there is no first record before that
// transaction times out.)
//
// A client whose InitProducerId was answered with UNKNOWN_SERVER_ERROR never asks again, so another one does.
func (s *Session) connect(ctx context.Context) (*client, error) {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		c, err := s.connectOnce(ctx)
		if !errors.Is(err, kerr.UnknownServerError) {
			return c, err
		}
		s.retrying("make a new client", err)
		if !sleep(ctx, wait) {
			return nil, err
		}
	}
}

func (s *Session) connectOnce(ctx context.Context) (*client, error) {
	c := &client{s: s, producerID: -1, producerEpoch: -1}
	c.life, c.discard = context.WithCancel(context.Background())
	gts, err := kgo.NewGroupTransactSession(s.options(c)...)
	if err != nil {
		return nil, fmt.Errorf("make the client: %w", err)
	}
	c.gts = gts
	if c.producerID, c.producerEpoch, err = s.initProducerID(ctx, gts.Client()); err != nil {
		c.close()
		return nil, fmt.Errorf("initialize the producer id: %w", err)
	}
	gts.Client().AddConsumeTopics(s.cfg.Topics...)
	return c, nil
}

// initProducerID sends InitProducerId until it is answered, ctx ends, or the answer is final. While the predecessor's
// transaction is being ended, the broker answers CONCURRENT_TRANSACTIONS.
func (s *Session) initProducerID(ctx context.Context, cl *kgo.Client) (int64, int16, error) {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		id, epoch, err := cl.ProducerID(ctx)
		if err == nil || ctx.Err() != nil {
			return id, epoch, err
		}
		if ke, ok := errors.AsType[*kerr.Error](err); ok && !ke.Retriable {
			return id, epoch, err
		}
		s.retrying("initialize the producer id", err)
		if !sleep(ctx, wait) {
			return id, epoch, err
		}
	}
}

// close discards the client and waits for it. A static member does not leave the group by this: see leave.
func (c *client) close() {
	c.discard()
	c.gts.CloseAllowingRebalance()
}

// bound returns a context that ends with ctx, and when the client is to be discarded.
func (c *client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	unbind := context.AfterFunc(c.life, cancel)
	return ctx, func() { unbind(); cancel() }
}

// discarded says whether the client is to be discarded.
func (c *client) discarded() bool { return c.life.Err() != nil }

// rebalancing is called by kgo before partitions are taken away or when they are lost.
func (c *client) rebalancing(context.Context, *kgo.Client, map[string][]int32) {
	c.rebalanced.Store(true)
}

// blocked is called by kgo when a rebalance waits for the batch that is out or being gathered.
func (c *client) blocked(context.Context, *kgo.Client) {
	if hurry := c.hurry.Load(); hurry != nil {
		(*hurry)()
	}
}

// startOffsets is called by kgo with the group's offsets of partitions just assigned, before anything of them is
// fetched. A partition without a committed offset gets one now: otherwise an abort before its first commit would go
// back to the log's start wherever it began, and nobody could tell later where the group started.
func (c *client) startOffsets(ctx context.Context, fetched map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	missing := offsets.Set{}
	for topic, parts := range fetched {
		for number, o := range parts {
			if o.EpochOffset().Offset < 0 {
				missing[offsets.Partition{Topic: topic, Number: number}] = offsets.NewPosition(-1)
			}
		}
	}
	if len(missing) == 0 {
		return fetched, nil
	}
	if err := c.s.resolveStarts(ctx, missing); err != nil {
		return nil, err
	}
	if err := c.commitStarts(ctx, missing); err != nil {
		return nil, err
	}
	c.s.cfg.Logger.Info("committed where the group starts", "group", c.s.cfg.Group, "start", c.s.cfg.Start.String(), "offsets", missing.String())
	for p, pos := range missing {
		fetched[p.Topic][p.Number] = kgo.NewOffset().At(pos.Offset)
	}
	return fetched, nil
}

// commitStarts commits starts as this member of the group: only a member may while the group has any.
func (c *client) commitStarts(ctx context.Context, starts offsets.Set) error {
	var failed error
	c.gts.Client().CommitOffsetsSync(ctx, toEpochOffsets(starts), func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		failed = err
		if err != nil || resp == nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				failed = errors.Join(failed, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	})
	if failed != nil {
		return fmt.Errorf("commit start offsets %s: %w", starts, failed)
	}
	return nil
}

// resolveStarts fills in where each partition of missing begins, as Config.Start says. A partition that was added to
// its topic after Open begins at its first record in any case.
func (s *Session) resolveStarts(ctx context.Context, missing offsets.Set) error {
	starts, err := s.adm.ListStartOffsets(ctx, s.cfg.Topics...)
	if err := errors.Join(err, starts.Error()); err != nil {
		return fmt.Errorf("list start offsets: %w", err)
	}
	ends := starts
	if s.cfg.Start == StartLatest {
		ends, err = s.adm.ListCommittedOffsets(ctx, s.cfg.Topics...)
		if err := errors.Join(err, ends.Error()); err != nil {
			return fmt.Errorf("list last stable offsets: %w", err)
		}
	}
	for p := range missing {
		from := ends
		if p.Number >= s.partitions[p.Topic] {
			from = starts
		}
		o, ok := from.Lookup(p.Topic, p.Number)
		if !ok {
			return fmt.Errorf("%s is assigned but not listed yet", p) // kgo joins again
		}
		missing[p] = offsets.NewPosition(o.Offset)
	}
	return nil
}

// toEpochOffsets returns set as kgo wants it.
func toEpochOffsets(set offsets.Set) map[string]map[int32]kgo.EpochOffset {
	m := make(map[string]map[int32]kgo.EpochOffset)
	for p, pos := range set {
		if m[p.Topic] == nil {
			m[p.Topic] = make(map[int32]kgo.EpochOffset)
		}
		m[p.Topic][p.Number] = kgo.EpochOffset{Offset: pos.Offset, Epoch: pos.LeaderEpoch}
	}
	return m
}

// sleep waits for d and returns true, or returns false as soon as ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
