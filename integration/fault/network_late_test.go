package fault

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// late is a request of one transaction that arrives in the next one: it was held up in the network, and the client, whose connections
// were lost meanwhile, has sent it again; or the network has delivered it twice.
type late struct {
	name   string
	api    kmsg.Key
	action wiretap.Action // HoldRequest or HoldDouble
	during kmsg.Key       // it arrives when the broker has applied this request of the next transaction
}

var lateRequests = []late{
	{"held Produce", kmsg.Produce, wiretap.HoldRequest, kmsg.Produce},
	{"held EndTxn", kmsg.EndTxn, wiretap.HoldRequest, kmsg.Produce},
	{"doubled Produce", kmsg.Produce, wiretap.HoldDouble, kmsg.Produce},
	{"doubled EndTxn", kmsg.EndTxn, wiretap.HoldDouble, kmsg.Produce},
	{"doubled TxnOffsetCommit", kmsg.TxnOffsetCommit, wiretap.HoldDouble, kmsg.TxnOffsetCommit},
}

// dialled are a session's connections.
type dialled struct {
	mu    sync.Mutex
	conns []net.Conn
}

// over is a dialer that remembers its connections.
func (d *dialled) over(dial wiretap.DialFunc) wiretap.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err == nil {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.conns = append(d.conns, c)
		}
		return c, err
	}
}

// lose ends all connections for the client; what it has written on them is still on its way.
func (d *dialled) lose() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		_ = c.Close() // the client may have closed it
	}
	d.conns = nil
}

// loseAt ends all connections when the fault holds a request.
func (d *dialled) loseAt(fault *wiretap.Fault) {
	<-fault.Reached()
	d.lose()
}

// tappedForLate is the config of a session whose connections run through the tap and are remembered; arrived is closed when the broker has
// answered a late request of that kind.
func tappedForLate(b *bench.Bench, api kmsg.Key) (cfg eos.Config, tap *wiretap.Tap, conns *dialled, arrived chan struct{}) {
	arrived = make(chan struct{})
	once := sync.OnceFunc(func() { close(arrived) })
	tap = bench.Tap(b.T, wiretap.Observe(func(e wiretap.Event) {
		if e.API == api && e.Phase == wiretap.PhaseReply && e.Dropped {
			once()
		}
	}))
	conns = &dialled{}
	cfg = b.Config("a")
	cfg.Client = []kgo.Opt{kgo.Dialer(conns.over(tap.Dial)), bench.FastRetries}
	return cfg, tap, conns, arrived
}

// runLate commits a transaction whose request l comes late, into the next one. That is aborted then, since its caller gives up, or
// committed. Then the session is closed, and another one goes on.
func runLate(b *bench.Bench, l late, aborts bool) checker.Report {
	b.T.Helper()
	cfg, tap, conns, arrived := tappedForLate(b, l.api)
	b.Write(30)
	s := b.Open(cfg)
	b.Copy(s, 30)

	fault := tap.Add(wiretap.Rule{API: l.api, Action: l.action})
	if l.action == wiretap.HoldRequest {
		go conns.loseAt(fault)
	}
	b.Write(30)
	b.Copy(s, 30)

	ctx, cancel := context.WithCancel(b.T.Context())
	defer cancel()
	b.Write(30)
	next := tap.Add(wiretap.Rule{API: l.during, Action: wiretap.CallOnReply, Call: func(wiretap.Event) {
		fault.Release()
		b.Await(arrived, l.name+" arrives late")
		if aborts {
			cancel()
		}
	}})
	batch := b.Poll(s)
	err := s.Commit(ctx, batch, b.Copies(batch))
	b.Await(arrived, l.name+" arrives late")
	require.Equal(b.T, 1, next.Hits())
	if l.action == wiretap.HoldRequest {
		require.Equal(b.T, 1, fault.Hits())
	}
	b.T.Logf("%s, the next transaction is aborted: %t; Commit: %v; answers to copies: %v", l.name, aborts, err, answersOf(fault))
	require.NoError(b.T, s.Close(b.T.Context()))
	b.Write(30)
	w := b.Work(b.Open(cfg)) // it has to find its place by the group's offsets
	b.CaughtUp()
	w.Stop(b.T)
	return b.Verdict()
}

// answersOf are the answers to a fault's copies, where they say something.
func answersOf(f *wiretap.Fault) (codes []int16) {
	for _, answer := range f.Answers() {
		switch answer := answer.(type) {
		case *kmsg.EndTxnResponse:
			codes = append(codes, answer.ErrorCode)
		case *kmsg.TxnOffsetCommitResponse:
			codes = append(codes, answer.Topics[0].Partitions[0].ErrorCode)
		case *kmsg.ProduceResponse:
			codes = append(codes, answer.Topics[0].Partitions[0].ErrorCode)
		}
	}
	return codes
}

// The commit of where the group starts is no transaction's, and no epoch fences it. Held up in the network, it arrives when its session
// has committed more: the group stays where it is, since the session has become another member when it got no answer.
func TestNetworkLateStart(t *testing.T) {
	t.Parallel()
	bench.Protocols(t, func(b *bench.Bench) { lateStart(b) })
}

func lateStart(b *bench.Bench) {
	t := b.T
	t.Helper()
	cfg, tap, conns, arrived := tappedForLate(b, kmsg.OffsetCommit)
	fault := tap.Add(wiretap.Rule{API: kmsg.OffsetCommit, Action: wiretap.HoldRequest})
	go conns.loseAt(fault)
	b.Write(30)
	s := b.Open(cfg)
	b.Copy(s, 30)
	fault.Release()
	b.Await(arrived, "the commit of the start arrives late")
	require.Equal(t, 1, fault.Hits())
	require.Equal(t, b.Inputs(10, 10, 10), b.Committed(), "a late commit of the start has taken the group back")
	require.NoError(t, s.Close(t.Context()))
	b.Write(30)
	w := b.Work(b.Open(cfg))
	b.CaughtUp()
	w.Stop(t)
	b.RequireOnce()
}

// A request of an older transaction that arrives in the next one, held up or delivered twice, changes nothing at transaction.version 2:
// nothing is lost and nothing is doubled, whether the next one is committed or aborted.
func TestNetworkLateRequests(t *testing.T) {
	t.Parallel()
	for _, l := range lateRequests {
		for _, aborts := range []bool{false, true} {
			name := " then commit"
			if aborts {
				name = " then abort"
			}
			if aborts && l.during == kmsg.TxnOffsetCommit {
				continue // a session that has sent its offsets goes on with the commit
			}
			t.Run(l.name+name, func(t *testing.T) {
				t.Parallel()
				b := bench.New(t)
				runLate(b, l, aborts)
				b.RequireOnce()
			})
		}
	}
}

// At transaction.version 1, the control: the copy of an older EndTxn commits what the next transaction has produced, though its caller
// aborts that, and the copy of an older TxnOffsetCommit takes the group back, though its session goes on. Records come twice, since all
// transactions of a client have the same epoch there (KAFKA-17754), and no client can prevent it.
func TestNetworkLateRequestsVersion1(t *testing.T) {
	t.Parallel()
	kafka := kafkatest.Start(t)
	bench.SetFeatureLevel(t, kafka, 1)
	for _, c := range []struct {
		late
		aborts bool
	}{{lateRequests[3], true}, {lateRequests[4], false}} {
		t.Run(c.name, func(t *testing.T) {
			report := runLate(bench.NewOn(t, kafka), c.late, c.aborts)
			t.Logf("at transaction.version 1: %v", report)
			require.Positive(t, report.Doubled, "the broker has taken an older request for one of this transaction")
			require.Zero(t, report.Lost)
		})
	}
}
