package processor_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/processor"
)

type broker struct {
	t       *testing.T
	fake    *kfake.Cluster
	servers []string
	cl      *kgo.Client
}

func setup(t *testing.T) *broker {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "in"), kfake.SeedTopics(4, "out"), kfake.SeedTopics(1, "dead"),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return &broker{t: t, fake: cluster, servers: cluster.ListenAddrs(), cl: cl}
}

func (b *broker) produce(n int) {
	var rs []*kgo.Record
	for i := range n {
		rs = append(rs, &kgo.Record{Topic: "in", Partition: int32(i % 4), Value: fmt.Append(nil, i)})
	}
	require.NoError(b.t, b.cl.ProduceSync(b.t.Context(), rs...).FirstErr())
}

// values reads n committed records of topic and returns their values, by partition.
func (b *broker) values(topic string, n int) map[int32][]string {
	got := map[int32][]string{}
	for _, r := range b.records(topic, n) {
		got[r.Partition] = append(got[r.Partition], string(r.Value))
	}
	return got
}

// records reads n committed records of topic.
func (b *broker) records(topic string, n int) (got []*kgo.Record) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.servers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	require.NoError(b.t, err)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	for len(got) < n {
		fs := cl.PollFetches(ctx)
		require.NoError(b.t, fs.Err())
		got = append(got, fs.Records()...)
	}
	return got
}

func (b *broker) config() processor.Config {
	return processor.Config{
		BootstrapServers: b.servers, ApplicationID: "app", InstanceID: "i", UntilEnd: true,
		Session: eos.Tuning{SessionTimeout: 6 * time.Second, TransactionTimeout: 10 * time.Second, MaxRecords: 50},
	}
}

// counted returns cfg with count added to its Observer.
func counted(cfg processor.Config, count *processor.Counter) processor.Config {
	cfg.Observer = cfg.Observer.With(count.Observer())
	return cfg
}

var double = processor.Pipe[string, string]{
	Source: processor.From(processor.String(), "in"),
	Handle: processor.Map(func(s string) (string, error) { return s + s, nil }),
	Sink:   processor.To(processor.String(), "out"),
}

// Three lanes process all of the input until its end; each partition's order is kept, and the last progress says all.
func TestRunUntilEnd(t *testing.T) {
	b := setup(t)
	b.produce(2000)
	cfg := b.config()
	cfg.Lanes = 3
	var done, total atomic.Int64
	cfg.Observer.Progress = func(p processor.Progress) { done.Store(p.Done); total.Store(p.Total) }
	var count processor.Counter
	p, err := processor.New(counted(cfg, &count), double)
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.EqualValues(t, 2000, count.Stats().In)
	require.EqualValues(t, 2000, count.Stats().Out)
	require.EqualValues(t, 2000, done.Load())
	require.EqualValues(t, 2000, total.Load())
	for part, values := range b.values("out", 2000) {
		for i, v := range values {
			n := 4*i + int(part)
			require.Equal(t, fmt.Sprint(n, n), v[:len(v)/2]+" "+v[len(v)/2:], "partition %d, position %d", part, i)
		}
	}
}

// A source by pattern is all topics that match until their end, but not what the pipe writes to, though it matches.
func TestRunFromPattern(t *testing.T) {
	b := setup(t)
	b.produce(200)
	_, err := kadm.NewClient(b.cl).CreateTopic(t.Context(), 2, 1, nil, "in-2")
	require.NoError(t, err)
	require.NoError(t, b.cl.ProduceSync(t.Context(), &kgo.Record{Topic: "in-2", Partition: 1, Value: []byte("more")}).FirstErr())
	cfg := b.config()
	cfg.DeadLetterTopic = "dead"
	pipe := double
	pipe.Source = processor.FromPattern(processor.String(), "in.*|out|dead")
	for _, n := range []int64{201, 0} {
		var count processor.Counter
		p, err := processor.New(counted(cfg, &count), pipe)
		require.NoError(t, err)
		require.NoError(t, p.Run(t.Context()))
		require.EqualValues(t, n, count.Stats().In)
	}
	pipe.Source = processor.FromPattern(processor.String(), "o|d|i")
	var count processor.Counter
	p, err := processor.New(counted(cfg, &count), pipe)
	require.NoError(t, err)
	require.ErrorIs(t, p.Run(t.Context()), eos.ErrNoTopic)
	pipe.Source = processor.FromPattern(processor.String(), "(")
	_, err = processor.New(cfg, pipe)
	require.ErrorContains(t, err, "topic pattern")
}

// A context that ends drains: what was begun is committed, Run returns nil, and no transaction is left open.
func TestRunDrains(t *testing.T) {
	b := setup(t)
	b.produce(100)
	cfg := b.config()
	cfg.UntilEnd = false
	ctx, cancel := context.WithCancel(t.Context())
	pipe := double
	pipe.Handle = processor.Each(func(_ context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
		cancel() // while a batch is under way
		return []processor.Record[string]{in}, nil
	})
	var count processor.Counter
	p, err := processor.New(counted(cfg, &count), pipe)
	require.NoError(t, err)
	require.NoError(t, p.Run(ctx))
	require.Positive(t, count.Stats().In)
	require.EqualValues(t, 1, count.Stats().Transactions)
	open, err := kadm.NewClient(b.cl).ListTransactions(t.Context(), nil, []string{"Ongoing"})
	require.NoError(t, err)
	require.Empty(t, open)
}

// A drain that takes longer than its time is aborted: Run says so, and nothing of the batch is committed.
func TestRunAborts(t *testing.T) {
	b := setup(t)
	b.produce(100)
	cfg := b.config()
	cfg.UntilEnd, cfg.DrainTimeout = false, 50*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	pipe := double
	pipe.Handle = processor.Each(func(ctx context.Context, _ processor.Record[string]) ([]processor.Record[string], error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	})
	var count processor.Counter
	p, err := processor.New(counted(cfg, &count), pipe)
	require.NoError(t, err)
	require.ErrorIs(t, p.Run(ctx), processor.ErrAborted)
	require.Zero(t, count.Stats().In)
}

// Abort in the middle of a transaction whose answers do not come: Run returns, and opens no new session that would
// fence a successor.
func TestAbortOpensNothingNew(t *testing.T) {
	b := setup(t)
	b.produce(100)
	tap := wiretap.New()
	t.Cleanup(tap.Close)
	held := tap.Hold(wiretap.Rule{API: kmsg.Produce, Action: wiretap.HoldReply, Count: wiretap.Always})
	cfg := b.config()
	cfg.UntilEnd = false
	cfg.Session.Client = []kgo.Opt{kgo.Dialer(tap.Dial)}
	p, err := processor.New(cfg, double)
	require.NoError(t, err)
	go func() {
		<-held.Reached()
		p.Abort()
	}()
	require.ErrorIs(t, p.Run(t.Context()), processor.ErrAborted)
	require.Equal(t, 1, tap.Count(kmsg.InitProducerID))
}

// A record that the handler cannot process stops the processor with its coordinates; nothing of its batch is
// committed, and after the handler is mended the next run processes everything once.
func TestRunStopsAtPoison(t *testing.T) {
	b := setup(t)
	b.produce(200)
	pipe := double
	pipe.Handle = processor.Map(func(s string) (string, error) {
		if s == "101" {
			return "", fmt.Errorf("cannot do %s", s)
		}
		return s + s, nil
	})
	p, err := processor.New(b.config(), pipe)
	require.NoError(t, err)
	var failed *processor.RecordError
	require.ErrorAs(t, p.Run(t.Context()), &failed)
	require.Equal(t, "in-1", failed.Partition.String())
	require.EqualValues(t, 25, failed.Offset)

	p, err = processor.New(b.config(), double)
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	var all []string
	for _, values := range b.values("out", 200) {
		all = append(all, values...)
	}
	slices.Sort(all)
	require.Len(t, slices.Compact(all), 200)
}

// A handler that takes longer than the transaction timeout: it runs before the transaction opens, so nothing times out, no client is
// replaced, and no batch comes twice.
func TestRunWithSlowHandler(t *testing.T) {
	b := setup(t)
	b.produce(100)
	cfg := b.config()
	cfg.Session.TransactionTimeout = time.Second
	var aborted atomic.Int64
	cfg.Observer.Session.Transition = func(tr eos.Transition) {
		if tr.To == eos.Aborting || tr.To == eos.Replacing {
			aborted.Add(1)
		}
	}
	var handled atomic.Int64
	pipe := double
	pipe.Handle = processor.Map(func(s string) (string, error) {
		if handled.Add(1)%50 == 1 {
			<-time.After(1500 * time.Millisecond)
		}
		return s + s, nil
	})
	p, err := processor.New(cfg, pipe)
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.EqualValues(t, 100, handled.Load())
	require.Zero(t, aborted.Load())
	b.values("out", 100)
}

// Skipped records and dead letters: counted, committed with their batch, and the dead letters are in their topic.
func TestRunGivesUpRecords(t *testing.T) {
	b := setup(t)
	b.produce(100)
	cfg := b.config()
	cfg.DeadLetterTopic = "dead"
	pipe := double
	pipe.Handle = processor.Map(func(s string) (string, error) {
		switch s[len(s)-1] {
		case '3':
			return "", processor.Skip(nil)
		case '7':
			return "", processor.DeadLetter(fmt.Errorf("seven"))
		}
		return s, nil
	})
	var count processor.Counter
	p, err := processor.New(counted(cfg, &count), pipe)
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.Equal(t, processor.Stats{In: 100, Out: 90, Skipped: 10, DeadLetters: 10, Transactions: count.Stats().Transactions}, count.Stats())
	require.Len(t, b.values("dead", 10)[0], 10)
}

// Faults of a configuration are reported together, before anything is connected.
func TestNewReportsAllFaults(t *testing.T) {
	_, err := processor.New(processor.Config{}, processor.Pipe[string, int]{Source: processor.From(processor.String(), "t"), Sink: processor.To(processor.JSON[int](), "t")})
	require.ErrorContains(t, err, "both source and sink")
	require.ErrorContains(t, err, "no Handle")
	_, err = processor.New(processor.Config{Lanes: -1}, double)
	require.ErrorContains(t, err, "no bootstrap server")
	require.ErrorContains(t, err, "no consumer group")
	require.ErrorContains(t, err, "no transactional id")
	require.ErrorContains(t, err, "-1 lanes")
}

// An output that the broker refuses stops the processor with the input record that it was made of; nothing is lost.
func TestRunNamesTheInputOfARefusedOutput(t *testing.T) {
	b := setup(t)
	b.produce(200)
	pipe := double
	pipe.Handle = processor.Map(func(s string) (string, error) {
		if s == "102" {
			return string(make([]byte, 2<<20)), nil
		}
		return s, nil
	})
	var count processor.Counter
	p, err := processor.New(counted(b.config(), &count), pipe)
	require.NoError(t, err)
	err = p.Run(t.Context())
	var failed *processor.RecordError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, "produce", failed.Stage)
	require.Equal(t, "in-2", failed.Partition.String())
	require.EqualValues(t, 25, failed.Offset)
	var refused *eos.RejectedError
	require.ErrorAs(t, err, &refused)
	require.Less(t, count.Stats().In, int64(200))
}
