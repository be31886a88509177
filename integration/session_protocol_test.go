package integration

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
)

// A group is moved to the consumer protocol, and back, while it works: its members are restarted one after the other with the other
// protocol, some of them after a kill -9. A killed member's successor goes on at once, whatever protocol either has.
func TestSessionChangesProtocol(t *testing.T) {
	b := newSessionBench(t)
	b.needConsumerProtocol()
	steady := b.config("steady")
	steady.MaxRecords = 100
	stays := b.work(b.open(steady))
	for round, proto := range []eos.GroupProtocol{eos.ClassicProtocol, eos.ConsumerProtocol, eos.ClassicProtocol, eos.ConsumerProtocol} {
		cfg, tap := b.tapped("moves")
		cfg.MaxRecords, cfg.GroupProtocol, cfg.SessionTimeout = 100, proto, 45*time.Second
		began := time.Now()
		s := b.open(cfg)
		moves := b.work(s)
		b.write(3000)
		b.works(moves)
		t.Logf("round %d, %v: works after %v, the group is one of the %s protocol", round, proto, time.Since(began).Round(time.Millisecond), b.groupType())
		if round == 1 { // the last one of the classic protocol
			require.Equal(t, "consumer", b.groupType())
			stays.stop(t)
			require.NoError(t, stays.session.Close(t.Context()))
			steady.GroupProtocol = eos.ConsumerProtocol
			stays = b.work(b.open(steady))
			b.write(300)
		}
		b.caughtUp()
		if round%2 == 0 {
			moves.stop(t)
			require.NoError(t, s.Close(t.Context()))
			continue
		}
		tap.Cut() // kill -9
		moves.cancel()
		moves.kill()
	}
	stays.stop(t)
	b.requireOnce()
}

// groupType returns what the brokers call the type of the group.
func (b *sessionBench) groupType() string {
	b.t.Helper()
	groups, err := b.adm.ListGroupsByType(b.t.Context(), []string{eos.ConsumerProtocol.String()})
	require.NoError(b.t, err)
	if _, ok := groups[b.group]; ok {
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
	b := newSessionBench(t)
	b.needConsumerProtocol()
	b.proto = eos.ConsumerProtocol
	b.write(300)
	stands := &stall{what: "in commitTransactionOffsets", reached: make(chan struct{}), release: make(chan struct{})}
	cfg, tap := b.tapped("a")
	cfg.Client = append(cfg.Client, kgo.WithLogger(stands))
	first := b.open(cfg)
	batch, err := first.Poll(t.Context())
	for err == nil && len(batch.Offsets()) < sessionPartitions { // it gives back what it had
		batch, err = first.Poll(t.Context())
	}
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- first.Commit(t.Context(), batch, b.copies(batch)) }()
	<-stands.reached
	second := b.work(b.open(b.config("b")))
	b.works(second)
	close(stands.release)
	err = <-ended
	require.Equal(t, eos.PollAgain, sessionNext(err), "%v", err)
	t.Logf("offsets were sent %d times: %v", tap.Count(kmsg.TxnOffsetCommit), err)
	both := b.work(first)
	b.requireOnce()
	both.stop(t)
	second.stop(t)
}
