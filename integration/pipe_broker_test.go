package integration

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

func TestOneBroker(t *testing.T) {
	cluster := kafkatest.Start(t)
	t.Run("killed", func(t *testing.T) { testBrokerKilled(t, cluster) })
	t.Run("SIGTERM without it", func(t *testing.T) { testSigtermWithoutBroker(t, cluster) })
}

// The only broker is killed (kill -9) and started again while records are fed and two instances run. Both go on by
// themselves, and every record comes over once.
func testBrokerKilled(t *testing.T, cluster *kafkatest.Cluster) {
	p := newPipe(t, cluster, sixToSix, "--session-timeout", "10s", "--transaction-timeout", "10s", "--max-records", "500")
	stop := p.feed(5_000)
	a, b := p.start("a"), p.start("b")
	p.awaitOwners(30*time.Second, "a", "b")
	p.awaitMore(5_000)
	cluster.Kill(t, 1)
	cluster.Restart(t, 1)
	p.awaitOwners(time.Minute, "a", "b")
	p.awaitMore(5_000)
	total := stop()
	p.awaitAll()
	a.drain(syscall.SIGTERM)
	b.drain(syscall.SIGTERM)
	p.awaitNothingOpen(30 * time.Second)
	p.requireExactlyOnce(total, total)
}

func TestThreeBrokers(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Brokers(3))
	t.Run("killed in turn", func(t *testing.T) { testKilledInTurn(t, cluster) })
	t.Run("without the coordinator", func(t *testing.T) { testWithoutCoordinator(t, cluster) })
}

// Of three brokers each is killed and started again in turn, and with it the coordinators of the group and of the
// transactions. Commits go on while one is away, and every record comes over once.
func testKilledInTurn(t *testing.T, cluster *kafkatest.Cluster) {
	p := newPipe(t, cluster, sixToSix, "--session-timeout", "6s", "--transaction-timeout", "10s", "--max-records", "500")
	stop := p.feed(2_000)
	a, b := p.start("a"), p.start("b")
	p.awaitOwners(30*time.Second, "a", "b")
	for node := 1; node <= 3; node++ {
		p.awaitMore(2_000)
		cluster.Kill(t, node)
		p.awaitMore(2_000) // with two brokers
		cluster.Restart(t, node)
	}
	p.awaitOwners(time.Minute, "a", "b")
	p.awaitMore(2_000)
	total := stop()
	p.awaitAll()
	a.drain(syscall.SIGTERM)
	b.drain(syscall.SIGTERM)
	p.awaitNothingOpen(30 * time.Second)
	p.requireExactlyOnce(total, total)
}

// The broker that coordinates the group dies and does not come back: the pipe goes on with the two others, finds out that
// it has come to the end, and ends.
func testWithoutCoordinator(t *testing.T, cluster *kafkatest.Cluster) {
	p := newPipe(t, cluster, sixToSix, "--session-timeout", "6s", "--transaction-timeout", "10s", "--max-records", "200", "--until-end")
	p.fill(60_000)
	a := p.start("a")
	p.awaitMore(2_000)
	coordinator := p.adm.FindGroupCoordinators(t.Context(), p.group)[p.group]
	require.NoError(t, coordinator.Err)
	cluster.Kill(t, int(coordinator.NodeID))
	p.awaitCommitted(60_000)
	require.Zero(t, a.wait(30*time.Second))
	p.requireExactlyOnce(60_000, 60_000)
}

// SIGTERM comes while the broker is down, in the middle of the work: the process does not wait for the broker for ever,
// and when the broker is back the next start ends what was left open and finishes.
func testSigtermWithoutBroker(t *testing.T, cluster *kafkatest.Cluster) {
	p := newPipe(t, cluster, sixToSix, "--session-timeout", "10s", "--max-records", "500")
	p.fill(100_000)
	a := p.start("a")
	p.awaitMore(5_000)
	cluster.Kill(t, 1)
	a.doomed = true
	began := time.Now()
	a.signal(syscall.SIGTERM)
	code := a.wait(25 * time.Second)
	t.Logf("exit code %d after %v: %q", code, time.Since(began), a.said())
	require.Contains(t, []int{0, 1}, code)
	if code != 0 {
		a.requireSaid(1, "")
	}
	cluster.Restart(t, 1)
	b := p.start("a", "--until-end")
	require.Zero(t, b.wait(3*time.Minute))
	require.Positive(t, b.result().In, "the broker went in the middle of the work")
	p.requireExactlyOnce(100_000, 100_000)
}
