package eos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
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
	// members says as which member of the group, and since when, the client has each partition.
	members memberships
	has     holdings
	// life ends when the client is to be discarded, by discard, which is told why: from then on nothing that it does is waited for.
	life     context.Context
	discard  context.CancelCauseFunc
	watching sync.WaitGroup // for watchTopics, watchOpen and watchStandstill
	// standsStill is why the client is to be discarded when it is asked next.
	standsStill atomic.Pointer[error]
	joined      func() bool // ends that a wait for the group is said, or nil
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
	var c *client
	each := s.retry("make a new client")
	each.IsFinal = func(err error) bool { return !errors.Is(err, kerr.UnknownServerError) }
	err := each.Until(ctx, func(ctx context.Context) (err error) {
		c, err = s.connectOnce(ctx)
		return err
	})
	return c, err
}

func (s *Session) connectOnce(ctx context.Context) (*client, error) {
	c := &client{s: s, producerID: -1, producerEpoch: -1}
	c.has.c, c.members.consumer = c, s.cfg.GroupProtocol == ConsumerProtocol
	c.life, c.discard = context.WithCancelCause(context.Background())
	gts, err := kgo.NewGroupTransactSession(s.options(c)...)
	if err != nil {
		return nil, fmt.Errorf("make the client: %w", err)
	}
	c.gts = gts
	if c.producerID, c.producerEpoch, err = s.initProducerID(ctx, gts.Client()); err != nil {
		c.close()
		return nil, fmt.Errorf("initialize the producer id: %w", err)
	}
	if s.cfg.GroupProtocol == ConsumerProtocol {
		if err := s.evict(ctx); err != nil {
			c.close()
			return nil, err
		}
	}
	s.onlyOver(gts.Client())
	c.joined = cluster.LogSlow(s.cfg.Logger, "the group to assign partitions: it waits for other members to come or to join again (group.initial.rebalance.delay.ms)", nil)
	gts.Client().AddConsumeTopics(slices.Collect(maps.Keys(s.inputs.all()))...)
	c.watching.Go(c.watchOpen)
	c.watching.Go(c.watchStandstill)
	if s.pattern != nil {
		c.watching.Go(c.watchTopics)
	}
	return c, nil
}

// slowProducerID is after how long a wait for the producer id is said. kgo asks again by itself, and says nothing.
const slowProducerID = 5 * time.Second

// initProducerID sends InitProducerId until it is answered, ctx ends, or the answer is final. While the predecessor's
// transaction is being ended, the broker answers CONCURRENT_TRANSACTIONS.
func (s *Session) initProducerID(ctx context.Context, cl *kgo.Client) (id int64, epoch int16, err error) {
	began := time.Now()
	defer cluster.LogSlow(s.cfg.Logger, "the producer id: a new cluster makes its transaction coordinator at the first request, and the coordinator first ends a predecessor's transaction", nil)()
	defer time.AfterFunc(slowProducerID, func() {
		s.cfg.Logger.Warn("still waiting for the producer id: the coordinator cannot be reached, or is still ending a predecessor's transaction",
			"transactional_id", s.cfg.TransactionalID, "waited", time.Since(began))
	}).Stop()
	err = s.retry("initialize the producer id").Until(ctx, func(ctx context.Context) (err error) {
		id, epoch, err = cl.ProducerID(ctx)
		return err
	})
	return id, epoch, err
}

// retry repeats what at first after 20 ms and at last every second, until it is answered, ctx ends, or the answer is final. Each failure is logged.
func (s *Session) retry(what string) cluster.Retry {
	return cluster.Retry{First: 20 * time.Millisecond, Longest: time.Second, Again: func(err error, _ time.Duration) { s.retrying(what, err) }}
}

// noteEpoch notes by which producer epoch the next transaction will be known: where transactions have epochs of their own, an end makes a
// new one. isProducerElse compares it with what the coordinator says.
func (c *client) noteEpoch(ctx context.Context) error {
	id, epoch, err := c.gts.Client().ProducerID(ctx)
	if err == nil {
		c.producerID, c.producerEpoch = id, epoch
	}
	return err
}

// memberID is the id under which the client is, or was last, a member of the group; "": it has none yet.
func (c *client) memberID() string {
	id, _ := c.gts.Client().GroupMetadata()
	return id
}

// close discards the client and waits for it. A static member does not leave the group by this: see leave.
func (c *client) close() {
	c.discard(kgo.ErrClientClosed)
	c.stopWaiting()
	c.watching.Wait()
	c.gts.CloseAllowingRebalance()
}

// stopWaiting says that the group has answered, or that its answer is of no matter any more.
func (c *client) stopWaiting() {
	if c.joined != nil {
		c.joined()
	}
}

// bound returns a context that ends with ctx, and when the client is to be discarded.
func (c *client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	unbind := context.AfterFunc(c.life, cancel)
	return ctx, func() { unbind(); cancel() }
}

// discarded returns why the client is to be discarded: an error that wraps errDiscarded, or ErrClientClosed. nil: it is not.
func (c *client) discarded() error { return context.Cause(c.life) }

// errDiscarded is what is wrong with a client that is discarded though the brokers have answered nothing that asks for it.
var errDiscarded = errors.New("the client is discarded")

// rebalancing is called by kgo before partitions are taken away or when they are lost.
func (c *client) rebalancing(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	for p := range eachPartition(partitions) {
		c.members.gone(p)
		c.s.watch.do(func(x *standstill) { x.gone(p) })
	}
	c.rebalanced.Store(true)
}

// blocked is called by kgo when a rebalance waits for the batch that is out or being gathered. In the consumer protocol it must not: kgo sends
// no more heartbeats meanwhile, and End waits for one. If partitions go, the batch is given back.
func (c *client) blocked(context.Context, *kgo.Client) {
	if c.s.cfg.GroupProtocol == ConsumerProtocol {
		c.gts.AllowRebalance()
	}
	if hurry := c.hurry.Load(); hurry != nil {
		(*hurry)()
	}
}
