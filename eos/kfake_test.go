package eos_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
)

// testBench is an embedded broker with an input and an output topic, for one test.
type testBench struct {
	*kfake.Cluster
	t   *testing.T
	cl  *kgo.Client
	adm *kadm.Client
}

func setup(t *testing.T, opts ...kfake.Opt) *testBench {
	t.Helper()
	opts = append([]kfake.Opt{
		kfake.NumBrokers(1),
		kfake.SeedTopics(3, "in"),
		kfake.SeedTopics(3, "out"),
		kfake.BrokerConfigs(map[string]string{"group.min.session.timeout.ms": "500", "group.initial.rebalance.delay.ms": "0"}),
	}, opts...)
	cluster, err := kfake.NewCluster(opts...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return &testBench{Cluster: cluster, t: t, cl: cl, adm: kadm.NewClient(cl)}
}

// config is a session of group g from in to out.
func (b *testBench) config() eos.Config {
	return eos.Config{
		BootstrapServers: b.ListenAddrs(), Group: "g", TransactionalID: "g-a-0",
		Topics: []string{"in"}, Outputs: []string{"out"},
		Tuning: eos.Tuning{CommitInterval: -1, SessionTimeout: 6 * time.Second, TransactionTimeout: 10 * time.Second},
	}
}

func (b *testBench) open(cfg eos.Config) *eos.Session {
	b.t.Helper()
	s, err := eos.Open(b.t.Context(), cfg)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// produce writes n records "0".."n-1", round robin over three partitions.
func (b *testBench) produce(n int) {
	b.t.Helper()
	b.produceFrom(0, n)
}

// produceFrom writes n records whose values begin at first.
func (b *testBench) produceFrom(first, n int) {
	b.t.Helper()
	var rs []*kgo.Record
	for i := first; i < first+n; i++ {
		rs = append(rs, &kgo.Record{Topic: "in", Partition: int32(i % 3), Value: fmt.Append(nil, i)})
	}
	require.NoError(b.t, b.cl.ProduceSync(b.t.Context(), rs...).FirstErr())
}

// copyOf hands the records of a batch on to topic out.
func copyOf(batch eos.Batch) func(func(*kgo.Record) bool) {
	return func(yield func(*kgo.Record) bool) {
		for _, r := range batch.Records {
			if !yield(&kgo.Record{Topic: "out", Key: r.Key, Value: r.Value, Partition: r.Partition}) {
				return
			}
		}
	}
}

// run copies until n input records are committed, going on wherever the session says so. It returns the errors.
func run(t *testing.T, s *eos.Session, n int) (failures []error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for n > 0 {
		batch, err := s.Poll(ctx)
		require.NoError(t, err)
		if err := s.Commit(ctx, batch, copyOf(batch)); err != nil {
			var e *eos.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, eos.PollAgain, e.Next, "%v", err)
			failures = append(failures, err)
			continue
		}
		n -= len(batch.Records)
	}
	return failures
}

// output returns the committed values of topic out in order of partition and offset, reading until n are there, and
// then whatever else is in the log.
func (b *testBench) output() []string {
	b.t.Helper()
	return readAll(b.t, b.ListenAddrs(), "out")
}

// readAll returns the values of the committed records that topic holds now.
func readAll(t *testing.T, servers []string, topic string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(servers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, topic)
	require.NoError(t, err)
	left := 0
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left++
		}
	})
	var values []string
	for left > 0 {
		fs := cl.PollFetches(ctx)
		require.NoError(t, fs.Err())
		fs.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				values = append(values, string(r.Value))
			}
			if end, _ := ends.Lookup(topic, r.Partition); r.Offset == end.Offset-1 {
				left--
			}
		})
	}
	return values
}

// requireOnce fails unless out holds "0".."n-1", each once.
func (b *testBench) requireOnce(n int) {
	b.t.Helper()
	got := b.output()
	slices.Sort(got)
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint(i))
	}
	slices.Sort(want)
	require.Equal(b.t, want, got)
}
