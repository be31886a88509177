package fault

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
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
	p := proc.New(t, cluster, proc.SixToSix, "--session-timeout", "10s", "--transaction-timeout", "10s", "--max-records", "500")
	stop := p.Feed(5_000)
	a, b := p.Start("a"), p.Start("b")
	p.AwaitOwners(30*time.Second, "a", "b")
	p.AwaitMore(5_000)
	cluster.Kill(t, 1)
	cluster.Restart(t, 1)
	p.AwaitOwners(time.Minute, "a", "b")
	p.AwaitMore(5_000)
	total := stop()
	p.AwaitAll()
	a.Drain(syscall.SIGTERM)
	b.Drain(syscall.SIGTERM)
	p.AwaitNothingOpen(30 * time.Second)
	p.RequireExactlyOnce(total, total)
}

func TestThreeBrokers(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Brokers(3))
	t.Run("killed in turn", func(t *testing.T) { testKilledInTurn(t, cluster) })
	t.Run("without the coordinator", func(t *testing.T) { testWithoutCoordinator(t, cluster) })
}

// Of three brokers each is killed and started again in turn, and with it the coordinators of the group and of the
// transactions. Commits go on while one is away, and every record comes over once.
func testKilledInTurn(t *testing.T, cluster *kafkatest.Cluster) {
	p := proc.New(t, cluster, proc.SixToSix, "--session-timeout", "6s", "--transaction-timeout", "10s", "--max-records", "500")
	stop := p.Feed(2_000)
	a, b := p.Start("a"), p.Start("b")
	p.AwaitOwners(30*time.Second, "a", "b")
	for node := 1; node <= 3; node++ {
		p.AwaitMore(2_000)
		cluster.Kill(t, node)
		p.AwaitMore(2_000) // with two brokers
		cluster.Restart(t, node)
	}
	p.AwaitOwners(time.Minute, "a", "b")
	p.AwaitMore(2_000)
	total := stop()
	p.AwaitAll()
	a.Drain(syscall.SIGTERM)
	b.Drain(syscall.SIGTERM)
	p.AwaitNothingOpen(30 * time.Second)
	p.RequireExactlyOnce(total, total)
}

// The broker that coordinates the group dies and does not come back: the pipe goes on with the two others, finds out that
// it has come to the end, and ends.
func testWithoutCoordinator(t *testing.T, cluster *kafkatest.Cluster) {
	p := proc.New(t, cluster, proc.SixToSix, "--session-timeout", "6s", "--transaction-timeout", "10s", "--max-records", "200", "--until-end")
	p.Fill(60_000)
	a := p.Start("a")
	p.AwaitMore(2_000)
	coordinator := p.Adm.FindGroupCoordinators(t.Context(), p.Group)[p.Group]
	require.NoError(t, coordinator.Err)
	cluster.Kill(t, int(coordinator.NodeID))
	p.AwaitCommitted(60_000)
	require.Zero(t, a.Wait(30*time.Second))
	p.RequireExactlyOnce(60_000, 60_000)
}

// SIGTERM comes while the broker is down, in the middle of the work: the process does not wait for the broker for ever,
// and when the broker is back the next start ends what was left open and finishes.
func testSigtermWithoutBroker(t *testing.T, cluster *kafkatest.Cluster) {
	p := proc.New(t, cluster, proc.SixToSix, "--session-timeout", "10s", "--max-records", "500")
	p.Fill(100_000)
	a := p.Start("a")
	p.AwaitMore(5_000)
	cluster.Kill(t, 1)
	a.Doomed = true
	began := time.Now()
	a.Signal(syscall.SIGTERM)
	code := a.Wait(25 * time.Second)
	t.Logf("exit code %d after %v: %q", code, time.Since(began), a.Said())
	require.Contains(t, []int{0, 1}, code)
	if code != 0 {
		a.RequireSaid(1, "")
	}
	cluster.Restart(t, 1)
	b := p.Start("a", "--until-end")
	require.Zero(t, b.Wait(3*time.Minute))
	require.Positive(t, b.Result().In, "the broker went in the middle of the work")
	p.RequireExactlyOnce(100_000, 100_000)
}
