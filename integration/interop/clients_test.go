package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// writers are the clients that write the input, each with the partitioner that it has by default.
var writers = []client{
	{name: "java", command: java, place: murmur2},
	{name: "confluent", command: python("confluent"), place: crc, random: true},
	{name: "aiokafka", command: python("aiokafka"), place: murmur2, needs: true},
	{name: "sarama", command: golang("sarama"), place: fnv1a},
}

// readers are clients that leave out what is not committed, if isolation.level says so.
var readers = []client{
	{name: "java", command: java},
	{name: "confluent", command: python("confluent")},
	{name: "aiokafka", command: python("aiokafka")},
	{name: "kafka-python", command: python("kafka-python")},
}

var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"} // in the order of their numbers in a batch's attributes

// stint is what one client writes at a time.
type stint struct {
	client
	codec         string
	transactional bool
}

// stints are all clients with all codecs, with and without transactions, where EOS_TEST_INTEROP is "full" (make test-interop). The short form has
// each client once, all codecs but none, and transactions of three clients.
func stints() (all []stint) {
	if os.Getenv("EOS_TEST_INTEROP") != "full" {
		return []stint{{writers[0], "zstd", true}, {writers[1], "lz4", true}, {writers[2], "gzip", false}, {writers[3], "snappy", true}}
	}
	for _, c := range writers {
		for _, codec := range codecs {
			all = append(all, stint{c, codec, false}, stint{c, codec, true})
		}
	}
	return all
}

// The pipe's input comes from four other clients, compressed by every codec, in transactions and without: the client's default partitioner chooses as
// docs/neighbours.md says; and the output has every committed record once, with its timestamp, its key (none, empty or some), its value
// and its headers as they were; in the partition of its input, or of its key's murmur2, and in the order of its input partition. Other
// clients read the same of the output, leave out aborted transactions, and have no lag at the end.
func TestOtherClients(t *testing.T) {
	cluster := kafkatest.Shared(t)
	in, out := kafkatest.Name(t, "in"), kafkatest.Name(t, "out")
	for _, topic := range []string{in, out} {
		cluster.CreateTopic(t, topic, partitions, "retention.ms=-1")
	}
	var stamp int64 = 1_700_000_000_000 // no two records have the same
	written := 0
	for _, s := range stints() {
		ok := t.Run(fmt.Sprintf("write/%s/%s/transactional=%v", s.name, s.codec, s.transactional), func(t *testing.T) {
			written += s.write(t, cluster, in, &stamp)
		})
		require.True(t, ok, "the rest needs what it was to write")
	}
	copyByPipe(t, cluster, in, out)
	requireCopied(t, readCommitted(t, cluster, in), readCommitted(t, cluster, out), written)
	written += appendAborted(t, cluster, out)
	for _, r := range readers {
		t.Run("read/"+r.name, func(t *testing.T) { r.read(t, cluster, out, written) })
	}
	t.Run("read/segmentio", func(t *testing.T) { readsAborted(t, cluster, out) })
}

// write lets a client write two groups of records, in transactions one that it aborts between them, and compares what is in the log with what was to be
// written. It returns how many records are committed.
func (s stint) write(t *testing.T, cluster *kafkatest.Cluster, topic string, stamp *int64) int {
	const group = 24
	var sent []entry
	var stdin bytes.Buffer
	lines, id := json.NewEncoder(&stdin), ""
	ends := []string{"commit", "commit"}
	if s.transactional {
		id, ends = kafkatest.Name(t, "id"), []string{"commit", "abort", "commit"}
	}
	for g, how := range ends {
		for i := range group {
			*stamp++
			e := oddRecord(i, *stamp)
			switch {
			case how == "abort":
				e.Value = []byte(aborted)
			case s.needs && e.Key == nil && e.Value == nil:
				e.Value = []byte{}
			}
			sent = append(sent, e)
			require.NoError(t, lines.Encode(e))
		}
		require.NoError(t, lines.Encode(end{how}), "group %d", g)
	}
	said := s.run(t, &stdin, slices.DeleteFunc([]string{"write", strings.Join(cluster.Bootstrap(), ","), topic, s.codec, id}, func(a string) bool { return a == "" })...)
	require.Len(t, said, len(sent))
	committed, compressed := 0, 0
	for i, r := range s.find(t, readCommitted(t, cluster, topic), said) {
		if string(sent[i].Value) == aborted {
			require.Nil(t, r, "an aborted record is read")
			continue
		}
		require.NotNil(t, r, "%v", sent[i])
		s.requireWritten(t, sent[i], r)
		committed++
		if codecs[r.Attrs.CompressionType()] == s.codec {
			compressed++
		}
	}
	require.Positive(t, compressed, "records that are compressed by %s", s.codec) // a batch that it makes larger may go without
	return committed
}

// find returns the records that the client says that it has written, nil in place of those that are not there.
func (s stint) find(t *testing.T, log map[int32][]*kgo.Record, said []entry) (found []*kgo.Record) {
	t.Helper()
	for _, at := range said {
		i := slices.IndexFunc(log[at.Partition], func(r *kgo.Record) bool { return r.Offset == at.Offset })
		if i < 0 {
			found = append(found, nil)
			continue
		}
		found = append(found, log[at.Partition][i])
	}
	return found
}

// oddRecord makes records of twelve kinds: with and without keys and partitions, with bytes that are no text, and with headers of one name, without
// value or name.
func oddRecord(i int, stamp int64) entry {
	e := entry{Partition: -1, Timestamp: stamp, Key: fmt.Appendf(nil, "customer-%d", stamp), Value: fmt.Appendf(nil, `{"n":%d,"text":"%s"}`, stamp, strings.Repeat("again ", 20)), Headers: [][]any{}}
	switch i % 12 {
	case 1:
		e.Key = nil
	case 2:
		e.Key, e.Partition = nil, int32(i)%partitions
	case 3:
		e.Key = []byte{}
	case 4:
		e.Value = nil
	case 5:
		e.Value = []byte{}
	case 6:
		e.Key, e.Value = []byte{0, 0xff, 0xfe, byte(i)}, []byte{0xc3, 0x28, 0}
	case 7:
		e.Headers = [][]any{header("b", []byte("1")), header("a", []byte("2")), header("b", []byte("3"))}
	case 8:
		e.Headers = [][]any{header("none", nil), header("empty", []byte{}), header("", []byte{0xff, 0}), header("größe", []byte("ß"))}
	case 9:
		e.Key, e.Value, e.Headers = nil, nil, [][]any{header("only", []byte("this"))}
	case 10:
		e.Partition = int32(i) % partitions
	}
	return e
}

// requireWritten compares a record in the log with what the client was to write, and its partition with what the client's default partitioner does.
func (s stint) requireWritten(t *testing.T, sent entry, r *kgo.Record) {
	t.Helper()
	got := entryOf(r)
	switch {
	case sent.Partition >= 0:
		require.Equal(t, sent.Partition, r.Partition, "the partition that the record names")
	case sent.Key != nil && (len(sent.Key) > 0 || !s.random):
		require.Equal(t, s.place(sent.Key), r.Partition, "where %s places key %q by default", s.name, sent.Key)
	}
	got.Partition, got.Offset = sent.Partition, 0
	require.Equal(t, sent, got)
}

// requireCopied compares the input with the output: each input partition's records that belong into an output partition are there in their order.
func requireCopied(t *testing.T, in, out map[int32][]*kgo.Record, total int) {
	t.Helper()
	type way struct{ from, to int32 }
	want, got, source := map[way][]string{}, map[way][]string{}, map[int64]int32{}
	for from, records := range in {
		for _, r := range records {
			source[r.Timestamp.UnixMilli()] = from
			e := entryOf(r)
			if r.Key != nil {
				e.Partition = murmur2(r.Key)
			}
			e.Offset = 0
			want[way{from, e.Partition}] = append(want[way{from, e.Partition}], e.String())
		}
	}
	n := 0
	for to, records := range out {
		for _, r := range records {
			from, known := source[r.Timestamp.UnixMilli()]
			require.True(t, known, "a record that the input does not have: %v", entryOf(r))
			e := entryOf(r)
			e.Offset = 0
			got[way{from, to}] = append(got[way{from, to}], e.String())
			n++
		}
	}
	require.Equal(t, total, n)
	for w := range want {
		require.Equal(t, want[w], got[w], "from partition %d to partition %d", w.from, w.to)
	}
	require.Len(t, got, len(want), "ways from one partition to another")
}

// read lets a client read the topic, and compares what it gives with what is there, and its committed offsets with the ends of the logs: it has no lag
// though each ends with markers.
func (c client) read(t *testing.T, cluster *kafkatest.Cluster, topic string, total int) {
	said := c.run(t, nil, "read", strings.Join(cluster.Bootstrap(), ","), topic, kafkatest.Name(t, "reader"))
	var want []entry
	for _, records := range readCommitted(t, cluster, topic) {
		for _, r := range records {
			want = append(want, entryOf(r))
		}
	}
	require.Len(t, want, total)
	require.Equal(t, sorted(want), sorted(said[:len(said)-1]))
	require.Equal(t, logEnds(t, cluster, topic), said[len(said)-1].Committed)
}

// readsAborted shows that one client gives aborted records though it was asked for committed ones: it must not read the output.
func readsAborted(t *testing.T, cluster *kafkatest.Cluster, topic string) {
	n := 0
	for _, e := range (client{command: golang("segmentio")}).run(t, nil, "read", strings.Join(cluster.Bootstrap(), ","), topic, "none") {
		if string(e.Value) == aborted {
			n++
		}
	}
	require.Equal(t, 4*partitions, n, "aborted records that segmentio/kafka-go returns with kafka.ReadCommitted; docs/neighbours.md says that it does")
}
