package pipe

import (
	"context"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Records of an open transaction are deleted while its batch stays: the last stable offset is then below the log's start, which nobody can read.
// A group that starts at the latest offset starts at the log's start, and loses nothing of what comes of the transaction.
func TestStartLatestBelowTheLog(t *testing.T) {
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{1}, To: []int32{1}}, "--start", "latest")
	p.Record = proc.JSONRecord
	p.Prepare()
	upstream := p.Cluster.Client(t, kgo.TransactionalID(kafkatest.Name(t, "producer")), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(time.Second))
	require.NoError(t, upstream.BeginTransaction())
	var records []*kgo.Record
	for range 6 {
		records = append(records, p.Next())
	}
	require.NoError(t, upstream.ProduceSync(t.Context(), records...).FirstErr())
	deleted := kadm.Offsets{}
	deleted.AddOffset(p.From[0], 0, 4, -1)
	done, err := p.Adm.DeleteRecords(t.Context(), deleted)
	require.NoError(t, err)
	require.NoError(t, done.Error())
	at := offsets.Partition{Topic: p.From[0]}
	stable, err := p.Listed(t.Context(), p.Adm.ListCommittedOffsets, p.From)
	require.NoError(t, err)
	require.Zero(t, stable[at].Offset, "the broker's last stable offset is at the base of the batch")

	require.Zero(t, p.Start("a", "--until-end").Wait(time.Minute), "there is nothing to read")
	committed, err := p.Committed(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 4, committed[at].Offset)
	a := p.Start("a")
	require.NoError(t, upstream.EndTransaction(t.Context(), kgo.TryCommit))
	p.Await("the transaction is processed", time.Minute, func(ctx context.Context) (bool, error) {
		committed, err := p.Committed(ctx)
		return committed[at].Offset == 7, err // with its marker
	})
	a.Drain(syscall.SIGTERM)
	code, v := p.Verify()
	require.Zero(t, code)
	require.EqualValues(t, 2, v.In)
	require.EqualValues(t, 2, v.Out)
}

// The group's offset is past the end of the log. That is no end which --until-end has reached, though all before it is committed: the process stops as
// one without --until-end does.
func TestUntilEndPastTheLog(t *testing.T) {
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{1}, To: []int32{1}})
	p.Fill(10)
	require.Zero(t, p.Start("a", "--until-end").Wait(time.Minute))
	p.CommitAt(15)
	p.Start("a", "--until-end").RequireFails(time.Minute, 4, "offset 15 of", "which now ends at 10: the log was truncated")
	p.CommitAt(10)
	require.Zero(t, p.Start("a", "--until-end").Wait(time.Minute))
	p.RequireExactlyOnce(10, 10)
}

// Two processes on one host are started without an instance id. The first one goes on, not fenced; the second one is refused, and told how to have
// both. After the first is killed with kill -9 a restart goes on at once.
func TestTwoOnOneHost(t *testing.T) {
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix)
	host, err := os.Hostname()
	require.NoError(t, err)
	start := func() *proc.Process {
		return p.Spawn(host, slices.Concat([]string{"run", "--group", p.Group, "--provenance", "--json", "--log-level", "debug"}, p.Ends()))
	}
	stop := p.Feed(2_000)
	first := start()
	p.AwaitMore(1_000)
	hint := start().RequireFails(time.Minute, 3, "another process on this host runs with transactional id "+p.Group+"-"+host)
	require.Contains(t, hint, "--instance-id")
	p.AwaitMore(1_000)
	require.True(t, first.Alive())
	first.Kill()
	second := start()
	p.AwaitMore(1_000)
	require.NotContains(t, second.Stderr(), "waiting for it to end")
	total := stop()
	p.AwaitAll()
	second.Drain(syscall.SIGTERM)
	p.RequireExactlyOnce(total, total)
}
