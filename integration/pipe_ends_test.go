package integration

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

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Records of an open transaction are deleted while its batch stays: the last stable offset is then below the log's start, which nobody can read.
// A group that starts at the latest offset starts at the log's start, and loses nothing of what comes of the transaction.
func TestStartLatestBelowTheLog(t *testing.T) {
	p := newPipe(t, kafkatest.Shared(t), shape{from: []int32{1}, to: []int32{1}}, "--start", "latest")
	p.record = jsonRecord
	p.prepare()
	upstream := p.cluster.Client(t, kgo.TransactionalID(kafkatest.Name(t, "producer")), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(time.Second))
	require.NoError(t, upstream.BeginTransaction())
	var records []*kgo.Record
	for range 6 {
		records = append(records, p.next())
	}
	require.NoError(t, upstream.ProduceSync(t.Context(), records...).FirstErr())
	deleted := kadm.Offsets{}
	deleted.AddOffset(p.from[0], 0, 4, -1)
	done, err := p.adm.DeleteRecords(t.Context(), deleted)
	require.NoError(t, err)
	require.NoError(t, done.Error())
	at := offsets.Partition{Topic: p.from[0]}
	stable, err := p.listed(t.Context(), p.adm.ListCommittedOffsets, p.from)
	require.NoError(t, err)
	require.Zero(t, stable[at].Offset, "the broker's last stable offset is at the base of the batch")

	require.Zero(t, p.start("a", "--until-end").wait(time.Minute), "there is nothing to read")
	committed, err := p.committed(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 4, committed[at].Offset)
	a := p.start("a")
	require.NoError(t, upstream.EndTransaction(t.Context(), kgo.TryCommit))
	p.await("the transaction is processed", time.Minute, func(ctx context.Context) (bool, error) {
		committed, err := p.committed(ctx)
		return committed[at].Offset == 7, err // with its marker
	})
	a.drain(syscall.SIGTERM)
	code, v := p.verify()
	require.Zero(t, code)
	require.EqualValues(t, 2, v.In)
	require.EqualValues(t, 2, v.Out)
}

// The group's offset is past the end of the log. That is no end which --until-end has reached, though all before it is committed: the process stops as
// one without --until-end does.
func TestUntilEndPastTheLog(t *testing.T) {
	p := newPipe(t, kafkatest.Shared(t), shape{from: []int32{1}, to: []int32{1}})
	p.fill(10)
	require.Zero(t, p.start("a", "--until-end").wait(time.Minute))
	p.commitAt(15)
	p.start("a", "--until-end").requireFails(time.Minute, 4, "offset 15 of", "which now ends at 10: the log was truncated")
	p.commitAt(10)
	require.Zero(t, p.start("a", "--until-end").wait(time.Minute))
	p.requireExactlyOnce(10, 10)
}

// Two processes on one host are started without an instance id. The first one goes on, not fenced; the second one is refused, and told how to have
// both. After the first is killed with kill -9 a restart goes on at once.
func TestTwoOnOneHost(t *testing.T) {
	p := newPipe(t, kafkatest.Shared(t), sixToSix)
	host, err := os.Hostname()
	require.NoError(t, err)
	start := func() *process {
		return p.spawn(host, slices.Concat([]string{"run", "--group", p.group, "--provenance", "--json", "--log-level", "debug"}, p.ends()))
	}
	stop := p.feed(2_000)
	first := start()
	p.awaitMore(1_000)
	hint := start().requireFails(time.Minute, 3, "another process on this host runs with transactional id "+p.group+"-"+host)
	require.Contains(t, hint, "--instance-id")
	p.awaitMore(1_000)
	require.True(t, first.alive())
	first.kill()
	second := start()
	p.awaitMore(1_000)
	require.NotContains(t, second.stderr(), "waiting for it to end")
	total := stop()
	p.awaitAll()
	second.drain(syscall.SIGTERM)
	p.requireExactlyOnce(total, total)
}
