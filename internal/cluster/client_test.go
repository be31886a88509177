package cluster

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// bench is an embedded broker with the topic in, and a Client of it.
type bench struct {
	*kfake.Cluster
	*Client
	t *testing.T
}

func setup(t *testing.T) *bench {
	t.Helper()
	b, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "in"),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return &bench{b, New(newClient(t, b), Patience{}), t}
}

func newClient(t *testing.T, b *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))...)
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return cl
}

func at(partition int32) offsets.Partition { return offsets.Partition{Topic: "in", Number: partition} }

// A question to a coordinator gets twice the time after one that got no answer in its time, and the first limit again after an answer.
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &Client{patience: Patience{First: 2 * time.Second, Most: 10 * time.Second}}
		limit := func(answer error) time.Duration {
			began := time.Now()
			bounded, asked := c.Bound(t.Context())
			if answer == nil {
				deadline, _ := bounded.Deadline()
				asked(nil)
				return deadline.Sub(began)
			}
			<-bounded.Done()
			asked(bounded.Err())
			return time.Since(began)
		}
		require.Equal(t, 2*time.Second, limit(io.EOF))
		require.Equal(t, 4*time.Second, limit(io.EOF))
		require.Equal(t, 8*time.Second, limit(io.EOF))
		require.Equal(t, 10*time.Second, limit(io.EOF))
		require.Equal(t, 10*time.Second, limit(nil))
		require.Equal(t, 2*time.Second, limit(nil))

		caller, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		bounded, asked := c.Bound(caller)
		<-bounded.Done()
		asked(bounded.Err())
		require.Equal(t, 2*time.Second, limit(nil), "that the caller's time is over says nothing about the coordinator")
	})
}

// The last stable offset is below the log's start, as Kafka leaves it when records of an open transaction are deleted: a reader's end is the start.
// Where it is above, it is the end.
func TestReadable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 12 {
		require.NoError(t, b.cl.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Partition: int32(i % 2)}).FirstErr())
	}
	deleted := kadm.Offsets{}
	deleted.AddOffset("in", 0, 4, -1)
	done, err := b.adm.DeleteRecords(t.Context(), deleted)
	require.NoError(t, err)
	require.NoError(t, done.Error())
	b.ControlKey(kmsg.ListOffsets.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
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

	readable, err := b.Readable(t.Context(), "in")
	require.NoError(t, err)
	require.EqualValues(t, 4, readable[at(0)].Offset, "the log's start")
	require.EqualValues(t, 3, readable[at(1)].Offset, "the last stable offset")
	stable, err := b.LastStable(t.Context(), "in")
	require.NoError(t, err)
	require.EqualValues(t, 0, stable[at(0)].Offset, "as the broker gives it")
	ends, err := b.Ends(t.Context(), "in")
	require.NoError(t, err)
	require.EqualValues(t, 6, ends[at(0)].Offset)
}

// What no broker has answered about is no position, and its error has the name of the topic or the partition.
func TestOffsets(t *testing.T) {
	t.Parallel()
	one := Offset{Position: offsets.NewPosition(7)}
	all := Offsets{
		at(0): one, at(1): {Position: offsets.NewPosition(-1)}, at(2): {Err: kerr.NotLeaderForPartition},
		{Topic: "gone", Number: -1}: {Err: kerr.UnknownTopicOrPartition},
	}
	require.Equal(t, offsets.Set{at(0): one.Position}, all.Set())
	require.ErrorIs(t, all.Err(), kerr.UnknownTopicOrPartition)
	require.ErrorContains(t, all.Err(), "gone: ")
	delete(all, offsets.Partition{Topic: "gone", Number: -1})
	require.ErrorContains(t, all.Err(), "in-2: NOT_LEADER")
	require.NoError(t, Offsets{at(0): one}.Err())

	b := setup(t)
	starts, err := b.Starts(t.Context(), "in", "other")
	require.NoError(t, err)
	require.Equal(t, offsets.Set{at(0): starts[at(0)].Position, at(1): starts[at(1)].Position}, starts.Set())
	require.ErrorContains(t, starts.Err(), "other: UNKNOWN_TOPIC")
}

// A group that does not exist has committed nothing and has no members. A static member is in the group until it leaves.
func TestGroup(t *testing.T) {
	t.Parallel()
	b := setup(t)
	committed, err := b.Committed(t.Context(), "g")
	require.NoError(t, err)
	require.Empty(t, committed)
	members, err := b.Members(t.Context(), "g", true)
	require.NoError(t, err)
	require.Empty(t, members)

	require.NoError(t, b.cl.ProduceSync(t.Context(), &kgo.Record{Topic: "in"}).FirstErr())
	member := newClient(t, b.Cluster, kgo.ConsumerGroup("g"), kgo.InstanceID("one"), kgo.ConsumeTopics("in"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	fetches := member.PollFetches(t.Context())
	require.NoError(t, fetches.Err())
	require.NoError(t, member.CommitRecords(t.Context(), fetches.Records()...))
	for _, ask := range []func(context.Context, string) (Offsets, error){b.Committed, b.Stable} {
		committed, err := ask(t.Context(), "g")
		require.NoError(t, err)
		require.EqualValues(t, 1, committed[at(0)].Offset)
	}
	id, _ := member.GroupMetadata()
	want := Member{Instance: "one", ID: id, Classic: true}
	members, err = b.Members(t.Context(), "g", true)
	require.NoError(t, err)
	require.Equal(t, []Member{want}, members)
	other, err := b.OtherType(t.Context(), "g")
	require.NoError(t, err)
	require.Empty(t, other)
	node, err := b.Coordinator(t.Context(), "g")
	require.NoError(t, err)
	require.EqualValues(t, 0, node)

	require.NoError(t, b.Leave(t.Context(), "g", want, false))
	members, err = b.Members(t.Context(), "g", true)
	require.NoError(t, err)
	require.Empty(t, members)
}

// A transaction that is open is found by its transactional id, by its producer, and by its first record; none hangs.
func TestTransactions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.Transaction(t.Context(), "tx")
	require.ErrorIs(t, err, kerr.TransactionalIDNotFound)
	producer := newClient(t, b.Cluster, kgo.TransactionalID("tx"))
	require.NoError(t, producer.BeginTransaction())
	require.NoError(t, producer.ProduceSync(t.Context(), &kgo.Record{Topic: "in"}).FirstErr())

	open, err := b.Transaction(t.Context(), "tx")
	require.NoError(t, err)
	require.Equal(t, "Ongoing", open.State)
	opener, ok := b.Opener(t.Context(), at(0), 0)
	require.True(t, ok)
	require.Equal(t, open.ProducerID, opener.ProducerID)
	_, ok = b.Opener(t.Context(), at(0), 1)
	require.False(t, ok)
	of, err := b.TransactionOf(t.Context(), open.ProducerID)
	require.NoError(t, err)
	require.Equal(t, "tx", of.TxnID)
	_, err = b.TransactionOf(t.Context(), open.ProducerID+1)
	require.ErrorContains(t, err, "no transactional id")
	require.Empty(t, b.Hanging(t.Context(), []string{"in"}, open))
	open.ProducerEpoch++ // as after the end that has forgotten this partition
	require.Equal(t, []offsets.Partition{at(0)}, b.Hanging(t.Context(), []string{"in"}, open))
}

// What is asked now is not from the cache; a topic that is not there has its error.
func TestTopicNow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	topic, err := b.TopicNow(t.Context(), "in")
	require.NoError(t, err)
	require.Len(t, topic.Partitions, 2)
	require.Zero(t, topic.ErrorCode)
	_, err = b.adm.CreatePartitions(t.Context(), 1, "in")
	require.NoError(t, err)
	topic, err = b.TopicNow(t.Context(), "in")
	require.NoError(t, err)
	require.Len(t, topic.Partitions, 3)
	topic, err = b.TopicNow(t.Context(), "other")
	require.NoError(t, err)
	require.ErrorIs(t, kerr.ErrorForCode(topic.ErrorCode), kerr.UnknownTopicOrPartition)
}

// A reader gets the committed records between its two offsets and no aborted ones; a partition whose end is not reached is counted.
func TestReadCommitted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	producer := newClient(t, b.Cluster, kgo.TransactionalID("tx"))
	write := func(commit kgo.TransactionEndTry, values ...string) {
		require.NoError(t, producer.BeginTransaction())
		for _, v := range values {
			require.NoError(t, producer.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Value: []byte(v)}).FirstErr())
		}
		require.NoError(t, producer.EndTransaction(t.Context(), commit))
	}
	write(kgo.TryCommit, "0", "1") // 0, 1, marker 2
	write(kgo.TryAbort, "3")       // 3, marker 4
	write(kgo.TryCommit, "5", "6") // 5, 6, marker 7
	readable, err := b.Readable(t.Context(), "in")
	require.NoError(t, err)
	require.EqualValues(t, 8, readable[at(0)].Offset)

	read := func(read Read) (values string, silent int) {
		total := int64(0)
		read.Progress = func(n int64) { total += n }
		silent, err := b.ReadCommitted(t.Context(), read, func(r *kgo.Record) error { values += string(r.Value); return nil })
		require.NoError(t, err)
		if silent == 0 && len(read.Until) > 0 {
			require.Equal(t, read.Until[at(0)].Offset-read.From[at(0)].Offset, total)
		}
		return values, silent
	}
	for _, test := range []struct {
		from, until int64
		want        string
	}{{0, 8, "0156"}, {1, 6, "15"}, {2, 5, ""}, {8, 8, ""}} {
		got, silent := read(Read{From: offsets.Set{at(0): offsets.NewPosition(test.from)}, Until: offsets.Set{at(0): offsets.NewPosition(test.until)}})
		require.Equal(t, test.want, got)
		require.Zero(t, silent)
	}
	got, _ := read(Read{Until: readable.Set()})
	require.Equal(t, "0156", got)
	got, silent := read(Read{From: readable.Set(), Until: offsets.Set{at(0): offsets.NewPosition(9)}, Quiet: 50 * time.Millisecond})
	require.Empty(t, got)
	require.Equal(t, 1, silent)

	failed := errors.New("enough")
	_, err = b.ReadCommitted(t.Context(), Read{Until: readable.Set()}, func(*kgo.Record) error { return failed })
	require.Equal(t, failed, err)
}
