package proc

import (
	be "encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// Load is one kind of input that is more than there is memory.
type Load struct {
	Name       string
	partitions int32
	limit      string // max.message.bytes of the input
	records    int
	batch      int // records of one batch of the producer
	size       int // of a value
	codecs     []kgo.CompressionCodec
	value      func(rng *rand.Rand, size int) []byte
	Flags      []string
	outputs    int // of each record
	Headers    int // of each record, all of them empty
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

// Loads are the inputs that a process with little memory must copy.
var Loads = []Load{
	{Name: "tiny records", partitions: 6, records: 800_000, size: 0, value: noise},
	{Name: "tiny records in lanes", partitions: 6, records: 400_000, size: 0, value: noise, Flags: []string{"--lanes", "4"}},
	{Name: "records of nearly 1 MB", partitions: 6, records: 300, size: 990_000, value: noise, Flags: []string{"--lanes", "2"}},
	{
		Name: "bombs", partitions: 4, limit: "10000000", records: 16 * 600, batch: 600, size: 100_000, codecs: everyCodec, value: zeros,
		Flags: []string{"--lanes", "2"},
	},
	{
		Name: "1 to 1000", partitions: 6, records: 100, size: 2500, value: text, outputs: 1000,
		Flags: []string{"--map", `. as $r | range(1000) as $i | $r | .value.i = $i`},
	},
	{
		Name: "headers", partitions: 4, limit: "10000000", records: 16 * 100, batch: 100, size: 100, codecs: everyCodec, value: zeros, Headers: 10_000,
		Flags: []string{"--lanes", "2"},
	},
	{Name: "headers as they are", partitions: 6, records: 600, size: 100, value: noise, Headers: 100_000},
	{Name: "a slow sink", partitions: 6, records: 60_000, size: 5000, value: noise, slow: 100 * time.Millisecond},
	{Name: "200 partitions", partitions: 200, records: 150_000, size: 2000, value: noise},
}

// Start starts an instance of `eos-pipe run`, behind a slow proxy where the load asks for one.
func (l Load) Start(p *Pipe) *Process {
	if l.slow == 0 {
		return p.Start("a")
	}
	tap := bench.Tap(p.T)
	tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.DelayReply, Delay: l.slow, Count: wiretap.Always})
	return p.StartBehind(p.Proxied(tap.Dial), "a")
}

// Fill writes the input into a topic of its own. The key of a record is its number.
func (l Load) Fill(p *Pipe) {
	t := p.T
	p.From[0] = kafkatest.Name(t, "load")
	var configs []string
	if l.limit != "" {
		configs = append(configs, "max.message.bytes="+l.limit)
	}
	p.Cluster.CreateTopic(t, p.From[0], l.partitions, configs...)
	rng := bench.Seeded(t)
	headers := make([]kgo.RecordHeader, l.Headers)
	codecs := l.codecs
	if codecs == nil {
		codecs = []kgo.CompressionCodec{kgo.NoCompression()}
	}
	for c, codec := range codecs {
		opts := []kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec), kgo.MaxBufferedRecords(200_000), kgo.DefaultProduceTopic(p.From[0])}
		if l.batch > 0 {
			opts = append(opts, kgo.ManualFlushing(), kgo.ProducerBatchMaxBytes(80<<20), kgo.BrokerMaxWriteBytes(100<<20))
		}
		cl := p.Cluster.Client(t, opts...)
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

// RequireCopied requires that each record is in the output as often as it is to be, with its size, and that all of the input is committed.
func (l Load) RequireCopied(p *Pipe) {
	t := p.T
	p.RequireNothingOpen()
	ends, err := p.Listed(t.Context(), p.Adm.ListCommittedOffsets, p.From)
	require.NoError(t, err)
	stable, err := p.StableCommitted(t.Context())
	require.NoError(t, err)
	require.Equal(t, ends.String(), stable.String(), "where the input ends, and what the group has committed")
	ends, err = p.Listed(t.Context(), p.Adm.ListCommittedOffsets, p.To)
	require.NoError(t, err)
	cl := p.Cluster.Client(t, kgo.ConsumeTopics(p.To[0]), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
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
