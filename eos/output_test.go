package eos_test

import (
	"encoding/binary"
	"hash/crc32"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// writeAt writes a batch of one record to in-0, with any timestamp: the client could not.
func (b *testBench) writeAt(ms int64, value string) {
	b.t.Helper()
	r := kmsg.Record{Value: []byte(value)}
	r.Length = int32(len(r.AppendTo(nil)) - 1)
	records := r.AppendTo(nil)
	batch := kmsg.RecordBatch{
		Length: int32(49 + len(records)), Magic: 2, FirstTimestamp: ms, MaxTimestamp: ms, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: 1, Records: records,
	}
	encoded := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(encoded[17:], crc32.Checksum(encoded[21:], crc32.MakeTable(crc32.Castagnoli)))
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Records = encoded
	topic := kmsg.NewProduceRequestTopic()
	topics, err := b.adm.ListTopics(b.t.Context(), "in")
	require.NoError(b.t, err)
	topic.Topic, topic.TopicID, topic.Partitions = "in", topics["in"].ID, append(topic.Partitions, partition)
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis, req.Topics = -1, 1000, append(req.Topics, topic)
	resp, err := req.RequestWith(b.t.Context(), b.cl)
	require.NoError(b.t, err)
	require.Zero(b.t, resp.Topics[0].Partitions[0].ErrorCode)
}

// A record is handed out with the millisecond that it has in the log, and one that the client would write as another one is refused by name before anything
// is produced.
func TestTimestampsOfTheInput(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stamps := []int64{1_764_500_000_000_000, -1, 0, 9_223_372_036_855, 1_764_500_000_000}
	for _, ms := range stamps {
		b.writeAt(ms, "x")
	}
	s := b.open(b.config())
	batch, err := s.Poll(t.Context())
	require.NoError(t, err)
	var got []int64
	for _, r := range batch.Records {
		got = append(got, r.Timestamp.UnixMilli())
	}
	require.Equal(t, stamps, got)
	for _, i := range []int{0, 3} {
		out := &kgo.Record{Topic: "out", Timestamp: batch.Records[i].Timestamp}
		require.Error(t, s.CheckOutput(out.Topic, out.Timestamp))
		err := s.Commit(t.Context(), batch, slices.Values([]*kgo.Record{out}))
		var rejected *eos.RejectedError
		require.ErrorAs(t, err, &rejected)
		require.Same(t, out, rejected.Record)
		var stamp *eos.TimestampError
		require.ErrorAs(t, err, &stamp)
		require.Equal(t, stamps[i], stamp.Timestamp.UnixMilli())
		batch, err = s.Poll(t.Context())
		require.NoError(t, err)
	}
	var outs []*kgo.Record
	for _, i := range []int{1, 2, 4} {
		outs = append(outs, &kgo.Record{Topic: "out", Timestamp: batch.Records[i].Timestamp})
	}
	require.NoError(t, s.Commit(t.Context(), batch, slices.Values(outs)))
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.ListenAddrs()...), kgo.ConsumeTopics("out"))
	require.NoError(t, err)
	defer cl.Close()
	written := map[int64]bool{}
	for len(written) < 3 {
		for _, r := range cl.PollFetches(t.Context()).Records() {
			written[r.Timestamp.UnixMilli()] = true
		}
	}
	require.Equal(t, map[int64]bool{-1: true, 0: true, 1_764_500_000_000: true}, written)
}

// Records for a topic of Placed go to the partition that they say, with a key or without; one that is not there is an error of the record, which is named.
// A partition that was added just before is there.
func TestPlaced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.produce(30)
	cfg := b.config()
	cfg.Placed = []string{"out"}
	s := b.open(cfg)
	send := func(r *kgo.Record) error {
		batch, err := s.Poll(t.Context())
		require.NoError(t, err)
		return s.Commit(t.Context(), batch, records(r))
	}
	for _, partition := range []int32{5, -1, 3} {
		bad := &kgo.Record{Topic: "out", Partition: partition, Key: []byte("a")}
		err := send(bad)
		var rejected *eos.RejectedError
		require.ErrorAs(t, err, &rejected)
		require.Same(t, bad, rejected.Record)
		var d *eos.DestinationError
		require.ErrorAs(t, err, &d)
		require.Equal(t, partition, d.Partition)
		require.ErrorContains(t, err, "it has 3")
	}
	var outs []*kgo.Record
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		outs = append(outs, &kgo.Record{Topic: "out", Partition: 2, Key: []byte(key)}, &kgo.Record{Topic: "out", Partition: 1})
	}
	batch, err := s.Poll(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), batch, slices.Values(outs)))
	for i, r := range outs {
		require.EqualValues(t, 2-i%2, r.Partition)
	}

	_, err = b.adm.UpdatePartitions(t.Context(), 5, "out")
	require.NoError(t, err)
	b.produce(30)
	added := func() *kgo.Record { return &kgo.Record{Topic: "out", Partition: 4, Key: []byte("a")} }
	require.Eventually(t, func() bool {
		err := send(added())
		require.True(t, err == nil || nextOf(err) == eos.PollAgain, "%v", err)
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
}

func records(rs ...*kgo.Record) iter.Seq[*kgo.Record] { return slices.Values(rs) }

// Before transaction.version 2 a topic that cannot be added to the transaction fails the records for all topics. The record that names that topic is to blame, in
// whichever order the client tells of them.
func TestTopicThatCannotBeAdded(t *testing.T) {
	t.Parallel()
	b := setup(t, kfake.MaxVersions(kversion.V3_9_0()), kfake.SeedTopics(1, "a", "z"))
	b.produce(3)
	tap := wiretap.New()
	t.Cleanup(tap.Close)
	cfg := b.config()
	cfg.Client = []kgo.Opt{kgo.Dialer(tap.Dial)}
	s := b.open(cfg)
	rule := tap.Add(wiretap.Rule{API: kmsg.AddPartitionsToTxn, Action: wiretap.RewriteError, ErrorCode: kerr.TopicAuthorizationFailed.Code, Count: wiretap.Always})
	for _, topic := range []string{"a", "z"} {
		batch, err := s.Poll(t.Context())
		require.NoError(t, err)
		err = s.Commit(t.Context(), batch, records(&kgo.Record{Topic: "out", Partition: 1}, &kgo.Record{Topic: topic}, &kgo.Record{Topic: "out", Partition: 2}))
		var d *eos.DestinationError
		require.ErrorAs(t, err, &d)
		require.Equal(t, topic, d.Topic)
		require.ErrorIs(t, err, kerr.TopicAuthorizationFailed)
	}
	require.Positive(t, rule.Hits())
}
