package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

func TestFindingUnlistedAbort(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Brokers(3))
	topic := kafkatest.Name(t, "in")
	cluster.CreateReplicated(t, topic, 1, 3)
	adm := cluster.Admin(t)
	topics, err := adm.ListTopics(t.Context(), topic)
	require.NoError(t, err)
	leader := topics[topic].Partitions[0].Leader
	behind := leader%3 + 1
	writer := func(name string) *kgo.Client {
		return cluster.Client(t, kgo.TransactionalID(topic+name), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression()))
	}
	a, b := writer("a"), writer("b")
	write := func(cl *kgo.Client, n, size int) {
		for i := range n {
			require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Key: []byte(fmt.Sprint(i)), Value: make([]byte, size)}).FirstErr())
		}
	}
	end := func(cl *kgo.Client, how kgo.TransactionEndTry) { require.NoError(t, cl.EndTransaction(t.Context(), how)) }
	cluster.Kill(t, int(behind))
	require.NoError(t, a.BeginTransaction())
	write(a, 1, 10)
	end(a, kgo.TryAbort)
	require.NoError(t, a.BeginTransaction())
	write(a, 30, 10_000)
	require.NoError(t, b.BeginTransaction())
	write(b, 1, 10)
	end(a, kgo.TryAbort)
	end(b, kgo.TryCommit)
	cluster.Restart(t, int(behind))

	read := func() int {
		cl := cluster.Client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxPartitionBytes(20_000), kgo.KeepControlRecords())
		defer cl.Close()
		ends, err := adm.ListEndOffsets(t.Context(), topic)
		require.NoError(t, err)
		e, _ := ends.Lookup(topic, 0)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		got := 0
		for next := int64(0); next < e.Offset; {
			fs := cl.PollFetches(ctx)
			require.NoError(t, fs.Err())
			fs.EachRecord(func(r *kgo.Record) {
				if !r.Attrs.IsControl() {
					got++
				}
				next = r.Offset + 1
			})
		}
		return got
	}
	t.Logf("read from leader %d: %d", leader, read())
	var others []int32
	for i := range int32(3) {
		if i+1 != behind {
			others = append(others, i+1)
		}
	}
	req := kadm.AlterPartitionAssignmentsReq{}
	req.Assign(topic, 0, append([]int32{behind}, others...))
	_, err = adm.AlterPartitionAssignments(t.Context(), req)
	require.NoError(t, err)
	for {
		_, err = adm.ElectLeaders(t.Context(), kadm.ElectPreferredReplica, nil)
		require.NoError(t, err)
		topics, err = adm.ListTopics(t.Context(), topic)
		require.NoError(t, err)
		if topics[topic].Partitions[0].Leader == behind {
			break
		}
	}
	t.Logf("read from leader %d: %d", behind, read())
}
