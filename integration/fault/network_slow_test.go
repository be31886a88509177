package fault

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
)

// All connections together take 64 KiB a second each way: slower, and the same result, with no transaction that gets too old.
func TestNetworkLittleBandwidth(t *testing.T) {
	t.Parallel()
	const rate, records, size = 64 << 10, 300, 1 << 10
	b := bench.New(t)
	cfg := b.Config("a")
	in, out := &line{rate: rate}, &line{rate: rate}
	cfg.Client = []kgo.Opt{kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return &narrowConn{conn, in, out}, err
	})}
	for i := range records {
		b.WriteBig(int32(i%bench.Partitions), size)
	}
	s := b.Open(cfg)
	took := copyWithin(b, s, records, 2*time.Minute)
	require.Greater(t, out.passed(), int64(records*size), "bytes that went through the line")
	b.RequireOnce()
	t.Logf("%d records of %d bytes took %v", records, size, took.Round(time.Millisecond))
}

// line is one direction of a network that several connections share.
type line struct {
	rate int // bytes a second

	mu    sync.Mutex
	bytes int64
	free  time.Time // when all that was given to it so far has gone through
}

// pass returns when n bytes have gone through.
func (l *line) pass(n int) {
	l.mu.Lock()
	l.bytes += int64(n)
	if now := time.Now(); l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(n) * time.Second / time.Duration(l.rate))
	until := time.Until(l.free)
	l.mu.Unlock()
	<-time.After(until)
}

func (l *line) passed() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes
}

// narrowConn is a connection over two lines.
type narrowConn struct {
	net.Conn
	in, out *line
}

func (c *narrowConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), 4<<10)])
	c.in.pass(n)
	return n, err
}

func (c *narrowConn) Write(p []byte) (int, error) {
	c.out.pass(len(p))
	return c.Conn.Write(p)
}
