package processortest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
)

// replayPartitions is how many partitions each topic has in Replay.
const replayPartitions = 3

// broker is the embedded broker of a Replay.
type broker struct {
	t       testing.TB
	servers []string
	cl      *kgo.Client
}

func startBroker(t testing.TB, topics []string) *broker {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(replayPartitions, topics...),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &broker{t: t, servers: cluster.ListenAddrs(), cl: cl}
}

// write writes copies of the records to topic.
func (b *broker) write(topic string, records []*kgo.Record) {
	b.t.Helper()
	for _, r := range records {
		r := &kgo.Record{Topic: topic, Partition: r.Partition % replayPartitions, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}
		if err := b.cl.ProduceSync(b.t.Context(), r).FirstErr(); err != nil {
			b.t.Fatal(err)
		}
	}
}

// read returns the committed records of topics, those of a partition in their order.
func (b *broker) read(topics []string) (records []*kgo.Record) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	ask := cluster.New(b.cl, cluster.Patience{})
	ends, err := ask.Ends(ctx, topics...) // a transaction that is left open makes the read fail
	if err := errors.Join(err, ends.Err()); err != nil {
		b.t.Fatal(err)
	}
	_, err = ask.ReadCommitted(ctx, cluster.Read{Until: ends.Set()}, func(r *kgo.Record) error {
		records = append(records, r)
		return nil
	})
	if err != nil {
		b.t.Fatalf("read the outputs: %v", err)
	}
	return records
}
