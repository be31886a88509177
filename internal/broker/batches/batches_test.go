package batches_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/eos-pipe/eos-pipe/internal/broker/batches"
)

// logOf writes to a kfake partition with the client's options, and returns its raw log.
func logOf(t *testing.T, write func(*kgo.Client), opts ...kgo.Opt) []byte {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	require.NoError(t, err)
	defer c.Close()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.ListenAddrs()...), kgo.DefaultProduceTopic("t"), kgo.ProducerLinger(50*time.Millisecond))...)
	require.NoError(t, err)
	defer cl.Close()
	write(cl)
	p := kmsg.NewFetchRequestTopicPartition()
	p.PartitionMaxBytes = 1 << 20
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.Partitions = "t", append(topic.Partitions, p)
	info := c.TopicInfo("t")
	topic.TopicID = info.TopicID
	req := kmsg.NewPtrFetchRequest()
	req.SessionEpoch, req.MaxBytes, req.MaxWaitMillis, req.Topics = -1, 1<<20, 100, append(req.Topics, topic)
	resp, err := cl.Broker(0).Request(t.Context(), req)
	require.NoError(t, err)
	return resp.(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches
}

func parse(t *testing.T, raw []byte) []batches.Batch {
	t.Helper()
	var all []batches.Batch
	for b, err := range batches.All(raw) {
		require.NoError(t, err)
		all = append(all, b)
	}
	return all
}

func produce(t *testing.T, cl *kgo.Client, rs ...*kgo.Record) {
	require.NoError(t, cl.ProduceSync(t.Context(), rs...).FirstErr())
}

func record(key, value string, headers ...kgo.RecordHeader) *kgo.Record {
	return &kgo.Record{Key: []byte(key), Value: []byte(value), Headers: headers}
}

// Every codec gives the same digest for the same records, whenever and by whomever they are written; and another for others.
func TestDigest(t *testing.T) {
	t.Parallel()
	var digests []uint64
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		raw := logOf(t, func(cl *kgo.Client) {
			for n := range 2 {
				same := kgo.RecordHeader{Key: "h", Value: []byte("v")}
				a, b := record("a", "1"), record("b", string(bytes.Repeat([]byte("x"), 1000)), same)
				a.Timestamp = time.UnixMilli(int64(1000 * n))
				produce(t, cl, a, b)
			}
		}, kgo.ProducerBatchCompression(codec))
		all := parse(t, raw)
		require.Len(t, all, 2)
		for _, b := range all {
			digest, err := batches.NewDigester().Digest(&b)
			require.NoError(t, err)
			digests = append(digests, digest)
		}
	}
	require.NotZero(t, digests[0])
	require.Len(t, slices.Compact(digests), 1)

	others := parse(t, logOf(t, func(cl *kgo.Client) {
		for _, r := range []*kgo.Record{record("a", "1"), record("a1", ""), record("", "a1"), {Value: []byte("a1")}, {Key: []byte("a1")}, record("a", "1", kgo.RecordHeader{Key: "h"})} {
			produce(t, cl, r)
		}
	}))
	seen := map[uint64]bool{}
	for _, b := range others {
		digest, err := batches.NewDigester().Digest(&b)
		require.NoError(t, err)
		require.False(t, seen[digest], "offset %d", b.BaseOffset)
		seen[digest] = true
	}
	require.Len(t, seen, 6)
}

// A transaction shows in its batches and in its marker.
func TestTransaction(t *testing.T) {
	t.Parallel()
	all := parse(t, logOf(t, func(cl *kgo.Client) {
		for _, commit := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
			require.NoError(t, cl.BeginTransaction())
			produce(t, cl, record("", "1"), record("", "2"))
			produce(t, cl, record("", "3"))
			require.NoError(t, cl.EndTransaction(t.Context(), commit))
		}
	}, kgo.TransactionalID("x")))
	require.Len(t, all, 6)
	first, second, marker := all[0], all[1], all[2]
	require.Equal(t, []any{int64(0), int64(1), int32(2), int32(0), true, false}, []any{first.BaseOffset, first.LastOffset, first.Count(), first.BaseSequence, first.Transactional, first.Control})
	require.Equal(t, []any{int64(2), int32(2), first.ProducerID, first.Epoch}, []any{second.BaseOffset, second.BaseSequence, second.ProducerID, second.Epoch})
	require.True(t, marker.Control)
	m, err := marker.Marker()
	require.NoError(t, err)
	require.False(t, m.Commit)
	m, err = all[5].Marker()
	require.NoError(t, err)
	require.True(t, m.Commit)
	_, err = first.Marker()
	require.ErrorIs(t, err, batches.ErrNoMarker)
	digest, err := batches.NewDigester().Digest(&marker)
	require.NoError(t, err)
	require.Zero(t, digest)
}

// plain is a batch of one record, without a producer.
func plain() []byte {
	encoded := (&kmsg.RecordBatch{
		Length: 49 + 8, Magic: 2, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1,
		Records: []byte{14, 0, 0, 0, 1, 2, 'x', 0},
	}).AppendTo(nil)
	return seal(encoded)
}

func seal(encoded []byte) []byte {
	binary.BigEndian.PutUint32(encoded[17:], crc32.Checksum(encoded[21:], crc32.MakeTable(crc32.Castagnoli)))
	return encoded
}

// What is cut off at the end of a fetch is left out; what is damaged, or older than producers, is an error that says where.
func TestDamaged(t *testing.T) {
	t.Parallel()
	whole := append(plain(), plain()...)
	for n := range len(whole) {
		require.Len(t, parse(t, whole[:n]), n/len(plain()), n)
	}
	for _, c := range []struct {
		name string
		at   int
		seal bool
		says string
	}{
		{"its record", 66, false, "checksum does not fit"},
		{"its format", 16, true, "message format"},
		{"its last offset", 23, true, "ends before it begins"},
		{"its length", 8, true, "less than its header"},
	} {
		raw := plain()
		raw[c.at] ^= 0x80
		if c.name == "its format" {
			raw[c.at] = 1
		}
		if c.seal {
			seal(raw)
		}
		var err error
		for _, err = range batches.All(raw) {
			continue
		}
		require.ErrorContains(t, err, c.says, c.name)
		require.ErrorContains(t, err, "at offset 0")
	}
	bad := plain()
	bad[61] = 0x7f // the record says that it is longer than the batch
	all := parse(t, seal(bad))
	_, err := batches.NewDigester().Digest(&all[0])
	require.ErrorContains(t, err, "a record cannot be read")
	control := plain()
	control[22] |= 0x20
	all = parse(t, seal(control))
	_, err = all[0].Marker()
	require.ErrorContains(t, err, "the marker at offset 0 cannot be read")
}

// No bytes make it panic.
func TestAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := plain()
		for range rapid.IntRange(0, 8).Draw(t, "changes") {
			raw[rapid.IntRange(0, len(raw)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		if rapid.Bool().Draw(t, "sealed") {
			seal(raw)
		}
		for b, err := range batches.All(raw) {
			if err == nil {
				_, _ = batches.NewDigester().Digest(&b)
				_, _ = b.Marker()
			}
		}
	})
}
