package wiretap

import (
	"bufio"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// lingerTimeout is how long a connection that its client has closed waits for the broker's answers to requests that were sent late.
const lingerTimeout = 10 * time.Second

// readBuffer is what is read from the real connection at once.
const readBuffer = 64 << 10

// conn is the client's end of a tapped connection. While no rule acts on it, Read and Write work on the real connection in the caller's
// goroutine. The first request to be held up starts a sender, which ends when its queue is empty; the first reply that a rule acts on
// starts a receiver, which stays until the connection ends.
//
// It ends in up to three steps: closed (the client called Close), severed (the real connection is closed, by a rule, by the client, or
// after an error), gone (Cut: not even what is in the tap is handed to the client).
type conn struct {
	tap     *Tap
	id      int64
	addr    string
	network string // as it was dialled
	address string
	inner   net.Conn
	closed  chan struct{}
	severed chan struct{}
	gone    chan struct{}

	writing sync.Mutex // serializes Write, guards the fields of writer
	writer  writer
	reading sync.Mutex // serializes Read, guards the fields of reader until a receiver owns them
	reader  reader

	mu            sync.Mutex  // guards all below; never held while bytes move or user code runs
	pending       []exchange  // requests forwarded, not answered, in order
	queue         []outgoing  // requests written, not forwarded, in order; owned by the sender while sending
	sending       bool        // a sender runs: only it writes to inner
	inbox         []*incoming // replies received, not read by the client, in order
	receiving     bool        // a receiver runs or ran: only it reads from inner
	after         []afterCall // of replies that the client has read
	readErr       error       // what Read returns once the inbox is empty; set when the receiver ends
	news          chan struct{}
	owed          bool // at Close requests were still to be sent: their answers are waited for
	readDeadline  deadline
	writeDeadline time.Time
}

// exchange is a request that awaits its answer.
type exchange struct {
	api           kmsg.Key
	version       int16
	correlationID int32
	faults        []*Fault // that act on the reply, each with a reserved hit
}

func newConn(t *Tap, id int64, inner net.Conn, network, address string) *conn {
	c := &conn{
		tap:     t,
		id:      id,
		network: network,
		address: address,
		inner:   inner,
		closed:  make(chan struct{}),
		severed: make(chan struct{}),
		gone:    make(chan struct{}),
		news:    make(chan struct{}),
	}
	if addr := inner.RemoteAddr(); addr != nil {
		c.addr = addr.String()
	}
	c.reader.buf = bufio.NewReaderSize(inner, readBuffer)
	return c
}

// LocalAddr returns the real connection's local address.
func (c *conn) LocalAddr() net.Addr { return c.inner.LocalAddr() }

// RemoteAddr returns the real connection's remote address.
func (c *conn) RemoteAddr() net.Addr { return c.inner.RemoteAddr() }

// Close ends the client's use of the connection. The real one is closed at once, unless requests are still to be sent or the tap is
// frozen: then it is closed once that is over.
func (c *conn) Close() error {
	c.mu.Lock()
	if isClosed(c.closed) {
		c.mu.Unlock()
		return net.ErrClosed
	}
	close(c.closed)
	c.owed = c.sending
	linger := !isClosed(c.severed) && (c.sending || c.tap.thawed() != nil)
	c.mu.Unlock()
	if linger && c.spawn(c.linger) {
		return nil
	}
	c.sever()
	return nil
}

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline ends a Read that waits for the broker or for a rule at t. A reply held or delayed is not lost by that: a later Read
// with a later deadline gets it.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if isClosed(c.closed) {
		return net.ErrClosed
	}
	c.readDeadline.set(t)
	if c.receiving || isClosed(c.severed) {
		return nil
	}
	return c.inner.SetReadDeadline(t)
}

// SetWriteDeadline ends a Write that waits for the broker at t. A request that a rule holds up has been written already.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if isClosed(c.closed) {
		return net.ErrClosed
	}
	c.writeDeadline = t
	if c.sending || isClosed(c.severed) {
		return nil
	}
	return c.inner.SetWriteDeadline(t)
}

// spawn runs f in a goroutine of the tap, or returns false: after Tap.Close nothing may start.
func (c *conn) spawn(f func()) bool {
	c.tap.mu.Lock()
	defer c.tap.mu.Unlock()
	if c.tap.closed {
		return false
	}
	c.tap.work.Go(f)
	return true
}

// sever closes the real connection and gives back the rules that can no longer act. What the inbox holds can still be read.
func (c *conn) sever() {
	c.mu.Lock()
	first := !isClosed(c.severed)
	if first {
		close(c.severed)
	}
	pending := c.pending
	c.pending = nil
	ended := isClosed(c.closed) || isClosed(c.gone)
	var after []afterCall
	if ended { // the client reads no more
		after, c.after = c.after, nil
		for _, in := range c.inbox {
			after, in.after = append(after, in.after...), nil
		}
	}
	c.mu.Unlock()
	if first {
		_ = c.inner.Close()
	}
	for _, x := range pending {
		refund(x.faults)
	}
	refundAfter(after)
	if ended {
		c.tap.forget(c)
	}
}

// cut ends everything at once.
func (c *conn) cut() {
	c.mu.Lock()
	if !isClosed(c.gone) {
		close(c.gone)
	}
	c.mu.Unlock()
	c.sever()
}

// linger takes the read side over from a client that has closed the connection, so that answers to late requests are read: a socket
// closed with unread bytes resets the connection, and the broker might never see the request.
func (c *conn) linger() {
	_ = c.inner.SetReadDeadline(time.Unix(1, 0)) // wakes a Read
	c.reading.Lock()
	started := c.startReceiving()
	c.reading.Unlock()
	c.finish()
	if started {
		c.receive()
	}
}

// finish closes the real connection if the client has closed this one and nothing more is to be sent or awaited.
func (c *conn) finish() {
	c.mu.Lock()
	busy := !isClosed(c.closed) || c.sending || c.tap.thawed() != nil
	answers := c.owed && len(c.pending) > 0
	if !busy && answers && !isClosed(c.severed) {
		_ = c.inner.SetReadDeadline(time.Now().Add(lingerTimeout))
	}
	c.mu.Unlock()
	if !busy && !answers {
		c.sever()
	}
}

// expect registers a request that is about to be forwarded; false means that the connection has ended.
func (c *conn) expect(x exchange, answered bool) bool {
	c.mu.Lock()
	ok := !isClosed(c.severed)
	if ok && answered {
		c.pending = append(c.pending, x)
	}
	c.mu.Unlock()
	if !ok || !answered {
		refund(x.faults)
	}
	return ok
}

// answered finds the oldest pending request with the correlation id, and removes it if take is set or no rule acts on its reply.
// Kafka answers in order, so it is nearly always the first.
func (c *conn) answered(correlationID int32, take bool) (exchange, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.pending, func(x exchange) bool { return x.correlationID == correlationID })
	if i < 0 {
		return exchange{}, false
	}
	x := c.pending[i]
	if take || len(x.faults) == 0 {
		c.pending = slices.Delete(c.pending, i, i+1)
	}
	return x, true
}

// event returns the event of a frame of this connection.
func (c *conn) event(phase Phase, x exchange, bytes int) Event {
	return Event{
		Time:          time.Now(),
		Conn:          c.id,
		Addr:          c.addr,
		Phase:         phase,
		API:           x.api,
		Version:       x.version,
		CorrelationID: x.correlationID,
		Bytes:         bytes,
	}
}

// readError is what Read returns for an error of the real connection. One that the tap closed looks as if the broker had closed it.
func (c *conn) readError(err error) error {
	switch {
	case isClosed(c.closed):
		return net.ErrClosed
	case isClosed(c.severed):
		return io.EOF
	}
	return err
}

// writeError is what Write returns once the connection has ended, nil before.
func (c *conn) writeError() error {
	switch {
	case isClosed(c.closed):
		return net.ErrClosed
	case isClosed(c.severed):
		return &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.EPIPE)}
	}
	return nil
}

// isClosed reports whether ch is closed, for channels on which nothing is sent.
func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
