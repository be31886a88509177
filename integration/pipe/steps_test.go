package pipe

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos/eostest"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// step is one of the three points of a request: before it is forwarded, after the broker has applied it and before the answer, and after
// the answer.
type step struct {
	api     kmsg.Key
	at      wiretap.Action // that runs a function at this point
	isStart bool           // the request is made only when a process starts
}

var stepActions = []wiretap.Action{wiretap.DropRequest, wiretap.DropReply, wiretap.CallAfterReply}

// pipeSteps are the steps of a pipe's life. At transaction.version 1 the client itself adds partitions and the group to a transaction.
func pipeSteps(version int16) (steps []step) {
	working := []kmsg.Key{kmsg.Fetch, kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.EndTxn}
	if version < 2 {
		working = append(working, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn)
	}
	for _, at := range stepActions {
		for _, api := range []kmsg.Key{kmsg.InitProducerID, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.OffsetFetch} {
			steps = append(steps, step{api, at, true})
		}
		for _, api := range working {
			steps = append(steps, step{api, at, false})
		}
	}
	return steps
}

func (s step) String() string {
	when := map[wiretap.Action]string{wiretap.DropRequest: "before", wiretap.DropReply: "applied at", wiretap.CallAfterReply: "after"}
	return when[s.at] + " " + s.api.Name()
}

// killAt adds a rule that kills (kill -9) the process given to the channel at a step. A request whose process was killed before it is
// not sent at all.
func killAt(tap *wiretap.Tap, s step) (*wiretap.Fault, chan<- *proc.Process) {
	victim := make(chan *proc.Process, 1)
	return tap.Add(wiretap.Rule{API: s.api, Action: s.at, Call: func(wiretap.Event) {
		pr := <-victim
		_ = pr.Cmd.Process.Kill()
		<-pr.Exited
	}}), victim
}

// A process is killed (kill -9) at each step of the protocol, 24 in all, in an order that is drawn, and started again with its ids. Each
// restart goes on within seconds, though session and transaction timeout are a minute, and at the end nothing is lost and nothing
// doubled. What the processes and the brokers said to each other is what brokers say.
func TestKillAtProtocolSteps(t *testing.T) {
	t.Parallel()
	killAtSteps(t, kafkatest.Shared(t))
}

// The same at transaction.version 1, where there are 30.
func TestKillAtProtocolStepsVersion1(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.Start(t)
	bench.SetFeatureLevel(t, cluster, 1)
	killAtSteps(t, cluster)
}

func killAtSteps(t *testing.T, cluster *kafkatest.Cluster) {
	p := proc.New(t, cluster, proc.Shape{From: []int32{3}, To: []int32{3}}, "--session-timeout", "60s", "--transaction-timeout", "60s")
	version, err := p.TransactionVersion(t.Context())
	require.NoError(t, err)
	kafka := fmt.Sprintf("%s transaction.version=%d", bench.KafkaVersion(t), version)
	tap := bench.Tap(t)
	watch := eostest.Watch(t, eostest.Over(tap.Dial), eostest.Kafka(kafka))
	proxy := p.Proxied(watch.Dial)
	stopFeeding := p.Feed(400)
	running := p.StartBehind(proxy, "a")
	p.AwaitMore(1)

	steps := pipeSteps(version)
	require.Len(t, steps, map[bool]int{true: 24, false: 30}[version >= 2])
	p.Rand.Shuffle(len(steps), func(i, k int) { steps[i], steps[k] = steps[k], steps[i] })
	var pauses []time.Duration
	for _, s := range steps {
		if s.isStart {
			running.Kill()
		}
		fault, victim := killAt(tap, s)
		if s.isStart {
			running = p.StartBehind(proxy, "a")
		}
		running.Doomed = true
		victim <- running
		awaitSpent(p, fault)
		require.Equal(t, -1, running.Wait(10*time.Second), "it died of the signal")
		before, err := p.Committed(t.Context())
		require.NoError(t, err)
		began := time.Now()
		running = p.StartBehind(proxy, "a")
		p.AwaitProgress(nil, before)
		pauses = append(pauses, time.Since(began))
		t.Logf("killed %v: from restart to the next commit %v", s, time.Since(began).Round(time.Millisecond))
	}
	fed := stopFeeding()
	p.AwaitAll()
	running.Signal(syscall.SIGTERM)
	require.Zero(t, running.Wait(20*time.Second))
	require.Less(t, slices.Max(pauses), 20*time.Second, "a restart waits for no timeout (60s)")
	p.RequireExactlyOnce(fed, fed)
	events := watch.Trace()
	t.Logf("%d records, %d transactional requests, restarts %v", fed, len(events), pauses)
	bench.RequireJudged(t, kafka, events)
}

// awaitSpent waits until a fault has happened as often as its rule says.
func awaitSpent(p *proc.Pipe, f *wiretap.Fault) {
	p.T.Helper()
	select {
	case <-f.Spent():
	case <-time.After(time.Minute):
		require.FailNow(p.T, "a fault did not happen", fmt.Sprint(f))
	}
}
