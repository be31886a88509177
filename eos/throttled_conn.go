package eos

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// dialFunc is kgo's Dialer.
type dialFunc = func(ctx context.Context, network, host string) (net.Conn, error)

// throttled returns a dialer whose connections hold back the answers to throttled fetches.
func (t *throttles) throttled(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		conn, err := dial(ctx, network, host)
		if err != nil {
			return nil, err
		}
		return newThrottledConn(conn, t.fetched), nil
	}
}

// OnBrokerConnect implements kgo.HookBrokerConnect: it tells the connection which broker it leads to, before the connection is used.
func (t *throttles) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, conn net.Conn, _ error) {
	if c, ok := conn.(*throttledConn); ok {
		c.meta = meta
	}
}

// throttledConn is a connection to a broker. If an answer to Fetch says that the client is throttled, the connection holds it back for that
// time and sets its throttle to 0. All other bytes pass unchanged. Like any net.Conn it is read by one goroutine and written by another.
type throttledConn struct {
	net.Conn
	meta kgo.BrokerMetadata
	told func(meta kgo.BrokerMetadata, bytes int64, throttle time.Duration)

	request atomic.Int32 // key and version of the last request, which is answered next: fetches are sent one at a time

	head []byte // of the answer, not read yet
	left int64  // bytes of the answer after the head

	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	expired chan struct{} // closed when kgo sets a deadline for reading that has passed
}

func newThrottledConn(conn net.Conn, told func(kgo.BrokerMetadata, int64, time.Duration)) *throttledConn {
	return &throttledConn{Conn: conn, told: told, closed: make(chan struct{}), expired: make(chan struct{})}
}

// Write implements net.Conn. kgo writes one request at a time: size int32 | key int16 | version int16 | …
func (c *throttledConn) Write(b []byte) (int, error) {
	if len(b) >= 8 {
		c.request.Store(int32(binary.BigEndian.Uint32(b[4:])))
	}
	return c.Conn.Write(b)
}

// Read implements net.Conn.
func (c *throttledConn) Read(b []byte) (int, error) {
	if len(c.head) == 0 && c.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if len(c.head) > 0 {
		n := copy(b, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	if c.left > 0 && int64(len(b)) > c.left {
		b = b[:c.left]
	}
	n, err := c.Conn.Read(b)
	if c.left > 0 {
		c.left -= int64(n)
	}
	return n, err
}

// flexibleFetch is the first version of Fetch whose answer has tagged fields in its header.
const flexibleFetch = 12

// next reads the head of an answer to Fetch: size int32 | correlation id int32 | [no tagged fields: 0] | throttle int32. It leaves other
// answers alone.
func (c *throttledConn) next() error {
	request := c.request.Load()
	key, version := int16(request>>16), int16(request)
	if key != kmsg.Fetch.Int16() || version < 1 {
		return nil
	}
	at := 8
	if version >= flexibleFetch {
		at = 9
	}
	head := make([]byte, at+4)
	if _, err := io.ReadFull(c.Conn, head); err != nil {
		return err // kgo closes the connection
	}
	size := int64(int32(binary.BigEndian.Uint32(head)))
	c.head, c.left = head, max(size+4-int64(len(head)), 0)
	if at == 9 && head[8] != 0 {
		return nil
	}
	millis := int32(binary.BigEndian.Uint32(head[at:]))
	if millis < 0 {
		return nil
	}
	binary.BigEndian.PutUint32(head[at:], 0)
	throttle := time.Duration(millis) * time.Millisecond
	c.told(c.meta, size, throttle)
	return c.hold(throttle)
}

// hold waits for d, or returns an error when the connection is closed or its reader gives up.
func (c *throttledConn) hold(d time.Duration) error {
	if d == 0 {
		return nil
	}
	c.mu.Lock()
	expired := c.expired
	c.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-expired:
		return os.ErrDeadlineExceeded
	case <-c.closed:
		return net.ErrClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.expired:
		return os.ErrDeadlineExceeded
	default:
		return c.Conn.SetReadDeadline(time.Now().Add(restOfAnswer)) // that of the answer may have passed
	}
}

// restOfAnswer is how long the rest of an answer that was held back may take.
const restOfAnswer = 10 * time.Second

// SetReadDeadline implements net.Conn. kgo sets a deadline that has passed to give a request up.
func (c *throttledConn) SetReadDeadline(t time.Time) error {
	c.deadline(t)
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *throttledConn) SetDeadline(t time.Time) error {
	c.deadline(t)
	return c.Conn.SetDeadline(t)
}

func (c *throttledConn) deadline(t time.Time) {
	passed := !t.IsZero() && !t.After(time.Now())
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.expired:
		if !passed {
			c.expired = make(chan struct{})
		}
	default:
		if passed {
			close(c.expired)
		}
	}
}

// Close implements net.Conn.
func (c *throttledConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
