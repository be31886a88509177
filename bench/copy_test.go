// Package bench measures the session beside the loops that people write by hand, on a real Kafka, in one run and in turn:
// the figures of different runs or machines say little, their ratios say something.
package bench

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }

const partitions = 6

// way is one way to copy a topic.
type way struct {
	name string
	copy func(b *testing.B, c *kafkatest.Cluster, j job)
}

// job is one copy: all n records of in to out, committing every interval at the most.
type job struct {
	in, out, group string
	n              int
	interval       time.Duration
}

var ways = []way{
	{"plain", plainLoop},
	{"at-least-once", atLeastOnce},
	{"eos", session},
}

// BenchmarkCopy copies the same records in each way, turn by turn, and reports records/s of each and the ratios of the
// session to the others (medians). One iteration is one round of all ways.
func BenchmarkCopy(b *testing.B) {
	for _, size := range []int{100, 1024} {
		for _, interval := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond} {
			b.Run(fmt.Sprintf("%dB/%v", size, interval), func(b *testing.B) { benchmarkCopy(b, size, interval) })
		}
	}
}

func benchmarkCopy(b *testing.B, size int, interval time.Duration) {
	n := 300_000_000 / size // some seconds of work, beside which joining the group is little
	c := kafkatest.Shared(b)
	in, out := kafkatest.Name(b, "in"), kafkatest.Name(b, "out")
	c.CreateTopic(b, in, partitions)
	c.CreateTopic(b, out, partitions)
	fill(b, c, in, n, size)
	rates := map[string][]float64{}
	round := 0
	for b.Loop() {
		for i := range ways { // each goes first in turn
			w := ways[(i+round)%len(ways)]
			began := time.Now()
			w.copy(b, c, job{in: in, out: out, group: kafkatest.Name(b, w.name), n: n, interval: interval})
			rates[w.name] = append(rates[w.name], float64(n)/time.Since(began).Seconds())
		}
		round++
	}
	median := map[string]float64{}
	for name := range maps.Keys(rates) {
		slices.Sort(rates[name])
		median[name] = rates[name][len(rates[name])/2]
		b.ReportMetric(median[name]/1000, name+"-krec/s")
	}
	b.ReportMetric(median["eos"]/median["plain"], "eos/plain")
	b.ReportMetric(median["eos"]/median["at-least-once"], "eos/at-least-once")
	b.ReportMetric(0, "ns/op")
}

// fill writes n records of the given size, without keys, evenly over the partitions.
func fill(b *testing.B, c *kafkatest.Cluster, topic string, n, size int) {
	b.Helper()
	cl := c.Client(b, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	var failed atomic.Pointer[error]
	value := make([]byte, size)
	for i := range value {
		value[i] = byte('a' + i*7%26)
	}
	for i := range n {
		cl.Produce(b.Context(), &kgo.Record{Partition: int32(i % partitions), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	require.NoError(b, cl.Flush(b.Context()))
	require.Nil(b, failed.Load())
}

// common are the options that every way has: where a group starts, no compression (all records are alike, and would
// compress to nothing), and a short metadata age.
func common(j job) []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumerGroup(j.group), kgo.ConsumeTopics(j.in), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MetadataMinAge(50 * time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(1_000_000),
	}
}

// plainLoop is the loop of franz-go's documentation: poll, begin, produce, end. It looks at nothing that may go wrong.
func plainLoop(b *testing.B, c *kafkatest.Cluster, j job) {
	s, err := kgo.NewGroupTransactSession(append(common(j), kgo.SeedBrokers(c.Bootstrap()...), kgo.TransactionalID(j.group))...)
	require.NoError(b, err)
	defer s.Close()
	for done := 0; done < j.n; {
		began := time.Now()
		batch := 0
		for {
			fetches := s.PollFetches(b.Context())
			if batch == 0 {
				require.NoError(b, s.Begin())
			}
			fetches.EachRecord(func(r *kgo.Record) {
				batch++
				s.Produce(b.Context(), &kgo.Record{Topic: j.out, Key: r.Key, Value: r.Value, Partition: r.Partition}, nil)
			})
			if time.Since(began) >= j.interval || done+batch >= j.n {
				break
			}
		}
		committed, err := s.End(b.Context(), kgo.TryCommit)
		require.NoError(b, err)
		require.True(b, committed)
		done += batch
	}
}

// atLeastOnce produces and then commits offsets, without a transaction.
func atLeastOnce(b *testing.B, c *kafkatest.Cluster, j job) {
	cl, err := kgo.NewClient(append(common(j), kgo.SeedBrokers(c.Bootstrap()...), kgo.DisableAutoCommit())...)
	require.NoError(b, err)
	defer cl.Close()
	last := time.Now()
	for done := 0; done < j.n; {
		cl.PollFetches(b.Context()).EachRecord(func(r *kgo.Record) {
			done++
			cl.Produce(b.Context(), &kgo.Record{Topic: j.out, Key: r.Key, Value: r.Value, Partition: r.Partition}, nil)
		})
		if time.Since(last) >= j.interval || done >= j.n {
			require.NoError(b, cl.Flush(b.Context()))
			require.NoError(b, cl.CommitUncommittedOffsets(b.Context()))
			last = time.Now()
		}
	}
}

// session is eos with its defaults but the commit interval: every check and promise of it included.
func session(b *testing.B, c *kafkatest.Cluster, j job) {
	s, err := eos.Open(b.Context(), eos.Config{
		BootstrapServers: c.Bootstrap(), Group: j.group, TransactionalID: j.group, Topics: []string{j.in}, Outputs: []string{j.out},
		Tuning: eos.Tuning{CommitInterval: j.interval, Client: []kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression())}},
	})
	require.NoError(b, err)
	defer func() { _ = s.Close(context.Background()) }()
	for done := 0; done < j.n; {
		batch, err := s.Poll(b.Context())
		require.NoError(b, err)
		for _, r := range batch.Records {
			r.Topic = j.out
		}
		require.NoError(b, s.Commit(b.Context(), batch, slices.Values(batch.Records)))
		done += len(batch.Records)
	}
}
