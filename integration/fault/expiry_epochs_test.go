package fault

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/broker/wire"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// The epochs of a producer are used up, which takes 32 thousand transactions: here its transactional id begins four below the
// last one, as the coordinator finds it in its own log. Every record comes over once.
func TestFaultEpochsUsedUp(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := wire.WriteRaisedIDs(ctx, cluster.Bootstrap()[0], "r", len(epochCrashes)+1)
	require.NoError(t, err)
	cluster.Kill(t, 1)
	cluster.Restart(t, 1)
	t.Run("pipe", func(t *testing.T) { testEpochsUsedUp(t, cluster) })
	t.Run("restarts", func(t *testing.T) { testEpochsUsedUpByRestarts(t, cluster) })
}

// raisedID is a transactional id whose epoch is four below the last one; see wire.RaisedIDs. What is appended is its
// number. The first one's producer id is firstRaisedID, and no broker has given out so many.
const (
	raisedID      = "r-raised"
	firstRaisedID = 500_000_000
)

// A pipe whose producer's epoch is nearly used up gets another producer id on its way, in the midst of its transactions.
func testEpochsUsedUp(t *testing.T, cluster *kafkatest.Cluster) {
	t.Parallel()
	p := proc.New(t, cluster, proc.SixToSix, "--session-timeout", "10s", "--max-records", "100", "--transactional-id", raisedID)
	p.Fill(20_000)
	require.EqualValues(t, firstRaisedID, producerOf(p, raisedID+"-0"))
	a := p.Start("a")
	p.AwaitAll()
	require.Less(t, producerOf(p, raisedID+"-0"), int64(firstRaisedID), "the epochs were not used up")
	a.Drain(syscall.SIGTERM)
	r := a.Result()
	t.Logf("%+v", r)
	require.Zero(t, r.Aborted, "the change of the producer id is not to be seen")
	p.RequireExactlyOnce(20_000, 20_000)
}

// producerOf returns the producer id that the coordinator has for a transactional id.
func producerOf(p *proc.Pipe, id string) (producer int64) {
	p.T.Helper()
	p.Await("there is a coordinator", 30*time.Second, func(ctx context.Context) (bool, error) {
		described, err := p.Adm.DescribeTransactions(ctx, id)
		producer = described[id].ProducerID
		return err == nil && described[id].Err == nil, errors.Join(err, described[id].Err)
	})
	return producer
}

// epochCrashes are after how many commits a session dies in the midst of a transaction.
var epochCrashes = []int{0, 1, 2, 3, 4, 5}

// A session dies in the midst of a transaction at each of the last epochs, so that its successor is the one that uses them
// up, by fencing it, or finds itself there. Whatever number comes next, the dead one's transaction is ended and comes again.
func testEpochsUsedUpByRestarts(t *testing.T, cluster *kafkatest.Cluster) {
	t.Parallel()
	for i, commits := range epochCrashes {
		b := bench.NewOn(t, cluster)
		id := fmt.Sprintf("%s-%d", raisedID, i+1)
		open := func() (*eos.Session, *wiretap.Tap) {
			cfg, tap := b.Tapped("a")
			cfg.TransactionalID, cfg.MaxRecords = id, 30
			cfg.Client = append(cfg.Client, kgo.RequestRetries(1)) // what is left of it ends soon
			return b.Open(cfg), tap
		}
		dead, tap := open()
		b.Write(30 * commits)
		require.Empty(t, b.Copy(dead, 30*commits))
		b.Write(300)
		batch := b.Poll(dead)
		held := tap.Hold(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.HoldRequest})
		ctx, kill := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- dead.Commit(ctx, batch, b.Marked(batch)) }()
		b.Await(held.Reached(), "a commit")
		tap.Cut()
		kill()
		s, _ := open()
		w := b.Work(s)
		b.RequireOnce()
		b.RequireNoneMarked("the dead one's transaction is committed")
		require.Empty(t, w.Stop(t))
		require.Error(t, <-ended)
		described, err := b.Adm.DescribeTransactions(t.Context(), id)
		require.NoError(t, err)
		t.Logf("dead after %d commits: the successor has %d, epoch %d", commits, described[id].ProducerID, described[id].ProducerEpoch)
		require.Less(t, described[id].ProducerID, int64(firstRaisedID), "the epochs were not used up")
	}
}
