package pipe

import (
	bigendian "encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/integration/internal/guard"
	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// This file is about single records that a pipe cannot put where, or as, they say.

// keep is for topics of old records: retention goes by their timestamps.
const keep = "retention.ms=-1"

// newOldPipe is a pipe between topics of so many partitions each, which keep old records, and a topic of dead letters.
func newOldPipe(t *testing.T, partitions int32, dead ...string) (p *proc.Pipe, deadTopic string) {
	t.Helper()
	p = proc.New(t, kafkatest.Shared(t), proc.Shape{}, "--until-end")
	p.From, p.To, deadTopic = []string{kafkatest.Name(t, "in")}, []string{kafkatest.Name(t, "out")}, kafkatest.Name(t, "dead")
	p.Cluster.CreateTopic(t, p.From[0], partitions, keep, "message.timestamp.after.max.ms=9223372036854775807")
	p.Cluster.CreateTopic(t, p.To[0], partitions, keep)
	p.Cluster.CreateTopic(t, deadTopic, 1, append([]string{keep}, dead...)...)
	return p, deadTopic
}

// oneRecordBatch is a batch of one record with any timestamp: the client cannot make it.
func oneRecordBatch(ms int64, value string) []byte {
	r := kmsg.Record{Value: []byte(value)}
	r.Length = int32(len(r.AppendTo(nil)) - 1)
	records := r.AppendTo(nil)
	batch := kmsg.RecordBatch{
		Length: int32(49 + len(records)), Magic: 2, FirstTimestamp: ms, MaxTimestamp: ms, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: 1, Records: records,
	}
	encoded := batch.AppendTo(nil)
	bigendian.BigEndian.PutUint32(encoded[17:], crc32.Checksum(encoded[21:], crc32.MakeTable(crc32.Castagnoli)))
	return encoded
}

// writeRaw appends a batch to partition 0 of topic.
func writeRaw(t *testing.T, cluster *kafkatest.Cluster, topic string, batch []byte) {
	t.Helper()
	cl := cluster.Client(t)
	known, err := kadm.NewClient(cl).ListTopics(t.Context(), topic)
	require.NoError(t, err)
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Records = batch
	one := kmsg.NewProduceRequestTopic()
	one.Topic, one.TopicID, one.Partitions = topic, known[topic].ID, append(one.Partitions, partition)
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis, req.Topics = -1, 5000, append(req.Topics, one)
	resp, err := req.RequestWith(t.Context(), cl)
	require.NoError(t, err)
	require.Zero(t, resp.Topics[0].Partitions[0].ErrorCode)
}

// readTopic returns the n committed records of a topic, those of a partition in their order.
func readTopic(t *testing.T, cluster *kafkatest.Cluster, topic string, n int) (got []*kgo.Record) {
	t.Helper()
	cl := cluster.Client(t, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for len(got) < n {
		fetches := cl.PollFetches(t.Context())
		require.NoError(t, fetches.Err())
		got = append(got, fetches.Records()...)
	}
	require.Len(t, got, n)
	return got
}

// timesOf are the timestamps of records by their values, in ms.
func timesOf(records []*kgo.Record) map[string]int64 {
	times := map[string]int64{}
	for _, r := range records {
		times[string(r.Value)] = r.Timestamp.UnixMilli()
	}
	return times
}

// A topic that data chose, and to which no record can go on this cluster, is an error of the record, by policy: a name that cannot be, an internal topic, one that does
// not exist. The other records come over, and the pipe is not held up by the same records again.
func TestDestinationsOfData(t *testing.T) {
	t.Parallel()
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{1}, To: []int32{1}}, "--until-end")
	dead := kafkatest.Name(t, "dead")
	p.Cluster.CreateTopic(t, dead, 1)
	p.Mapping = ".topic = .value.t"
	bad := map[string]string{"bad name!": "no topic can have that name", "__consumer_offsets": "INVALID_TOPIC_EXCEPTION", kafkatest.Name(t, "nowhere"): "does not exist"}
	producer := p.Cluster.Client(t)
	write := func(to string) {
		t.Helper()
		r := &kgo.Record{Topic: p.From[0], Value: fmt.Appendf(nil, `{"t":%q}`, to)}
		require.NoError(t, producer.ProduceSync(t.Context(), r).FirstErr())
	}
	write(p.To[0])
	for to := range bad {
		write(to)
		write(to)
	}
	write(p.To[0])
	pr := p.Start("a", "--on-error", "dead-letter", "--dead-letter-topic", dead)
	require.Zero(t, pr.Wait(time.Minute), "%q", pr.Said())
	require.Len(t, readTopic(t, p.Cluster, p.To[0], 2), 2)
	for _, r := range readTopic(t, p.Cluster, dead, 2*len(bad)) {
		info, ok := processor.DeadLetterOf(r.Headers)
		require.True(t, ok)
		require.Equal(t, "produce", info.Class)
		to := strings.TrimSuffix(strings.TrimPrefix(string(r.Value), `{"t":"`), `"}`)
		require.Contains(t, info.Message, bad[to])
	}
	for to, why := range bad {
		write(to)
		stopped := p.Start("a")
		stopped.Doomed = true
		require.Equal(t, 4, stopped.Wait(time.Minute), "%q", stopped.Said())
		stopped.RequireSaid(4, why, "produce record "+p.From[0]+"-0@")
		skipped := p.Start("a", "--on-error", "skip")
		require.Zero(t, skipped.Wait(time.Minute), "%q", skipped.Said())
		require.EqualValues(t, 1, skipped.Result().Skipped)
	}
}

// A user who may not write to the topic that a record names, and who may to the pipe's own, loses this record to the policy and no other.
func TestDestinationNotAuthorized(t *testing.T) {
	g := guard.NewScram(t, 0)
	g.Grant(g.ACLs()...)
	closed := kafkatest.Name(t, "closed")
	g.Cluster.CreateTopic(t, closed, 1)
	g.Write(30)
	mapping := fmt.Sprintf(`{topic: (if .offset == 3 then %q else "" end)}`, closed)
	pr := g.Run("stopped", "--map", mapping, "--until-end")
	pr.Doomed = true
	require.Equal(t, 4, pr.Wait(time.Minute), "%q", pr.Said())
	pr.RequireSaid(4, "produce record "+g.In, "TOPIC_AUTHORIZATION_FAILED", closed)
	describe(g, closed) // it may see the topic now
	pr = g.Run("seeing", "--map", mapping, "--until-end")
	pr.Doomed = true
	require.Equal(t, 4, pr.Wait(time.Minute), "%q", pr.Said())
	pr.RequireSaid(4, "produce record "+g.In, "TOPIC_AUTHORIZATION_FAILED", closed)
	pr = g.Run("skipping", "--map", mapping, "--until-end", "--on-error", "skip")
	require.Zero(t, pr.Wait(time.Minute), "%q", pr.Said())
	require.Positive(t, pr.Result().Skipped)
	require.EqualValues(t, 30, pr.Result().In)
}

// Timestamps that the client would change become dead letters, whose headers have them; all others come over to the millisecond, those of records without any as -1.
func TestTimestampsOfTheInput(t *testing.T) {
	t.Parallel()
	const micros = 1_764_500_000_000_000
	p, dead := newOldPipe(t, 1)
	want := map[string]int64{"0": 0, "-1": -1, "1": 1, fmt.Sprint(int64(1_764_500_000_000)): 1_764_500_000_000}
	for value, ms := range want {
		writeRaw(t, p.Cluster, p.From[0], oneRecordBatch(ms, value))
	}
	writeRaw(t, p.Cluster, p.From[0], oneRecordBatch(micros, "2"))
	p.Mapping = "if .timestamp < -1 then error else . end"
	pr := p.Start("a")
	pr.Doomed = true
	require.Equal(t, 4, pr.Wait(time.Minute))
	pr.RequireSaid(4, fmt.Sprint("produce record ", p.From[0], "-0@4"), fmt.Sprint("its timestamp ", micros))
	p.Mapping = ""
	policy := []string{"--on-error", "dead-letter", "--dead-letter-topic", dead}
	pr = p.Start("a", policy...)
	require.Zero(t, pr.Wait(time.Minute), "%q", pr.Said())
	require.Equal(t, want, timesOf(readTopic(t, p.Cluster, p.To[0], len(want))))
	letter := readTopic(t, p.Cluster, dead, 1)[0]
	info, ok := processor.DeadLetterOf(letter.Headers)
	require.True(t, ok)
	require.EqualValues(t, micros, info.Timestamp.UnixMilli())
	require.WithinDuration(t, time.Now(), letter.Timestamp, time.Minute)
	code, got := p.Verify(policy...)
	require.Zero(t, code, "%+v", got)

	replay := p.Spawn("replay", []string{"dlq", "replay", "-b", strings.Join(p.Cluster.Bootstrap(), ","), "--from", dead, "--to", p.From[0]})
	replay.Doomed = true
	require.Equal(t, 4, replay.Wait(time.Minute), "it would come back with another timestamp")
	replay.RequireSaid(4, fmt.Sprint("its timestamp ", micros))
}

// dlq replay puts records with keys back into the partition that they were in, wherever the keys would go, and with the timestamps that they had, also where the
// topic of dead letters has LogAppendTime. A dead letter whose partition is not there stops it, and is named.
func TestReplayPutsBackWhereItWas(t *testing.T) {
	t.Parallel()
	p, dead := newOldPipe(t, 6, "message.timestamp.type=LogAppendTime")
	producer := p.Cluster.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	keys := []string{"a", "b", "c", "d", "e", "f"}
	for i, key := range keys {
		r := &kgo.Record{Topic: p.From[0], Partition: 3, Key: []byte(key), Value: []byte("{"), Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i))}
		require.NoError(t, producer.ProduceSync(t.Context(), r).FirstErr())
	}
	p.Mapping = ".value.x = 1"
	pr := p.Start("a", "--on-error", "dead-letter", "--dead-letter-topic", dead)
	require.Zero(t, pr.Wait(time.Minute), "%q", pr.Said())
	letters := readTopic(t, p.Cluster, dead, len(keys))
	require.WithinDuration(t, time.Now(), letters[0].Timestamp, time.Minute)
	replay := func(topic string) *proc.Process {
		return p.Spawn("replay", []string{"dlq", "replay", "-b", strings.Join(p.Cluster.Bootstrap(), ","), "--from", topic, "--to", p.From[0], "--json"})
	}
	back := replay(dead)
	require.Zero(t, back.Wait(time.Minute), "%q", back.Said())
	for i, r := range readTopic(t, p.Cluster, p.From[0], 2*len(keys)) {
		at := i % len(keys)
		require.Equal(t, []any{int32(3), keys[at], int64(1_700_000_000_000 + at)}, []any{r.Partition, string(r.Key), r.Timestamp.UnixMilli()})
	}
	for _, partition := range []string{"6", "4294967297", "-1"} {
		letter := letters[0]
		at := slices.IndexFunc(letter.Headers, func(h kgo.RecordHeader) bool { return h.Key == processor.DeadLetterPartitionHeader })
		headers := slices.Clone(letter.Headers)
		headers[at].Value = []byte(partition)
		topic := kafkatest.Name(t, "wrong")
		p.Cluster.CreateTopic(t, topic, 1)
		require.NoError(t, producer.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: letter.Key, Value: letter.Value, Headers: headers}).FirstErr())
		wrong := replay(topic)
		wrong.Doomed = true
		require.Equal(t, 4, wrong.Wait(time.Minute), "%q", wrong.Said())
		wrong.RequireSaid(4, offsets.Partition{Topic: topic}.String()+"@0")
	}
}

// describe lets the user see a topic, and no more.
func describe(g *guard.Broker, topic string) {
	g.T.Helper()
	acl := kadm.NewACLs().Allow("User:" + guard.User).AllowHosts("*").Operations(kadm.OpDescribe).ResourcePatternType(kadm.ACLPatternLiteral).Topics(topic)
	results, err := g.Adm.CreateACLs(g.T.Context(), acl)
	require.NoError(g.T, err)
	for _, r := range results {
		require.NoError(g.T, r.Err)
	}
}
