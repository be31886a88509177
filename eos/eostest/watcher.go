package eostest

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/broker/batches"
	"github.com/eos-pipe/eos-pipe/trace"
	"github.com/eos-pipe/eos-pipe/validator"
)

// DialFunc makes a connection, as [net.Dialer.DialContext] does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Watcher reads along what its clients and the brokers say to each other. Its methods may be called by several goroutines at once.
type Watcher struct {
	t      testing.TB
	config config
	conns  atomic.Int64 // made so far

	mu       sync.Mutex
	isJudged bool // Check was called, or the test has ended: nothing is noted any more
	steps    int64
	seen     []*exchange // in the order in which they were sent
	names    map[[16]byte]string
	digester *batches.Digester
	unread   error // why a connection could not be read
}

type config struct {
	dial         DialFunc
	kafka        string            // version of the brokers; "": the newest one
	broker       *validator.Broker // one of them, for what follows from names alone
	isTwiceError bool
	around       int
}

// Option changes how [Watch] watches.
type Option func(*config)

// Over makes connections with dial instead of a plain [net.Dialer]: one that returns TLS connections, kfake's virtual network, or the
// dialer of a fault injector. A watcher sees what the client sees; what is lost behind it is a lost answer.
func Over(dial DialFunc) Option { return func(c *config) { c.dial = dial } }

// Kafka sets the version of the brokers, such as "4.0" or "4.0.2 transaction.version=1", as [validator.Config] describes it. For
// one whose rules are not known, Watch fails the test at once. The default is a new cluster of the newest version.
func Kafka(version string) Option { return func(c *config) { c.kafka = version } }

// Kfake says that the broker is kfake, where clients notice a difference from Kafka: kfake aborts an open transaction at once
// when another producer takes over its transactional id, instead of asking that producer to try again. It is Kafka("kfake").
func Kfake() Option { return Kafka("kfake") }

// SentTwice makes it a failure that two batches of the same content are committed, which the brokers do not see: because the test's
// program has sent them again with a new sequence, or two of them did. Tests that send the same content on purpose leave it out.
func SentTwice() Option { return func(c *config) { c.isTwiceError = true } }

// Around sets how many events are shown before and behind a finding. The default is 10.
func Around(events int) Option { return func(c *config) { c.around = max(events, 0) } }

// Watch returns a watcher, which fails the test at its end if it finds something, or has seen no request. Clients should be closed
// by then; cleanups that were registered after Watch run before.
func Watch(t testing.TB, options ...Option) *Watcher {
	t.Helper()
	w := &Watcher{
		t: t, names: map[[16]byte]string{}, digester: batches.NewDigester(),
		config: config{dial: (&net.Dialer{}).DialContext, around: 10},
	}
	for _, option := range options {
		option(&w.config)
	}
	var err error
	if w.config.broker, err = validator.NewBroker(validator.Config{Kafka: w.config.kafka}); err != nil {
		t.Fatalf("eostest: nothing can be judged: %v", err)
	}
	t.Cleanup(w.Check)
	return w
}

// Client returns the option that makes a client's connections watched.
func (w *Watcher) Client() kgo.Opt { return kgo.Dialer(w.Dial) }

// Dial makes a connection that is watched, for clients other than kgo's.
func (w *Watcher) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	inner, err := w.config.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return newConn(w, inner, w.conns.Add(1)), nil
}

// Check judges what was seen, and fails the test with what it finds. It is called at the end of the test by itself, and judges only
// once: what comes later is not looked at.
func (w *Watcher) Check() {
	w.t.Helper()
	w.mu.Lock()
	isAgain := w.isJudged
	w.isJudged = true
	unread := w.unread
	w.mu.Unlock()
	switch {
	case isAgain:
	case unread != nil:
		w.t.Errorf("eostest: a connection cannot be read: %v (with TLS, give Over a dialer that returns the TLS connection)", unread)
	case len(w.items()) == 0:
		w.t.Errorf("eostest: no request that changes anything was seen: is the client given the watcher's Client option?")
	default:
		w.report()
	}
}

// Trace returns what was seen so far, in an order in which it may have taken effect, as eos-pipe validate reads it.
func (w *Watcher) Trace() []trace.Event {
	items, _ := arrange(w.items(), w.config)
	return withTime(items)
}

// sent notes a request, before it is forwarded. It reports false if it is too late for that.
func (w *Watcher) sent(e *exchange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isJudged {
		return
	}
	w.steps++
	e.sent = w.steps
	e.timeMs = time.Now().UnixMilli()
	w.seen = append(w.seen, e)
}

// answered notes an answer, before the client gets it.
func (w *Watcher) answered(e *exchange, events []trace.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isJudged {
		return
	}
	w.steps++
	e.done, e.events = w.steps, events
	e.timeMs = time.Now().UnixMilli()
}

// named notes the ids of topics.
func (w *Watcher) named(id [16]byte, topic string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[id] = topic
}

func (w *Watcher) name(topic string, id [16]byte) string {
	if topic != "" {
		return topic
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.names[id]
}

func (w *Watcher) cannotRead(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unread == nil {
		w.unread = err
	}
}
