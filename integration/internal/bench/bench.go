package bench

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// Partitions is how many partitions the topics of a Bench have.
const Partitions = 3

// Deadline bounds whatever a test waits for; nothing takes nearly as long.
const Deadline = 20 * time.Second

const (
	// BigRecord is the size of a record that the input takes and an output with [SmallMessages] does not.
	BigRecord = 200_000
	// SmallMessages is a config of a topic.
	SmallMessages = "max.message.bytes=100000"
)

// Bench is what a test has for itself on the shared broker: an input and an output topic, a group, and a plain
// client beside all sessions. It knows every record it wrote to the input, and so what the output must hold.
type Bench struct {
	Ground
	In    string
	InID  kadm.TopicID
	Out   string
	Proto eos.GroupProtocol // of its sessions
	Plain *kgo.Client       // partitions are chosen by hand

	Written [Partitions]int64 // the number of the next record of each input partition
	Dropped map[Record]bool   // input records that must not be in the output
}

// Record names an input record by its partition and its number in it, which is also its value, as "<partition>
// <number>" and maybe more.
type Record struct {
	Partition int32
	Number    int64
}

// String returns the record's value.
func (r Record) String() string { return fmt.Sprintf("%d %d", r.Partition, r.Number) }

// ParseRecord returns the record that has this value; ok is false if none has.
func ParseRecord(value []byte) (r Record, ok bool) {
	n, err := fmt.Sscanf(string(value), "%d %d", &r.Partition, &r.Number)
	return r, n == 2 && err == nil
}

// New makes the topics; configs are those of the output, each "name=value".
func New(t *testing.T, configs ...string) *Bench {
	t.Helper()
	return NewOn(t, kafkatest.Shared(t), configs...)
}

// NewOn is New on that cluster.
func NewOn(t *testing.T, cluster *kafkatest.Cluster, configs ...string) *Bench {
	t.Helper()
	b := &Bench{
		Ground: Ground{T: t, Cluster: cluster, Group: kafkatest.Name(t, "g")}, Dropped: map[Record]bool{},
		In: kafkatest.Name(t, "in"), Out: kafkatest.Name(t, "out"),
	}
	cluster.CreateTopic(t, b.In, Partitions)
	cluster.CreateTopic(t, b.Out, Partitions, configs...)
	b.Plain = cluster.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	b.Adm = kadm.NewClient(b.Plain)
	topics, err := b.Adm.ListTopics(t.Context(), b.In)
	require.NoError(t, err)
	b.InID = topics[b.In].ID
	return b
}

// Config is that of the session named name, from the input to the output. Sessions of one name have the same ids.
func (b *Bench) Config(name string) eos.Config {
	return eos.Config{
		BootstrapServers: b.Cluster.Bootstrap(), Group: b.Group, TransactionalID: b.Group + "-" + name,
		Topics: []string{b.In}, Outputs: []string{b.Out},
		Tuning: eos.Tuning{GroupProtocol: b.Proto, SessionTimeout: 10 * time.Second, TransactionTimeout: time.Minute},
		Logger: slog.New(slog.NewTextHandler(b.T.Output(), nil)),
	}
}

// Protocols runs a test with sessions of each group protocol.
func Protocols(t *testing.T, test func(b *Bench)) {
	t.Helper()
	for _, proto := range []eos.GroupProtocol{eos.ClassicProtocol, eos.ConsumerProtocol} {
		t.Run(proto.String(), func(t *testing.T) {
			b := New(t)
			if proto == eos.ConsumerProtocol {
				b.NeedConsumerProtocol()
			}
			b.Proto = proto
			test(b)
		})
	}
}

// NeedConsumerProtocol leaves out what brokers before 4.0 cannot do. (TestKillNineConsumerProtocol does not ask: it fails there.)
func (b *Bench) NeedConsumerProtocol() {
	b.T.Helper()
	versions, err := b.Adm.ApiVersions(b.T.Context())
	require.NoError(b.T, err)
	for _, v := range versions {
		if n, known := v.KeyMaxVersion(kmsg.ConsumerGroupHeartbeat.Int16()); !known || n < 1 {
			b.T.Skip("these brokers do not know the consumer group protocol")
		}
	}
}

// SessionTimeout sets when the group gives up a member with that config; in the consumer protocol, any member.
func (b *Bench) SessionTimeout(cfg *eos.Config, d time.Duration) {
	b.T.Helper()
	cfg.SessionTimeout = d
	if b.Proto == eos.ConsumerProtocol {
		b.Cluster.SetSession(b.T, b.Group, d)
	}
}

// Tapped is config of a session whose connections all run through a tap, and that tap.
func (b *Bench) Tapped(name string) (eos.Config, *wiretap.Tap) {
	tap := wiretap.New()
	b.T.Cleanup(tap.Close)
	cfg := b.Config(name)
	cfg.Client = []kgo.Opt{kgo.Dialer(tap.Dial), FastRetries}
	return cfg, tap
}

// FastRetries has a lost answer asked for again at once, so that many lost ones take no time.
var FastRetries = kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond })

// Open opens a session, which is closed at the end of the test.
func (b *Bench) Open(cfg eos.Config) *eos.Session {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.T.Context(), Deadline)
	defer cancel()
	s, err := eos.Open(ctx, cfg)
	require.NoError(b.T, err)
	b.T.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// Write writes n records to the input, round robin.
func (b *Bench) Write(n int) {
	b.T.Helper()
	rs := make([]*kgo.Record, 0, n)
	for i := range n {
		rs = append(rs, b.Next(int32(i%Partitions), 0))
	}
	require.NoError(b.T, b.Plain.ProduceSync(b.T.Context(), rs...).FirstErr())
}

// Producer returns a client that writes to the input in transactions, as it is told.
func (b *Bench) Producer(name string) *kgo.Client {
	b.T.Helper()
	return b.Cluster.Client(b.T, kgo.TransactionalID(b.In+name), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
}

// Next makes the next input record of a partition. Its value is at least size bytes long, in a way that does not compress.
func (b *Bench) Next(partition int32, size int) *kgo.Record {
	number := b.Written[partition]
	b.Written[partition]++
	value := []byte(Record{partition, number}.String() + " ")
	if size > len(value) {
		padding := make([]byte, size-len(value))
		_, _ = rand.NewChaCha8([32]byte{byte(number), byte(number >> 8)}).Read(padding)
		value = append(value, padding...)
	}
	return &kgo.Record{Topic: b.In, Partition: partition, Value: value}
}

// WriteBig writes one record of that size to the input, and returns its name.
func (b *Bench) WriteBig(partition int32, size int) Record {
	b.T.Helper()
	r := b.Next(partition, size)
	require.NoError(b.T, b.Plain.ProduceSync(b.T.Context(), r).FirstErr())
	return Record{partition, b.Written[partition] - 1}
}

// Copies are the outputs of a batch: every record as it is, to the partition of its input, but those to be left out.
func (b *Bench) Copies(batch eos.Batch) iter.Seq[*kgo.Record] {
	return func(yield func(*kgo.Record) bool) {
		for _, r := range batch.Records {
			if from, ok := ParseRecord(r.Value); ok && b.Dropped[from] {
				continue
			}
			if !yield(&kgo.Record{Topic: b.Out, Value: r.Value, Partition: r.Partition}) {
				return
			}
		}
	}
}

// Copy copies until n input records are committed, going on wherever the session says so. It returns the errors.
func (b *Bench) Copy(s *eos.Session, n int) (failures []error) {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.T.Context(), Deadline)
	defer cancel()
	for n > 0 {
		batch, err := s.Poll(ctx)
		require.NoError(b.T, err)
		if err := s.Commit(ctx, batch, b.Copies(batch)); err != nil {
			require.Equal(b.T, eos.PollAgain, Next(err), "%v", err)
			failures = append(failures, err)
			continue
		}
		n -= len(batch.Records)
	}
	require.Zero(b.T, n, "more was committed than was written")
	return failures
}

// Marked are copies that show in the log that they are of this very batch.
func (b *Bench) Marked(batch eos.Batch) iter.Seq[*kgo.Record] {
	return func(yield func(*kgo.Record) bool) {
		for r := range b.Copies(batch) {
			r.Headers = []kgo.RecordHeader{{Key: "marked"}}
			if !yield(r) {
				return
			}
		}
	}
}

// Poll returns the next batch.
func (b *Bench) Poll(s *eos.Session) eos.Batch {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.T.Context(), Deadline)
	defer cancel()
	batch, err := s.Poll(ctx)
	require.NoError(b.T, err)
	require.NotEmpty(b.T, batch.Records)
	return batch
}

// UntilError copies until the session reports an error, and returns it.
func (b *Bench) UntilError(s *eos.Session) error {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.T.Context(), Deadline)
	defer cancel()
	for {
		batch, err := s.Poll(ctx)
		if err == nil {
			err = s.Commit(ctx, batch, b.Copies(batch))
		}
		if e, ok := errors.AsType[*eos.Error](err); ok && e.Next == eos.PollAgain {
			continue
		}
		if err != nil {
			require.NoError(b.T, ctx.Err(), "the session reports nothing")
			return err
		}
	}
}

// Await waits for a signal.
func (b *Bench) Await(signal <-chan struct{}, what string) {
	b.T.Helper()
	select {
	case <-signal:
	case <-time.After(Deadline):
		require.FailNow(b.T, "it did not happen: "+what)
	}
}

// Eventually asks until the answer is yes.
func (b *Bench) Eventually(what string, ask func() bool) {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.T.Context()), Deadline)
	defer cancel()
	if !Until(ctx, ask) {
		require.FailNow(b.T, "it does not become so: "+what)
	}
}
