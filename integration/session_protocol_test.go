package integration

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
