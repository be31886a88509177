package integration

import (
	be "encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// littleMemory is what a process may take at its highest, in MiB, and the limit that a container of this size sets for Go's part of it.
const (
	littleMemory = 256
	goMemory     = "230MiB"
)

// load is one kind of input that is more than there is memory.
type load struct {
	name       string
	partitions int32
	limit      string // max.message.bytes of the input
	records    int
	batch      int // records of one batch of the producer
	size       int // of a value
	codecs     []kgo.CompressionCodec
	value      func(rng *rand.Rand, size int) []byte
	flags      []string
	outputs    int // of each record
	headers    int // of each record, all of them empty
	slow       time.Duration
}

var zeros = func(_ *rand.Rand, size int) []byte { return make([]byte, size) }

var noise = func(rng *rand.Rand, size int) []byte {
	value := make([]byte, size)
	for i := 0; i+8 <= size; i += 8 {
		be.LittleEndian.PutUint64(value[i:], rng.Uint64())
	}
	return value
}

var text = func(_ *rand.Rand, size int) []byte {
	return fmt.Appendf(nil, `{"text":%q}`, strings.Repeat("x", size))
}

var everyCodec = []kgo.CompressionCodec{kgo.ZstdCompression(), kgo.GzipCompression(), kgo.Lz4Compression(), kgo.SnappyCompression()}

var loads = []load{
	{name: "tiny records", partitions: 6, records: 800_000, size: 0, value: noise},
	{name: "tiny records in lanes", partitions: 6, records: 400_000, size: 0, value: noise, flags: []string{"--lanes", "4"}},
	{name: "records of nearly 1 MB", partitions: 6, records: 300, size: 990_000, value: noise, flags: []string{"--lanes", "2"}},
	{
		name: "bombs", partitions: 4, limit: "10000000", records: 16 * 600, batch: 600, size: 100_000, codecs: everyCodec, value: zeros,
		flags: []string{"--lanes", "2"},
	},
	{
		name: "1 to 1000", partitions: 6, records: 100, size: 2500, value: text, outputs: 1000,
		flags: []string{"--map", `. as $r | range(1000) as $i | $r | .value.i = $i`},
	},
	{
		name: "headers", partitions: 4, limit: "10000000", records: 16 * 100, batch: 100, size: 100, codecs: everyCodec, value: zeros, headers: 10_000,
		flags: []string{"--lanes", "2"},
	},
	{name: "headers as they are", partitions: 6, records: 600, size: 100, value: noise, headers: 100_000},
	{name: "a slow sink", partitions: 6, records: 60_000, size: 5000, value: noise, slow: 100 * time.Millisecond},
	{name: "200 partitions", partitions: 200, records: 150_000, size: 2000, value: noise},
}

// A process that may take 256 MiB copies what is much more, whatever it is: many records, large ones, batches of kilobytes that hold 60 MB,
// records with
// thousands of headers that take no bytes, records of which each becomes a thousand, more partitions than there is room to fetch of, and faster than the sink takes it.
func TestFaultLittleMemory(t *testing.T) {
	t.Setenv("GOMEMLIMIT", goMemory)
	for _, l := range loads {
		t.Run(l.name, func(t *testing.T) {
			p := newPipe(t, kafkatest.Shared(t), shape{from: []int32{1}, to: []int32{6}}, append(l.flags, "--until-end")...)
			l.fill(p)
			began := time.Now()
			pr := l.start(p)
			peak := pr.peakMemory(t)
			require.Zero(t, pr.wait(time.Second), "%q", pr.said())
			t.Logf("%v, at its highest %d MiB: %v", time.Since(began).Round(time.Millisecond), peak, pr.result())
			l.requireCopied(p)
			require.LessOrEqual(t, peak, littleMemory, "MiB at the highest")
		})
	}
}

func (l load) start(p *pipe) *process {
	if l.slow == 0 {
		return p.start("a")
	}
	tap := tapFor(p.t)
	tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.DelayReply, Delay: l.slow, Count: wiretap.Always})
	return p.startBehind(p.proxied(tap.Dial), "a")
}

// fill writes the input into a topic of its own. The key of a record is its number.
func (l load) fill(p *pipe) {
	t := p.t
	p.from[0] = kafkatest.Name(t, "load")
	var configs []string
	if l.limit != "" {
		configs = append(configs, "max.message.bytes="+l.limit)
	}
	p.cluster.CreateTopic(t, p.from[0], l.partitions, configs...)
	rng := seeded(t)
	headers := make([]kgo.RecordHeader, l.headers)
	codecs := l.codecs
	if codecs == nil {
		codecs = []kgo.CompressionCodec{kgo.NoCompression()}
	}
	for c, codec := range codecs {
		opts := []kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec), kgo.MaxBufferedRecords(200_000), kgo.DefaultProduceTopic(p.from[0])}
		if l.batch > 0 {
			opts = append(opts, kgo.ManualFlushing(), kgo.ProducerBatchMaxBytes(80<<20), kgo.BrokerMaxWriteBytes(100<<20))
		}
		cl := p.cluster.Client(t, opts...)
		failed := make(chan error, 1)
		for n := c; n < l.records; n++ {
			if l.batch > 0 && n/l.batch%len(codecs) != c {
				continue
			}
			at := n
			if l.batch > 0 {
				at = n / l.batch
			}
			key := be.BigEndian.AppendUint32(nil, uint32(n))
			r := &kgo.Record{Key: key, Value: l.value(rng, l.size), Partition: int32(at) % l.partitions, Headers: headers}
			cl.Produce(t.Context(), r, func(_ *kgo.Record, err error) {
				if err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			})
			if l.batch > 0 && (n+1)%l.batch == 0 {
				require.NoError(t, cl.Flush(t.Context()))
			}
		}
		require.NoError(t, cl.Flush(t.Context()))
		require.Empty(t, failed)
		cl.Close()
	}
}

// requireCopied requires that each record is in the output as often as it is to be, with its size, and that all of the input is committed.
func (l load) requireCopied(p *pipe) {
	t := p.t
	p.requireNothingOpen()
	ends, err := p.listed(t.Context(), p.adm.ListCommittedOffsets, p.from)
	require.NoError(t, err)
	stable, err := p.stable(t.Context())
	require.NoError(t, err)
	require.Equal(t, ends.String(), stable.String(), "where the input ends, and what the group has committed")
	ends, err = p.listed(t.Context(), p.adm.ListCommittedOffsets, p.to)
	require.NoError(t, err)
	cl := p.cluster.Client(t, kgo.ConsumeTopics(p.to[0]), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.FetchMaxBytes(256<<10), kgo.FetchMaxPartitionBytes(256<<10))
	seen := make([]int, l.records)
	for left := len(ends); left > 0; {
		fetches := cl.PollFetches(t.Context())
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			for at, end := range ends {
				if at.Number == r.Partition && r.Offset+1 == end.Offset {
					left--
				}
			}
			if !r.Attrs.IsControl() {
				seen[be.BigEndian.Uint32(r.Key)]++
				require.GreaterOrEqual(t, len(r.Value), l.size)
			}
		})
	}
	for n, times := range seen {
		require.Equal(t, max(l.outputs, 1), times, "record %d", n)
	}
}

// peakMemory returns what the process has taken at its highest, in MiB, when it has ended.
func (pr *process) peakMemory(t *testing.T) (peak int) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	end := time.After(5 * time.Minute)
	for {
		select {
		case <-pr.exited:
			return peak
		case <-end:
			require.FailNow(t, "the process does not end")
		case <-again.C:
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pr.cmd.Process.Pid))
			if err != nil {
				continue // it is gone
			}
			_, line, _ := strings.Cut(string(status), "VmHWM:")
			if fields := strings.Fields(line); len(fields) > 0 {
				kib, err := strconv.Atoi(fields[0])
				require.NoError(t, err)
				peak = max(peak, kib>>10)
			}
		}
	}
}
