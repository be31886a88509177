package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// client is a Kafka client of another make; docker/neighbours/README.md tells how its program is spoken to.
type client struct {
	name    string
	command func(t *testing.T) []string
	place   func(key []byte) int32 // its default partitioner, of keys that are not empty
	random  bool                   // an empty key is none to it, and goes anywhere
	needs   bool                   // it writes no record that has neither key nor value
}

// partitions is how many the topics have: no power of two, since there more partitioners agree.
const partitions = 12

func java(t *testing.T) []string {
	return []string{"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-cp", provided(t, "java") + "/*", filepath.Join(neighbours, "java", "Client.java")}
}

func python(library string) func(t *testing.T) []string {
	return func(t *testing.T) []string {
		return []string{provided(t, "python"), filepath.Join(neighbours, "python", "client.py"), library}
	}
}

func golang(name string) func(t *testing.T) []string {
	return func(t *testing.T) []string { return []string{filepath.Join(provided(t, "go"), name)} }
}

func murmur2(key []byte) int32 {
	return int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: key}, partitions))
}

func crc(key []byte) int32 { return int32(crc32.ChecksumIEEE(key) % partitions) }

func fnv1a(key []byte) int32 {
	h := fnv.New32a()
	h.Write(key)
	at := int32(h.Sum32()) % partitions
	return max(at, -at)
}

// entry is a record as the programs read and write it.
type entry struct {
	Partition int32   `json:"partition"` // -1: the client's partitioner chooses
	Offset    int64   `json:"offset,omitempty"`
	Timestamp int64   `json:"timestamp"`
	Key       []byte  `json:"key"`
	Value     []byte  `json:"value"`
	Headers   [][]any `json:"headers"` // of a name and a value, or none

	Committed map[int32]int64 `json:"committed,omitempty"` // in a reader's last line
}

// String shows all of it; none is not the same as empty.
func (e entry) String() string {
	text := func(data []byte) string {
		if data == nil {
			return "none"
		}
		return strconv.Quote(string(data))
	}
	return fmt.Sprintf("%d@%d of %d: key %s, headers %v, value %s", e.Partition, e.Offset, e.Timestamp, text(e.Key), e.Headers, text(e.Value))
}

// header is a header as it stands in an entry.
func header(name string, value []byte) []any {
	if value == nil {
		return []any{name, nil}
	}
	text, _ := json.Marshal(value) // of bytes, which always can be
	return []any{name, strings.Trim(string(text), `"`)}
}

func entryOf(r *kgo.Record) entry {
	e := entry{Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value, Headers: [][]any{}}
	for _, h := range r.Headers {
		e.Headers = append(e.Headers, header(h.Key, h.Value))
	}
	return e
}

// end is a line that ends a transaction, or lets a writer without one wait for its records.
type end struct {
	End string `json:"end"`
}

// run runs a client's program to its end and returns what it says, a line each.
func (c client) run(t *testing.T, stdin io.Reader, args ...string) (said []entry) {
	t.Helper()
	args = append(c.command(t), args...)
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Stdin, cmd.Stderr = stdin, &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s: %s", strings.Join(args, " "), stderr.String())
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var e entry
		require.NoError(t, json.Unmarshal(lines.Bytes(), &e), "%s", lines.Text())
		said = append(said, e)
	}
	return said
}

// logEnds returns how many offsets each partition has, when no transaction is open there: markers follow the answer to the end of one.
func logEnds(t *testing.T, cluster *kafkatest.Cluster, topic string) map[int32]int64 {
	t.Helper()
	adm := cluster.Admin(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		stable, err := adm.ListCommittedOffsets(ctx, topic)
		require.NoError(t, errors.Join(err, stable.Error()))
		listed, err := adm.ListEndOffsets(ctx, topic)
		require.NoError(t, errors.Join(err, listed.Error()))
		ends, open := map[int32]int64{}, false
		for _, at := range listed[topic] {
			ends[at.Partition] = at.Offset
			open = open || stable[topic][at.Partition].Offset < at.Offset
		}
		if !open {
			return ends
		}
		select {
		case <-ctx.Done():
			require.FailNow(t, "a transaction stays open")
		case <-again.C:
		}
	}
}

// readCommitted returns what a reader of committed records gets, by partition and in order. Markers show how far it has come.
func readCommitted(t *testing.T, cluster *kafkatest.Cluster, topic string) map[int32][]*kgo.Record {
	t.Helper()
	left := logEnds(t, cluster, topic)
	maps.DeleteFunc(left, func(_ int32, end int64) bool { return end == 0 })
	cl := cluster.Client(t, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	records := map[int32][]*kgo.Record{}
	for len(left) > 0 {
		fetches := cl.PollFetches(t.Context())
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 == left[r.Partition] {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				records[r.Partition] = append(records[r.Partition], r)
			}
		})
	}
	return records
}

// copyByPipe builds eos-pipe and lets it copy a topic to its end.
func copyByPipe(t *testing.T, cluster *kafkatest.Cluster, from, to string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "eos-pipe")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/eos-pipe/eos-pipe/cmd/eos-pipe").CombinedOutput()
	require.NoError(t, err, "%s", out)
	out, err = exec.CommandContext(t.Context(), binary, "run", "-b", strings.Join(cluster.Bootstrap(), ","), "--from", from, "--to", to,
		"--group", kafkatest.Name(t, "group"), "--until-end").CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// appendAborted ends a topic with transactions of one producer in every partition: three aborted ones, one that is committed, and one more
// that is aborted.
func appendAborted(t *testing.T, cluster *kafkatest.Cluster, topic string) (committed int) {
	t.Helper()
	cl := cluster.Client(t, kgo.TransactionalID(kafkatest.Name(t, "aborting")), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic))
	for _, commit := range []bool{false, false, false, true, false} {
		require.NoError(t, cl.BeginTransaction())
		var records []*kgo.Record
		for at := range int32(partitions) {
			records = append(records, &kgo.Record{Partition: at, Value: []byte(map[bool]string{true: "committed", false: aborted}[commit])})
		}
		require.NoError(t, cl.ProduceSync(t.Context(), records...).FirstErr())
		require.NoError(t, cl.EndTransaction(context.WithoutCancel(t.Context()), kgo.TransactionEndTry(commit)))
	}
	return partitions
}

// aborted is the value of records that no reader of committed records may see.
const aborted = "aborted"

// sorted are entries by partition and offset.
func sorted(entries []entry) []entry {
	slices.SortFunc(entries, func(a, b entry) int {
		if a.Partition != b.Partition {
			return int(a.Partition - b.Partition)
		}
		return int(a.Offset - b.Offset)
	})
	return entries
}
