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

	// rebalanced is set when partitions are taken away and cleared when the client is rewound. Without the rewind, the
	// transaction after a rebalance would be aborted for it, though it had not begun before (franz-go #754).
	rebalanced atomic.Bool
	// members knows as which member of the group, and since which generation, the client has each partition.
	members memberships
	has     holdings
	// life ends when discard is called, with the reason. From then on no call waits for the client.
	life     context.Context
	discard  context.CancelCauseFunc
	watching sync.WaitGroup // for watchTopics, watchOpen and watchStandstill
	// standsStill is why the next poll must discard the client; nil: it need not.
	standsStill atomic.Pointer[error]
	joined      func() bool // stops the log line about a long wait for the group, or nil
	// hurry ends the wait for more records, so that a rebalance that waits for the batch can continue.
	hurry atomic.Pointer[context.CancelFunc]
}

// connect makes a client in the one order that is safe: first the producer id, which fences the predecessor and ends
// its transaction; then the group, whose offsets are stable by now. (kgo would ask for the producer id with the first
// record; until then the predecessor's transaction hides the group's offsets, so there is no first record before that
// transaction times out.)
//
// A client whose InitProducerId was answered with UNKNOWN_SERVER_ERROR never asks again, so connect makes another one.
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

// slowProducerID is how long to wait for a producer id before logging; kgo retries silently.
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

// noteEpoch notes the producer epoch of the next transaction: where every transaction has an epoch of its own, the end of one makes
// a new epoch. isProducerElse compares the noted epoch with the coordinator's.
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

// stopWaiting is called when the group has answered, or when its answer no longer matters.
func (c *client) stopWaiting() {
	if c.joined != nil {
		c.joined()
	}
}

// bound returns a context that ends with ctx, or when the client is discarded.
func (c *client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	unbind := context.AfterFunc(c.life, cancel)
	return ctx, func() { unbind(); cancel() }
}

// discarded returns why the client was discarded: an error that wraps errDiscarded, or ErrClientClosed. nil: it was not.
func (c *client) discarded() error { return context.Cause(c.life) }

// errDiscarded is the cause when the session discards a client without an error from the brokers that requires it.
var errDiscarded = errors.New("the client is discarded")

// rebalancing is called by kgo before partitions are taken away or when they are lost.
func (c *client) rebalancing(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	for p := range eachPartition(partitions) {
		c.members.gone(p)
		c.s.watch.do(func(x *standstill) { x.gone(p) })
	}
	c.rebalanced.Store(true)
}

// blocked is called by kgo when a rebalance waits for the batch that is out or being gathered. In the consumer protocol it must not
// wait: kgo sends no heartbeats meanwhile, and End waits for one. If partitions are taken away, the batch is given back.
func (c *client) blocked(context.Context, *kgo.Client) {
	if c.s.cfg.GroupProtocol == ConsumerProtocol {
		c.gts.AllowRebalance()
	}
	if hurry := c.hurry.Load(); hurry != nil {
		(*hurry)()
	}
}
