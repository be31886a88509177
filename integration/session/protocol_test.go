package session

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
)

// A group is moved to the consumer protocol, and back, while it works: its members are restarted one after the other with the other
// protocol, some of them after a kill -9. A killed member's successor goes on at once, whatever protocol either has.
func TestSessionChangesProtocol(t *testing.T) {
	b := bench.New(t)
	b.NeedConsumerProtocol()
	steady := b.Config("steady")
	steady.MaxRecords = 100
	stays := b.Work(b.Open(steady))
	for round, proto := range []eos.GroupProtocol{eos.ClassicProtocol, eos.ConsumerProtocol, eos.ClassicProtocol, eos.ConsumerProtocol} {
		cfg, tap := b.Tapped("moves")
		cfg.MaxRecords, cfg.GroupProtocol, cfg.SessionTimeout = 100, proto, 45*time.Second
		began := time.Now()
		s := b.Open(cfg)
		moves := b.Work(s)
		b.Write(3000)
		b.Works(moves)
		t.Logf("round %d, %v: works after %v, the group is one of the %s protocol", round, proto, time.Since(began).Round(time.Millisecond), groupType(b))
		if round == 1 { // the last one of the classic protocol
			require.Equal(t, "consumer", groupType(b))
			stays.Stop(t)
			require.NoError(t, stays.Session.Close(t.Context()))
			steady.GroupProtocol = eos.ConsumerProtocol
			stays = b.Work(b.Open(steady))
			b.Write(300)
		}
		b.CaughtUp()
		if round%2 == 0 {
			moves.Stop(t)
			require.NoError(t, s.Close(t.Context()))
			continue
		}
		tap.Cut() // kill -9
		moves.Cancel()
		moves.Kill()
	}
	stays.Stop(t)
	b.RequireOnce()
}

// groupType returns what the brokers call the type of the group.
func groupType(b *bench.Bench) string {
	b.T.Helper()
	groups, err := b.Adm.ListGroupsByType(b.T.Context(), []string{eos.ConsumerProtocol.String()})
	require.NoError(b.T, err)
	if _, ok := groups[b.Group]; ok {
		return eos.ConsumerProtocol.String()
	}
	return eos.ClassicProtocol.String()
}

// stall is a logger of franz-go that stands still at the first line that says what, until it is released.
type stall struct {
	what             string
	reached, release chan struct{}
	once             sync.Once
}

func (*stall) Level() kgo.LogLevel { return kgo.LogLevelDebug }

func (s *stall) Log(_ kgo.LogLevel, line string, _ ...any) {
	if line == s.what {
		s.once.Do(func() {
			close(s.reached)
			<-s.release
		})
	}
}

// A member of the consumer protocol stands still in its commit, after its client has read which offsets it will commit and before it reads the member's epoch.
// Meanwhile a partition goes to another member, which processes the same records and commits them. The first goes on with the newer epoch, with which the broker
// takes its offsets; and it aborts.
func TestSessionCommitStandsStillOverARevoke(t *testing.T) {
	b := bench.New(t)
	b.NeedConsumerProtocol()
	b.Proto = eos.ConsumerProtocol
	b.Write(300)
	stands := &stall{what: "in commitTransactionOffsets", reached: make(chan struct{}), release: make(chan struct{})}
	cfg, tap := b.Tapped("a")
	cfg.Client = append(cfg.Client, kgo.WithLogger(stands))
	first := b.Open(cfg)
	batch, err := first.Poll(t.Context())
	for err == nil && len(batch.Offsets()) < bench.Partitions { // it gives back what it had
		batch, err = first.Poll(t.Context())
	}
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- first.Commit(t.Context(), batch, b.Copies(batch)) }()
	<-stands.reached
	second := b.Work(b.Open(b.Config("b")))
	b.Works(second)
	close(stands.release)
	err = <-ended
	require.Equal(t, eos.PollAgain, bench.Next(err), "%v", err)
	t.Logf("offsets were sent %d times: %v", tap.Count(kmsg.TxnOffsetCommit), err)
	both := b.Work(first)
	b.RequireOnce()
	both.Stop(t)
	second.Stop(t)
}
