package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The last stable offset is below the log's start, as Kafka leaves it when records of an open transaction are deleted: a reader's end is the start.
// Where it is above, it is the end.
func TestStableEnds(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "in"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	for i := range 12 {
		require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Partition: int32(i % 2)}).FirstErr())
	}
	adm, deleted := kadm.NewClient(cl), kadm.Offsets{}
	deleted.AddOffset("in", 0, 4, -1)
	done, err := adm.DeleteRecords(t.Context(), deleted)
	require.NoError(t, err)
	require.NoError(t, done.Error())
	cluster.ControlKey(kmsg.ListOffsets.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		req := kreq.(*kmsg.ListOffsetsRequest)
		if req.IsolationLevel != 1 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, topic := range req.Topics {
			answer := kmsg.ListOffsetsResponseTopic{Topic: topic.Topic}
			for _, p := range topic.Partitions {
				answer.Partitions = append(answer.Partitions, kmsg.ListOffsetsResponseTopicPartition{Partition: p.Partition, Offset: int64(3 * p.Partition)})
			}
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil, true
	})

	ends, err := StableEnds(t.Context(), adm, "in")
	require.NoError(t, err)
	at := func(partition int32) int64 { o, _ := ends.Lookup("in", partition); return o.Offset }
	require.EqualValues(t, 4, at(0), "the log's start")
	require.EqualValues(t, 3, at(1), "the last stable offset")
}
