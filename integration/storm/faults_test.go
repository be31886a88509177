package storm

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// The recovery times that a storm measures.
const (
	restartInPlace  = "R1 restart in place to first commit"
	restartBeside   = "R1 the same while a broker is away"
	brokerKilled    = "R2 broker and a process killed to all partitions moving"
	coordinatorMove = "R2 coordinators moved to all partitions moving"
	memberGone      = "R3 member gone for good to its partitions moving"
	stableFree      = "R4 instance gone for good to last stable offset free"
)

// killOne kills one of the instances at any moment and starts it again with its ids.
func (s *storm) killOne() {
	s.T.Helper()
	name := s.pick()
	s.note("kill -9 %s", name)
	s.measured(restartInPlace, s.killAndRestart(name))
}

// killAndRestart does that, and returns how long the new process took until it committed something of what is its own.
func (s *storm) killAndRestart(name string) time.Duration {
	s.T.Helper()
	owned := s.owned(name)
	s.kill(name)
	before := s.now()
	s.running[name] = s.Start(name)
	return s.AwaitProgress(owned, before)
}

// kill ends a running process by kill -9.
func (s *storm) kill(name string) {
	s.T.Helper()
	require.True(s.T, s.running[name].Alive(), "%s has ended by itself", name)
	s.running[name].Kill()
	require.Equal(s.T, -1, s.running[name].Code, "%s died of the signal", name)
	s.counts.Kills++
}

// killBroker kills a broker and, at the same time, an instance; then others, while the broker is away.
func (s *storm) killBroker() {
	s.T.Helper()
	node := 1 + s.Rand.IntN(3)
	name, before := s.pick(), s.now()
	s.note("kill -9 broker %d and %s", node, name)
	began := time.Now()
	s.Cluster.Kill(s.T, node)
	s.kill(name)
	s.running[name] = s.Start(name)
	s.counts.BrokerKills++
	s.counts.KillsBeside++
	s.awaitAllMove(before)
	s.measured(brokerKilled, time.Since(began))
	for range 2 {
		name := s.pick()
		s.note("  kill -9 %s, with two brokers", name)
		s.measured(restartBeside, s.killAndRestart(name))
		s.counts.KillsBeside++
	}
	s.Cluster.Restart(s.T, node)
	s.note("  broker %d is back", node)
}

// makeZombie stops an instance in an open transaction until others have its partitions, and perhaps until the broker has
// aborted it, kills one of the others meanwhile, and lets it continue.
func (s *storm) makeZombie() {
	s.T.Helper()
	s.awaitRunning()
	name := s.pick()
	owned := s.owned(name)
	s.note("SIGSTOP %s in a transaction", name)
	s.FreezeInTransaction(s.running[name])
	frozen := s.now()
	other := s.pick(name)
	s.note("  kill -9 %s", other)
	s.killAndRestart(other)
	others := slices.DeleteFunc(s.instances(), func(n string) bool { return n == name })
	s.AwaitOwners(stormPatience, others...)
	s.AwaitProgress(owned, frozen)
	if s.Rand.IntN(2) == 0 {
		s.Await("the broker has aborted the zombie's transaction", stormPatience, func(ctx context.Context) (bool, error) {
			txn, err := s.Transaction(ctx, name)
			return err == nil && txn.State != "Ongoing", err
		})
		s.note("  its transaction is aborted by the broker")
	}
	s.running[name].Signal(syscall.SIGCONT)
	s.counts.Zombies++
	s.note("  SIGCONT %s", name)
	s.awaitRunning()
}

// restartAll stops each broker as an operator does, and starts it again.
func (s *storm) restartAll() {
	s.T.Helper()
	for node := 1; node <= 3; node++ {
		s.note("rolling restart: broker %d", node)
		s.Cluster.Stop(s.T, node)
		s.AwaitMore(500)
		s.Cluster.Restart(s.T, node)
	}
	s.counts.Rolling++
}

// moveCoordinators makes other brokers the coordinators of the group and of all transactions.
func (s *storm) moveCoordinators() {
	s.T.Helper()
	name := s.pick()
	group, txns := s.Coordinators(name)
	before := s.now()
	began := time.Now()
	var moved time.Time
	s.Await("both coordinators have moved", stormPatience, func(ctx context.Context) (bool, error) {
		g, x, err := s.FindCoordinators(ctx, name)
		if err != nil || g != group && x != txns {
			return err == nil, err
		}
		if time.Since(moved) > 5*time.Second { // again, for a broker that does not know of the last move yet may have said who leads
			if g == group {
				s.MoveLeaders(proc.OffsetsTopic)
			}
			if x == txns {
				s.MoveLeaders("__transaction_state")
			}
			moved = time.Now()
		}
		return false, fmt.Errorf("group %d -> %d, transactions %d -> %d", group, g, txns, x)
	})
	s.counts.Moves++
	s.note("the coordinators have moved from brokers %d and %d", group, txns)
	s.awaitAllMove(before)
	s.measured(coordinatorMove, time.Since(began))
}

// join starts an instance with new ids.
func (s *storm) join() {
	s.T.Helper()
	s.names++
	name := fmt.Sprintf("i%d", s.names)
	s.running[name] = s.Start(name)
	s.note("%s joins", name)
}

// joinAndLeave lets an instance join, work and leave.
func (s *storm) joinAndLeave() {
	s.T.Helper()
	s.join()
	s.awaitRunning()
	s.AwaitMore(2_000)
	s.counts.Joins++
	name := s.pick()
	s.note("SIGTERM %s", name)
	s.leave(name)
	s.counts.Leaves++
	s.awaitRunning()
}

// vanish kills an instance in an open transaction for good. The others get its partitions after the session timeout, and the
// brokers abort what it left open after the transaction timeout. Then a new one joins in its place.
func (s *storm) vanish() {
	s.T.Helper()
	s.awaitRunning()
	name := s.pick()
	owned := s.owned(name)
	s.note("kill -9 %s in a transaction, for good", name)
	s.FreezeInTransaction(s.running[name])
	frozen, ends := s.now(), s.outputEnds(s.Adm.ListEndOffsets)
	began := time.Now()
	s.kill(name)
	delete(s.running, name)
	s.AwaitProgress(owned, frozen)
	s.measured(memberGone, time.Since(began))
	s.Await("the last stable offsets are free of it", stormPatience, func(ctx context.Context) (bool, error) {
		txn, err := s.Transaction(ctx, name)
		if err != nil || txn.State == "Ongoing" {
			return false, err
		}
		stable, err := s.Listed(ctx, s.Adm.ListCommittedOffsets, s.To)
		for at, end := range ends {
			if stable[at].Offset < end.Offset {
				return false, err
			}
		}
		return err == nil, err
	})
	s.measured(stableFree, time.Since(began))
	s.counts.Vanished++
	s.join()
	s.awaitRunning()
}

// outputEnds returns what one of kadm's List…Offsets says of the output.
func (s *storm) outputEnds(list func(context.Context, ...string) (kadm.ListedOffsets, error)) (ends offsets.Set) {
	s.T.Helper()
	s.Await("the ends of the output are known", stormPatience, func(ctx context.Context) (_ bool, err error) {
		ends, err = s.Listed(ctx, list, s.To)
		return err == nil, err
	})
	return ends
}
