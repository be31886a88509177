package wiretap

import (
	"context"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DialFunc makes a connection, as [net.Dialer.DialContext] does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Tap watches every connection made through its Dial and applies the rules added to it. All methods may be called at any time from any
// goroutine. Close it when done: until then, requests that were held and never released keep their connections.
type Tap struct {
	dial   DialFunc
	faults atomic.Pointer[[]*Fault] // copied on write, in order of Add
	topics topicNames
	log    eventLog
	work   sync.WaitGroup // every goroutine of the tap

	mu     sync.Mutex
	conns  map[*conn]struct{} // every connection that may still carry a byte
	lastID int64
	copies map[*copied]struct{} // every request that is to be delivered again
	down   bool                 // after Cut or Close: Dial refuses
	closed bool                 // after Close: for good
	frozen chan struct{}        // nil unless frozen; closed by Thaw
	gate   atomic.Bool          // frozen != nil, to be read without mu
}

// Option changes how New makes a tap.
type Option func(*Tap)

// Over makes the tap's connections with dial instead of a plain [net.Dialer], for example kfake's VirtualNetwork or a TLS dialer.
func Over(dial DialFunc) Option { return func(t *Tap) { t.dial = dial } }

// Observe has every event given to observer, in order for each connection, from the goroutine that moves the bytes and before they move
// on. The observer must not block, and must be safe for concurrent use.
func Observe(observer func(Event)) Option { return func(t *Tap) { t.log.observer = observer } }

// Keep sets how many of the newest events Log remembers. The default is 100,000 (about 15 MB); zero keeps none. Count is not affected.
func Keep(events int) Option { return func(t *Tap) { t.log.limit = max(events, 0) } }

// New returns a tap with no rules: until one is added, bytes pass as they are.
func New(options ...Option) *Tap {
	t := &Tap{
		dial:   (&net.Dialer{}).DialContext,
		conns:  make(map[*conn]struct{}),
		copies: make(map[*copied]struct{}),
		log:    eventLog{limit: 100_000},
	}
	t.faults.Store(new([]*Fault))
	for _, option := range options {
		option(t)
	}
	return t
}

// Dial makes a connection that the tap watches. While the tap is frozen it waits for Thaw or the end of ctx; after Cut it fails as if
// nobody listened. Give it to kgo as kgo.Dialer(tap.Dial).
func (t *Tap) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := t.admit(ctx, network); err != nil {
		return nil, err
	}
	inner, err := t.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.down { // Cut came while the connection was being made.
		_ = inner.Close()
		return nil, refused(network)
	}
	t.lastID++
	c := newConn(t, t.lastID, inner, network, address)
	t.conns[c] = struct{}{}
	return c, nil
}

// Add puts rule into force after all rules added before, and returns the handle that counts its hits. Every matching rule applies, in
// order of Add; one that drops ends the line. Add panics if rule.Validate fails: rules from users go through Parse.
func (t *Tap) Add(rule Rule) *Fault {
	if err := rule.Validate(); err != nil {
		panic(err)
	}
	f := newFault(rule)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults.Store(new(append(slices.Clone(*t.faults.Load()), f)))
	return f
}

// Hold adds rule as a hold: of the reply if its action is HoldReply, else of the request. What it matches stops in the tap until
// Release: wait for <-f.Reached(), do what must happen at that step, then f.Release().
func (t *Tap) Hold(rule Rule) *Fault {
	if rule.Action != HoldReply {
		rule.Action = HoldRequest
	}
	return t.Add(rule)
}

// Cut closes every connection at once and has Dial refuse new ones, as the broker sees a client killed by SIGKILL. Requests and replies
// still in the tap are discarded. Restore ends it.
func (t *Tap) Cut() {
	t.mu.Lock()
	t.down = true
	conns := t.connections()
	for c := range t.copies {
		c.end()
	}
	t.mu.Unlock()
	for _, c := range conns {
		c.cut()
	}
}

// Restore lets Dial make connections again after Cut. Connections that were cut stay closed.
func (t *Tap) Restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down = t.closed
}

// Freeze stops every byte in both directions until Thaw, with all connections left open, as a network partition or a client stopped by
// SIGSTOP appears to the broker. What the client writes meanwhile is kept and sent at Thaw, even if the client has closed the connection
// by then; its reads wait for their deadline. A Read or Write already under way when Freeze is called may still finish.
func (t *Tap) Freeze() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.frozen == nil {
		t.frozen = make(chan struct{})
		t.gate.Store(true)
	}
}

// Thaw ends Freeze: what was kept moves on, in order on each connection.
func (t *Tap) Thaw() {
	t.mu.Lock()
	if t.frozen != nil {
		t.gate.Store(false)
		close(t.frozen)
		t.frozen = nil
	}
	conns := t.connections()
	t.mu.Unlock()
	for _, c := range conns {
		c.finish()
	}
}

// Close cuts all connections for good, and returns when no goroutine of the tap is left. It must not be called from a hook or observer.
func (t *Tap) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.Cut()
	t.work.Wait()
}

// connections returns the connections that may still carry bytes. The caller holds mu.
func (t *Tap) connections() []*conn {
	conns := make([]*conn, 0, len(t.conns))
	for c := range t.conns {
		conns = append(conns, c)
	}
	return conns
}

// admit waits until the tap is not frozen, and refuses if it is down.
func (t *Tap) admit(ctx context.Context, network string) error {
	for {
		t.mu.Lock()
		frozen, down := t.frozen, t.down
		t.mu.Unlock()
		switch {
		case down:
			return refused(network)
		case frozen == nil:
			return nil
		}
		select {
		case <-frozen:
		case <-ctx.Done():
			return &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
		}
	}
}

// thawed returns nil when bytes may move, else a channel that is closed when they may.
func (t *Tap) thawed() <-chan struct{} {
	if !t.gate.Load() {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.frozen
}

// forget drops a connection that will carry no more bytes.
func (t *Tap) forget(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
}

// match reserves one hit in every fault that applies to req, and returns them split by what they act on, in order of Add.
func (t *Tap) match(req Request) (onRequest, onReply []*Fault) {
	for _, f := range *t.faults.Load() {
		if !f.reserve(req) {
			continue
		}
		if f.rule.Action.onReply() {
			onReply = append(onReply, f)
		} else {
			onRequest = append(onRequest, f)
		}
	}
	return onRequest, onReply
}

// refused is what a client sees when nobody listens.
func refused(network string) error {
	return &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// Count returns how many requests of api the client has made through the tap: forwarded to the broker, or dropped by a rule.
func (t *Tap) Count(api kmsg.Key) int { return t.log.count(api) }

// Requests returns the requests of api that Log remembers, oldest first.
func (t *Tap) Requests(api kmsg.Key) []Event {
	return slices.DeleteFunc(t.log.events(), func(e Event) bool { return e.API != api || e.Phase != PhaseRequest })
}

// Log returns the events remembered (see Keep), oldest first: every request when it was forwarded or dropped, every reply when it had
// been read to the end.
func (t *Tap) Log() []Event { return t.log.events() }
