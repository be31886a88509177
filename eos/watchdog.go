package eos

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// This file asks the brokers about partitions that are suspected to stand still (standstill.go), and discards a client that does not fetch
// one. Such a partition has committed records (its last stable offset is ahead), and a fetch beside the client returns some of them, or an
// error that the client has not reported. A log end ahead of the last record (as in a compacted log), an open transaction, or a broker that
// is down or throttles do not count.

// errStandsStill is the cause when a client is discarded because it has stopped fetching a partition.
var errStandsStill = fmt.Errorf("%w: it does not fetch a partition that it has, and has reported no error; a new one continues from the committed offsets", errDiscarded)

// watchdog is that of one session. It is a hook of its clients.
type watchdog struct {
	mu sync.Mutex
	standstill
	waiting time.Time // since when the session waits for the client; zero: it does not
	quiet   time.Time // until then the brokers make the client wait
	limit   int64     // a fetch of half of these bytes or more may have left out records
	largest int64     // the bytes of the largest fetch since the last round
}

// do calls f under the lock.
func (w *watchdog) do(f func(*standstill)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.standstill)
}

// asks notes that the session asks the client for records, and waits.
func (w *watchdog) asks(limit int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting, w.limit = time.Now(), limit
}

// gets notes that the client has answered; drained says that it returned fewer records than it was asked for.
func (w *watchdog) gets(drained bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = time.Time{}
	w.polled(drained && w.largest < w.limit/2)
}

// isWaiting says whether the session waits for the client.
func (w *watchdog) isWaiting() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.waiting.IsZero()
}

// waitingFor is how long a client that has records takes to return them, at most.
const waitingFor = time.Second

// suspects ends a round.
func (w *watchdog) suspects(now time.Time) offsets.Set {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.waiting.IsZero() && now.Sub(w.waiting) >= waitingFor {
		w.polled(true)
	}
	if now.Before(w.quiet) {
		w.asked = false
	}
	w.largest = 0
	return w.look()
}

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (w *watchdog) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if key == kmsg.Fetch.Int16() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.largest = max(w.largest, int64(e2e.BytesRead))
	}
}

// OnBrokerThrottle implements kgo.HookBrokerThrottle.
func (w *watchdog) OnBrokerThrottle(_ kgo.BrokerMetadata, interval time.Duration, _ bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if until := time.Now().Add(interval); until.After(w.quiet) {
		w.quiet = until
	}
}

// watchStandstill watches the partitions of the client until it is closed.
func (c *client) watchStandstill() {
	for cluster.Sleep(c.life, lookInterval) {
		if suspects := c.s.watch.suspects(time.Now()); len(suspects) > 0 {
			c.inspect(suspects)
		}
	}
}

// inspect asks the brokers about suspected partitions, and gives the client up if one of them stands still.
func (c *client) inspect(suspects offsets.Set) {
	excuse := func(p offsets.Partition) { c.s.watch.do(func(x *standstill) { x.excuse(p) }) }
	has := c.gts.Client().CommittedOffsets()
	for p := range suspects {
		known := false
		c.s.watch.do(func(x *standstill) { known = x.isKnown(p) })
		if _, ok := has[p.Topic][p.Number]; known && !ok { // kgo does not always tell what is taken away
			excuse(p)
			delete(suspects, p)
		}
	}
	if len(suspects) == 0 {
		return
	}
	bounded, asked := c.s.ask.Bound(c.life)
	ends, err := c.s.ask.LastStable(bounded, topicsOf(suspects)...)
	asked(err)
	for p, pos := range suspects {
		end, ok := ends[p]
		if err != nil || !ok || end.Err != nil || end.Offset <= pos.Offset {
			excuse(p)
			continue
		}
		if more, err := c.s.hasMore(c.life, p, pos.Offset); err != nil || !more {
			excuse(p)
			continue
		}
		stands := false
		c.s.watch.do(func(x *standstill) { stands = x.convict(p, pos.Offset) })
		if stands {
			c.giveUp(p, pos.Offset, end.Offset)
			return
		}
	}
}

// giveUp discards the client: at once if the session waits for it, otherwise at the next poll.
func (c *client) giveUp(p offsets.Partition, at, end int64) {
	why := fmt.Errorf("%w (%s at offset %d, which ends at %d)", errStandsStill, p, at, end)
	if c.standsStill.CompareAndSwap(nil, &why) {
		c.s.cfg.Logger.Warn("a partition makes no progress: the client does not fetch it although it has more records; nothing is lost or doubled, a new client continues from what is committed",
			"transactional_id", c.s.cfg.TransactionalID, "partition", p.String(), "offset", at, "end", end)
	}
	if c.s.watch.isWaiting() {
		c.discard(why)
	}
}

// hasMore reports whether a fetch beside the client returns records from an offset on, or an error that does not pass.
func (s *Session) hasMore(ctx context.Context, p offsets.Partition, from int64) (bool, error) {
	for {
		fetched, next, err := s.ask.Fetch(ctx, p, from, blind{})
		switch {
		case err != nil:
			return false, err
		case len(fetched.Records) > 0:
			return true, nil
		case fetched.Err != nil && kerr.IsRetriable(fetched.Err):
			return false, fetched.Err
		case fetched.Err != nil || next == from:
			return fetched.Err != nil, nil
		}
		from = next
	}
}

// blind decompresses nothing: that there is a batch is enough.
type blind struct{}

// Decompress implements kgo.Decompressor.
func (blind) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec == kgo.CodecNone {
		return src, nil
	}
	return nil, errTooLarge
}
