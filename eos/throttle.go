package eos

import (
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// This file hears when brokers throttle the session's client, logs it, and makes the client do less at once. (KIP-219: a broker answers
// at once, states how long the client must wait, and reads nothing more from that connection meanwhile.)
//
// kgo writes all requests to a broker in one goroutine, which waits when the connection of the next request is throttled: heartbeats,
// produces and commits would wait for a fetch that is throttled for a minute. So throttled fetches wait in their connection
// (throttledConn), and kgo does not learn of it. Between two transactions nothing is produced before the time is over; a transaction that
// would have to wait long is aborted, and its batch comes again in smaller ones.

// The names of the quotas, as kafka-configs.sh has them.
const (
	quotaFetch   = "consumer_byte_rate"
	quotaProduce = "producer_byte_rate"
	quotaRequest = "request_percentage"
)

// longestRequestThrottle is the longest that a broker throttles for request_percentage, with its default window.
const longestRequestThrottle = time.Second

// throttles knows how long the brokers throttle a session. It is a hook of the session's clients.
type throttles struct {
	s    *Session
	said map[string]*limiter // by quota; does not change

	mu       sync.Mutex
	answered map[int32]int16     // by broker, the key of the request that was answered last
	produce  time.Time           // until when no more may be produced
	open     func(time.Duration) // called when produces are throttled, while a transaction is open
	empty    time.Time           // since when every fetch is throttled and returns nothing
}

func newThrottles(s *Session) *throttles {
	return &throttles{s: s, answered: map[int32]int16{}, said: map[string]*limiter{quotaFetch: {}, quotaProduce: {}, quotaRequest: {}, neverFetched: {}}}
}

// longest returns how long a request may wait without danger for the membership or the transaction.
func (t *throttles) longest() time.Duration {
	return min(t.s.cfg.SessionTimeout, t.s.cfg.TransactionTimeout) / 4
}

// OnBrokerRead implements kgo.HookBrokerRead: kgo does not pass what was throttled to OnBrokerThrottle, but calls it right after this.
func (t *throttles) OnBrokerRead(meta kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answered[meta.NodeID] = key
}

// OnBrokerThrottle implements kgo.HookBrokerThrottle. It is not called for fetches.
func (t *throttles) OnBrokerThrottle(meta kgo.BrokerMetadata, d time.Duration, _ bool) {
	t.mu.Lock()
	produced := t.answered[meta.NodeID] == kmsg.Produce.Int16()
	told := t.open
	if until := time.Now().Add(d); produced && until.After(t.produce) {
		t.produce = until
	}
	t.mu.Unlock()
	if !produced {
		t.say(quotaRequest, meta, d)
		return
	}
	t.say(quotaProduce, meta, d)
	if told != nil {
		told(d)
	}
}

// neverFetched is the key of the second warning about fetches.
const neverFetched = "never"

// patienceEmpty is how long all fetches may be throttled and return nothing before a warning is logged.
const patienceEmpty = time.Minute

// fetched is called for every answer to a fetch, with its size and for how long the client is throttled: 0 if it is not.
func (t *throttles) fetched(meta kgo.BrokerMetadata, bytes int64, d time.Duration) {
	t.s.fetch.answered(bytes, d)
	if d == 0 {
		t.mu.Lock()
		t.empty = time.Time{}
		t.mu.Unlock()
		return
	}
	for _, hook := range t.s.hooks { // kgo does not call them
		if h, ok := hook.(kgo.HookBrokerThrottle); ok {
			h.OnBrokerThrottle(meta, d, true)
		}
	}
	t.s.watch.OnBrokerThrottle(meta, d, true)
	t.say(quotaFetch, meta, d)
	t.mu.Lock()
	if t.empty.IsZero() {
		t.empty = time.Now()
	}
	long := time.Since(t.empty) > patienceEmpty
	t.mu.Unlock()
	if long && t.said[neverFetched].allow(time.Minute) {
		t.s.cfg.Logger.Warn("nothing can be fetched: each fetch is throttled, and brings nothing. If an input batch is larger than the quota allows in some ten seconds, the brokers "+
			"never return it, and everything after it waits; or other clients use up the same quota: raise it",
			"transactional_id", t.s.cfg.TransactionalID, "quota", quotaFetch, "client_id", t.s.cfg.ClientID, "broker", addressOf(meta), "throttle", d)
	}
}

// saidThrottle is the shortest throttle that is logged.
const saidThrottle = 100 * time.Millisecond

// say logs a warning about a quota, at most once a minute.
func (t *throttles) say(quota string, meta kgo.BrokerMetadata, d time.Duration) {
	if d < saidThrottle || !t.said[quota].allow(time.Minute) {
		return
	}
	if quota != quotaRequest && d <= longestRequestThrottle {
		quota += " or " + quotaRequest
	}
	t.s.cfg.Logger.Warn("the brokers throttle this client: a quota is used up. Nothing is lost; the session asks for less at once, and continues as fast as the quota allows",
		"transactional_id", t.s.cfg.TransactionalID, "quota", quota, "client_id", t.s.cfg.ClientID, "broker", addressOf(meta), "throttle", d)
}

func addressOf(meta kgo.BrokerMetadata) string { return fmt.Sprintf("%s:%d", meta.Host, meta.Port) }

// produceLeft returns for how long no more may be produced.
func (t *throttles) produceLeft() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(time.Until(t.produce), 0)
}

// reconnected is called when the client connects again. A broker throttles by what it remembers, which is at most quotaWindow.
func (t *throttles) reconnected() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if most := time.Now().Add(quotaWindow); t.produce.After(most) {
		t.produce = most
	}
}

// during makes told be called with each throttle of a produce, until the function that it returns is called.
func (t *throttles) during(told func(time.Duration)) (over func()) {
	set := func(f func(time.Duration)) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.open = f
	}
	set(told)
	return func() { set(nil) }
}
