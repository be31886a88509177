package fault

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// Faults of three brokers: what leads and coordinates moves, and brokers die, stop, or are restarted. One cluster serves
// all of them, one after the other; every pipe ends with every record over once, but those whose input is truncated: they say so.
func TestFaultThreeBrokers(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Brokers(3))
	t.Run("leaders moved", func(t *testing.T) { testLeadersMoved(t, cluster) })
	t.Run("roles killed", func(t *testing.T) { testRolesKilled(t, cluster) })
	t.Run("rolling restart", func(t *testing.T) { testRollingRestart(t, cluster) })
	t.Run("minority", func(t *testing.T) { testMinority(t, cluster) })
	t.Run("broker paused", func(t *testing.T) { testBrokerPaused(t, cluster) })
	t.Run("aborted not listed", func(t *testing.T) { testAbortedNotListed(t, cluster) })
	t.Run("unclean election", func(t *testing.T) { testUncleanElection(t, cluster) })
}

// threeFlags have everything that waits for a time-out wait for seconds.
var threeFlags = []string{"--session-timeout", "6s", "--transaction-timeout", "10s", "--max-records", "500"}

// workingPipe is a pipe whose input is being fed, with two instances at work.
func workingPipe(t *testing.T, cluster *kafkatest.Cluster, perSecond int, flags ...string) (p *proc.Pipe, a, b *proc.Process, stop func() int64) {
	t.Helper()
	p = proc.New(t, cluster, proc.SixToSix, flags...)
	stop = p.Feed(perSecond)
	a, b = p.Start("a"), p.Start("b")
	p.AwaitOwners(30*time.Second, "a", "b")
	p.AwaitMore(int64(perSecond))
	return p, a, b, stop
}

// finish ends a working pipe and requires that everything came over once.
func finish(p *proc.Pipe, stop func() int64, running ...*proc.Process) {
	p.T.Helper()
	total := stop()
	p.AwaitAll()
	for _, pr := range running {
		pr.Drain(syscall.SIGTERM)
	}
	p.AwaitNothingOpen(30 * time.Second)
	p.RequireExactlyOnce(total, total)
}

// The leaders of the input, of the output, of the group's offsets and of the transactions' states move to other brokers,
// and with the last two the coordinators, while two instances work; all brokers live. Commits go on after each.
func testLeadersMoved(t *testing.T, cluster *kafkatest.Cluster) {
	p, a, b, stop := workingPipe(t, cluster, 1_000, threeFlags...)
	group, txn := p.Coordinators("a")
	for _, topic := range []string{"__transaction_state", "__consumer_offsets", p.From[0], p.To[0]} {
		p.MoveLeaders(topic)
		p.AwaitMore(500)
	}
	movedGroup, movedTxn := p.Coordinators("a")
	require.NotEqual(t, group, movedGroup, "the group's coordinator has not moved")
	require.NotEqual(t, txn, movedTxn, "the coordinator of the transactions has not moved")
	for _, topic := range []string{"__transaction_state", "__consumer_offsets"} { // and on, while a transaction waits for the first
		p.MoveLeaders(topic)
	}
	p.AwaitMore(500)
	finish(p, stop, a, b)
}

// The broker that coordinates the group, then the one that coordinates the transactions, then the controller is killed
// (kill -9), each time together with one of the two instances; every broker also leads partitions of the input and of the
// output. The instance is started again at once and both go on with the two brokers that are left, before the third comes
// back.
func testRolesKilled(t *testing.T, cluster *kafkatest.Cluster) {
	p, a, b, stop := workingPipe(t, cluster, 1_000, threeFlags...)
	running := map[string]*proc.Process{"a": a, "b": b}
	for _, role := range []struct {
		name   string
		broker func() int32
	}{
		{"the group's coordinator", func() int32 { group, _ := p.Coordinators("a"); return group }},
		{"the transactions' coordinator", func() int32 { _, txn := p.Coordinators("a"); return txn }},
		{"the controller", func() int32 { return controller(p) }},
	} {
		node := int(role.broker())
		name := []string{"a", "b"}[p.Rand.IntN(2)]
		cluster.Kill(t, node)
		running[name].Kill()
		began := time.Now()
		running[name] = p.Start(name)
		p.AwaitMore(500)
		p.AwaitOwners(time.Minute, "a", "b")
		t.Logf("broker %d, %s, and instance %s were killed: both work again after %v", node, role.name, name, time.Since(began).Round(time.Millisecond))
		cluster.Restart(t, node)
		p.AwaitMore(500)
	}
	finish(p, stop, running["a"], running["b"])
}

// controller returns which node is the active controller. What metadata says of it is any broker, so the quorum is asked.
func controller(p *proc.Pipe) (leader int32) {
	p.T.Helper()
	ask := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic, topic.Partitions = "__cluster_metadata", []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}}
	ask.Topics = append(ask.Topics, topic)
	cl := p.Cluster.Client(p.T)
	p.Await("there is a controller", 30*time.Second, func(ctx context.Context) (bool, error) {
		resp, err := ask.RequestWith(ctx, cl)
		if err != nil {
			return false, err
		}
		leader = resp.Topics[0].Partitions[0].LeaderID
		return leader > 0, nil
	})
	return leader
}

// All three brokers are restarted one after the other as for an upgrade: each is stopped as an operator does, comes back,
// and is in sync before the next. Commits go on while one is away.
func testRollingRestart(t *testing.T, cluster *kafkatest.Cluster) {
	p, a, b, stop := workingPipe(t, cluster, 1_000, threeFlags...)
	for node := 1; node <= 3; node++ {
		cluster.Stop(t, node)
		p.AwaitMore(500)
		cluster.Restart(t, node)
		p.AwaitMore(500)
	}
	finish(p, stop, a, b)
}

// stallWatch is for how long a pipe that cannot work is watched, and stallCPU how much of that time it may compute.
const (
	stallWatch = 10 * time.Second
	stallCPU   = stallWatch / 5
)

// Two of the three brokers are killed: with min.insync.replicas=2 nothing can be written, and there is no controller. The
// pipe waits, and does not compute while it waits; when the brokers are back it goes on with the same process.
func testMinority(t *testing.T, cluster *kafkatest.Cluster) {
	const total = 60_000
	p := proc.New(t, cluster, proc.SixToSix, threeFlags...)
	probe := kafkatest.Name(t, "probe")
	cluster.CreateTopic(t, probe, 1)
	p.Fill(total)
	a := p.Start("a")
	p.AwaitMore(2_000)
	for _, node := range []int{1, 2} {
		cluster.Kill(t, node)
	}
	requireNotWritable(p, probe)
	before := cpuTime(t, a)
	select {
	case <-time.After(stallWatch):
	case <-a.Exited:
		require.FailNow(t, "the process has ended", "exit code %d: %q", a.Code, a.Said())
	}
	spent := cpuTime(t, a) - before
	t.Logf("in %v without a majority of brokers the process computed for %v", stallWatch, spent)
	require.Less(t, spent, stallCPU, "a busy loop")

	cluster.Restart(t, 1)
	cluster.Restart(t, 2)
	now, err := p.Committed(t.Context())
	require.NoError(t, err)
	t.Logf("%d of %d records were committed when the brokers were back", proc.Sum(now), total)
	p.AwaitCommitted(total)
	a.Drain(syscall.SIGTERM)
	p.AwaitNothingOpen(30 * time.Second)
	p.RequireExactlyOnce(total, total)
	text, stalled := a.Stderr(), false
	for line := range strings.Lines(text) {
		stalled = stalled || strings.Contains(line, `"level":"WARN"`) || strings.Contains(line, `"level":"ERROR"`)
	}
	require.True(t, stalled, "the log does not say that the brokers were away")
}

// requireNotWritable requires that the topic does not take a record within seconds: the brokers that are left are too few. The producer
// is not idempotent, as an idempotent one may not give up a record that it has sent, whatever its context says.
func requireNotWritable(p *proc.Pipe, topic string) {
	p.T.Helper()
	ctx, cancel := context.WithTimeout(p.T.Context(), 3*time.Second)
	defer cancel()
	err := p.Cluster.Client(p.T, kgo.DisableIdempotentWrite()).ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr()
	require.Error(p.T, err, "two brokers are dead, and a record is taken all the same")
}

// cpuTime returns how long a process has computed so far.
func cpuTime(t *testing.T, pr *proc.Process) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pr.Cmd.Process.Pid))
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(text), ") ") // the name of the program may hold blanks
	require.True(t, ok, "%s", text)
	fields := strings.Fields(after) // from the third on
	user, err := strconv.Atoi(fields[11])
	require.NoError(t, err)
	system, err := strconv.Atoi(fields[12])
	require.NoError(t, err)
	const tick = time.Second / 100 // USER_HZ, the same on every Linux
	return time.Duration(user+system) * tick
}

// The broker that coordinates the transactions is stopped (SIGSTOP) with all connections open: the others take over what it
// led, and the pipe goes on with them. Then it continues (SIGCONT) and takes itself for what it was, until it finds out.
func testBrokerPaused(t *testing.T, cluster *kafkatest.Cluster) {
	p, a, b, stop := workingPipe(t, cluster, 1_000, threeFlags...)
	_, txn := p.Coordinators("a")
	began := time.Now()
	cluster.Pause(t, int(txn))
	p.Await("another broker coordinates", time.Minute, func(ctx context.Context) (bool, error) {
		id := p.Group + "-a-0"
		c := living(p, int(txn)).FindTxnCoordinators(ctx, id)[id]
		return c.Err == nil && c.NodeID != txn, c.Err
	})
	p.Adm = living(p, int(txn))
	p.AwaitMore(1_000)
	t.Logf("a coordinator was stopped: the pipe had done a second's work after %v", time.Since(began).Round(time.Millisecond))
	cluster.Resume(t, int(txn))
	p.Adm = p.Cluster.Admin(t)
	p.AwaitOwners(time.Minute, "a", "b")
	p.AwaitMore(1_000)
	finish(p, stop, a, b)
}

// living returns an admin client that asks the other brokers first.
func living(p *proc.Pipe, paused int) *kadm.Client {
	p.T.Helper()
	seeds := slices.Delete(p.Cluster.Bootstrap(), paused-1, paused)
	return kadm.NewClient(p.Cluster.Client(p.T, kgo.SeedBrokers(seeds...)))
}
