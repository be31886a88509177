package fault

import (
	"context"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// partitioned is a network in which one address cannot be reached: who dials it waits, and what is sent there is lost.
type partitioned struct {
	tap *wiretap.Tap

	mu    sync.Mutex
	away  string // the address that cannot be reached; empty if all can
	dials int    // how often it was tried
	fault *wiretap.Fault
}

func newPartitioned(t *testing.T) *partitioned {
	n := &partitioned{}
	n.tap = bench.Tap(t, wiretap.Over(n.dial))
	return n
}

func (n *partitioned) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	isAway := n.away == address
	if isAway {
		n.dials++
	}
	n.mu.Unlock()
	if isAway {
		lost, cancel := context.WithTimeout(ctx, time.Second) // the dialer's own: kgo.DialTimeout is not for dialers that are given
		defer cancel()
		<-lost.Done()
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.ErrDeadlineExceeded}
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// cutOff makes an address unreachable.
func (n *partitioned) cutOff(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.away, n.dials = address, 0
	n.fault = n.tap.Add(wiretap.Rule{API: wiretap.AnyAPI, Broker: address, Action: wiretap.HangRequest, Count: wiretap.Always})
}

// felt reports whether the client has noticed: what it sent was lost, and it could not connect again.
func (n *partitioned) felt() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fault.Hits() > 0 && n.dials > 0
}

// heal makes all addresses reachable. Connections that hung stay so.
func (n *partitioned) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.away = ""
	n.fault.Remove()
}

// One of three brokers cannot be reached by the client, though the brokers reach each other, so that nothing of it moves to another one;
// and so each of them in turn. The session goes on when it is reached again, and nothing is lost or doubled.
func TestNetworkOneBrokerUnreachable(t *testing.T) {
	t.Parallel()
	kafka := kafkatest.Start(t, kafkatest.Brokers(3))
	b := bench.NewOn(t, kafka)
	network := newPartitioned(t)
	cfg := b.Config("a")
	cfg.SessionTimeout = 30 * time.Second
	cfg.Client = []kgo.Opt{
		kgo.Dialer(network.tap.Dial), bench.FastRetries,
		kgo.RequestTimeoutOverhead(2 * time.Second), kgo.ProduceRequestTimeout(2 * time.Second),
	}
	w := b.Work(b.Open(cfg))
	b.Write(60)
	b.CaughtUp()
	for _, address := range kafka.Bootstrap() {
		network.cutOff(address)
		b.Eventually("the client misses "+address, func() bool { b.Write(3); return network.felt() })
		network.heal()
		before, began := w.Commits.Load(), time.Now()
		b.Write(60)
		b.Eventually("it commits again", func() bool { return w.Commits.Load() > before })
		b.CaughtUp()
		t.Logf("%s was away; all was committed %v after it was back", address, time.Since(began).Round(time.Millisecond))
	}
	failures := w.Stop(t)
	b.RequireOnce()
	require.NotZero(t, w.Commits.Load())
	t.Logf("%d commits, of which failed %v", w.Commits.Load(), failures)
}
