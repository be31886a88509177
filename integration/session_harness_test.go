package integration

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// sessionPartitions is how many partitions the topics of a sessionBench have.
const sessionPartitions = 3

// sessionDeadline bounds whatever a test waits for; nothing takes nearly as long.
const sessionDeadline = 20 * time.Second

// sessionBench is what a test has for itself on the shared broker: an input and an output topic, a group, and a plain
// client beside all sessions. It knows every record it wrote to the input, and so what the output must hold.
type sessionBench struct {
	t     *testing.T
	kafka *kafkatest.Cluster
	in    string
	inID  kadm.TopicID
	out   string
	group string
	proto eos.GroupProtocol // of its sessions
	plain *kgo.Client       // partitions are chosen by hand
	adm   *kadm.Client

	written [sessionPartitions]int64 // the number of the next record of each input partition
	dropped map[sessionRecord]bool   // input records that must not be in the output
}

// sessionRecord names an input record by its partition and its number in it, which is also its value, as "<partition>
// <number>" and maybe more.
type sessionRecord struct {
	partition int32
	number    int64
}

func (r sessionRecord) String() string { return fmt.Sprintf("%d %d", r.partition, r.number) }

func parseSessionRecord(value []byte) (r sessionRecord, ok bool) {
	n, err := fmt.Sscanf(string(value), "%d %d", &r.partition, &r.number)
	return r, n == 2 && err == nil
}

// newSessionBench makes the topics; configs are those of the output, each "name=value".
func newSessionBench(t *testing.T, configs ...string) *sessionBench {
	t.Helper()
	return newSessionBenchOn(t, kafkatest.Shared(t), configs...)
}

// newSessionBenchOn is newSessionBench on that cluster.
func newSessionBenchOn(t *testing.T, kafka *kafkatest.Cluster, configs ...string) *sessionBench {
	t.Helper()
	b := &sessionBench{
		t: t, kafka: kafka, dropped: map[sessionRecord]bool{},
		in: kafkatest.Name(t, "in"), out: kafkatest.Name(t, "out"), group: kafkatest.Name(t, "g"),
	}
	kafka.CreateTopic(t, b.in, sessionPartitions)
	kafka.CreateTopic(t, b.out, sessionPartitions, configs...)
	b.plain = kafka.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	b.adm = kadm.NewClient(b.plain)
	topics, err := b.adm.ListTopics(t.Context(), b.in)
	require.NoError(t, err)
	b.inID = topics[b.in].ID
	return b
}

// config is that of the session named name, from the input to the output. Sessions of one name have the same ids.
func (b *sessionBench) config(name string) eos.Config {
	return eos.Config{
		BootstrapServers: b.kafka.Bootstrap(), Group: b.group, TransactionalID: b.group + "-" + name,
		Topics: []string{b.in}, Outputs: []string{b.out},
		Tuning: eos.Tuning{GroupProtocol: b.proto, SessionTimeout: 10 * time.Second, TransactionTimeout: time.Minute},
		Logger: slog.New(slog.NewTextHandler(b.t.Output(), nil)),
	}
}

// protocols runs a test with sessions of each group protocol.
func protocols(t *testing.T, test func(b *sessionBench)) {
	t.Helper()
	for _, proto := range []eos.GroupProtocol{eos.ClassicProtocol, eos.ConsumerProtocol} {
		t.Run(proto.String(), func(t *testing.T) {
			b := newSessionBench(t)
			if proto == eos.ConsumerProtocol {
				b.needConsumerProtocol()
			}
			b.proto = proto
			test(b)
		})
	}
}

// needConsumerProtocol leaves out what brokers before 4.0 cannot do. (TestKillNineConsumerProtocol does not ask: it fails there.)
func (b *sessionBench) needConsumerProtocol() {
	b.t.Helper()
	versions, err := b.adm.ApiVersions(b.t.Context())
	require.NoError(b.t, err)
	for _, v := range versions {
		if n, known := v.KeyMaxVersion(kmsg.ConsumerGroupHeartbeat.Int16()); !known || n < 1 {
			b.t.Skip("these brokers do not know the consumer group protocol")
		}
	}
}

// sessionTimeout sets when the group gives up a member with that config; in the consumer protocol, any member.
func (b *sessionBench) sessionTimeout(cfg *eos.Config, d time.Duration) {
	b.t.Helper()
	cfg.SessionTimeout = d
	if b.proto == eos.ConsumerProtocol {
		b.kafka.SetSession(b.t, b.group, d)
	}
}

// tapped is config of a session whose connections all run through a tap, and that tap.
func (b *sessionBench) tapped(name string) (eos.Config, *wiretap.Tap) {
	tap := wiretap.New()
	b.t.Cleanup(tap.Close)
	cfg := b.config(name)
	cfg.Client = []kgo.Opt{kgo.Dialer(tap.Dial), sessionFastRetries}
	return cfg, tap
}

// sessionFastRetries has a lost answer asked for again at once, so that many lost ones take no time.
var sessionFastRetries = kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond })

// open opens a session, which is closed at the end of the test.
func (b *sessionBench) open(cfg eos.Config) *eos.Session {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), sessionDeadline)
	defer cancel()
	s, err := eos.Open(ctx, cfg)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// write writes n records to the input, round robin.
func (b *sessionBench) write(n int) {
	b.t.Helper()
	rs := make([]*kgo.Record, 0, n)
	for i := range n {
		rs = append(rs, b.next(int32(i%sessionPartitions), 0))
	}
	require.NoError(b.t, b.plain.ProduceSync(b.t.Context(), rs...).FirstErr())
}

// producer returns a client that writes to the input in transactions, as it is told.
func (b *sessionBench) producer(name string) *kgo.Client {
	b.t.Helper()
	return b.kafka.Client(b.t, kgo.TransactionalID(b.in+name), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
}

// next makes the next input record of a partition. Its value is at least size bytes long, in a way that does not compress.
func (b *sessionBench) next(partition int32, size int) *kgo.Record {
	number := b.written[partition]
	b.written[partition]++
	value := []byte(sessionRecord{partition, number}.String() + " ")
	if size > len(value) {
		padding := make([]byte, size-len(value))
		_, _ = rand.NewChaCha8([32]byte{byte(number), byte(number >> 8)}).Read(padding)
		value = append(value, padding...)
	}
	return &kgo.Record{Topic: b.in, Partition: partition, Value: value}
}

// writeBig writes one record of that size to the input, and returns its name.
func (b *sessionBench) writeBig(partition int32, size int) sessionRecord {
	b.t.Helper()
	r := b.next(partition, size)
	require.NoError(b.t, b.plain.ProduceSync(b.t.Context(), r).FirstErr())
	return sessionRecord{partition, b.written[partition] - 1}
}

// copies are the outputs of a batch: every record as it is, to the partition of its input, but those to be left out.
func (b *sessionBench) copies(batch eos.Batch) iter.Seq[*kgo.Record] {
	return func(yield func(*kgo.Record) bool) {
		for _, r := range batch.Records {
			if from, ok := parseSessionRecord(r.Value); ok && b.dropped[from] {
				continue
			}
			if !yield(&kgo.Record{Topic: b.out, Value: r.Value, Partition: r.Partition}) {
				return
			}
		}
	}
}

// copy copies until n input records are committed, going on wherever the session says so. It returns the errors.
func (b *sessionBench) copy(s *eos.Session, n int) (failures []error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), sessionDeadline)
	defer cancel()
	for n > 0 {
		batch, err := s.Poll(ctx)
		require.NoError(b.t, err)
		if err := s.Commit(ctx, batch, b.copies(batch)); err != nil {
			require.Equal(b.t, eos.PollAgain, sessionNext(err), "%v", err)
			failures = append(failures, err)
			continue
		}
		n -= len(batch.Records)
	}
	require.Zero(b.t, n, "more was committed than was written")
	return failures
}

// marked are copies that show in the log that they are of this very batch.
func (b *sessionBench) marked(batch eos.Batch) iter.Seq[*kgo.Record] {
	return func(yield func(*kgo.Record) bool) {
		for r := range b.copies(batch) {
			r.Headers = []kgo.RecordHeader{{Key: "marked"}}
			if !yield(r) {
				return
			}
		}
	}
}

// requireNoneMarked fails if a marked record is committed.
func (b *sessionBench) requireNoneMarked(why string) {
	b.t.Helper()
	for _, r := range b.readOutput() {
		require.Empty(b.t, r.Headers, "%s: %s at %s-%d@%d", why, r.Value, r.Topic, r.Partition, r.Offset)
	}
}

// poll returns the next batch.
func (b *sessionBench) poll(s *eos.Session) eos.Batch {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), sessionDeadline)
	defer cancel()
	batch, err := s.Poll(ctx)
	require.NoError(b.t, err)
	require.NotEmpty(b.t, batch.Records)
	return batch
}

// untilError copies until the session reports an error, and returns it.
func (b *sessionBench) untilError(s *eos.Session) error {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), sessionDeadline)
	defer cancel()
	for {
		batch, err := s.Poll(ctx)
		if err == nil {
			err = s.Commit(ctx, batch, b.copies(batch))
		}
		if e, ok := errors.AsType[*eos.Error](err); ok && e.Next == eos.PollAgain {
			continue
		}
		if err != nil {
			require.NoError(b.t, ctx.Err(), "the session reports nothing")
			return err
		}
	}
}

// sessionNext is what the caller of a failed operation is told to do.
func sessionNext(err error) eos.Next {
	if e, ok := errors.AsType[*eos.Error](err); ok {
		return e.Next
	}
	return eos.Stop
}

// sessionWorker copies in the background.
type sessionWorker struct {
	session *eos.Session
	failed  chan error         // the error that ended it, nil after stop
	cancel  context.CancelFunc // it polls no more
	kill    context.CancelFunc // it does not go on with a commit either
	wg      sync.WaitGroup
	commits atomic.Int64 // with records

	failures []error // of commits; to be read when it has ended
}

// work starts a worker on the session. It goes on wherever the session says so.
func (b *sessionBench) work(s *eos.Session) *sessionWorker {
	ctx, cancel := context.WithCancel(context.Background())
	life, kill := context.WithCancel(context.Background())
	w := &sessionWorker{session: s, failed: make(chan error, 1), cancel: cancel, kill: kill}
	w.wg.Go(func() { w.failed <- w.run(ctx, life, b) })
	b.t.Cleanup(func() {
		cancel()
		kill()
		w.wg.Wait()
		if b.t.Failed() {
			b.t.Logf("a worker committed %d batches with records; commits failed with %q", w.commits.Load(), w.failures)
		}
	})
	return w
}

func (w *sessionWorker) run(ctx, life context.Context, b *sessionBench) error {
	for {
		batch, err := w.session.Poll(ctx)
		if err == nil {
			err = w.session.Commit(life, batch, b.copies(batch))
			if err != nil {
				w.failures = append(w.failures, err)
			} else if len(batch.Records) > 0 {
				w.commits.Add(1)
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && sessionNext(err) != eos.PollAgain:
			return err
		}
	}
}

// works waits until a worker has committed something more. It writes to the input every now and then, since the others may be done with
// what is there before the worker has a partition.
func (b *sessionBench) works(w *sessionWorker) {
	b.t.Helper()
	before, asked := w.commits.Load(), 0
	b.eventually("the worker works", func() bool {
		if asked%20 == 0 {
			b.write(sessionPartitions)
		}
		asked++
		return w.commits.Load() > before
	})
}

// stop ends the worker after the batch it has, and returns why its commits failed.
func (w *sessionWorker) stop(t *testing.T) []error {
	t.Helper()
	w.cancel()
	require.NoError(t, w.wait(t))
	return w.failures
}

// wait returns the error that ended the worker.
func (w *sessionWorker) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-w.failed:
		return err
	case <-time.After(sessionDeadline):
		require.FailNow(t, "the session goes on")
		return nil
	}
}

// await waits for a signal.
func (b *sessionBench) await(signal <-chan struct{}, what string) {
	b.t.Helper()
	select {
	case <-signal:
	case <-time.After(sessionDeadline):
		require.FailNow(b.t, "it did not happen: "+what)
	}
}

// eventually asks until the answer is yes.
func (b *sessionBench) eventually(what string, ask func() bool) {
	b.t.Helper()
	deadline := time.After(sessionDeadline)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ask() {
		select {
		case <-tick.C:
		case <-deadline:
			require.FailNow(b.t, "it does not become so: "+what)
		}
	}
}

// committed returns the group's committed offsets, after all transactions with offsets of it are decided. It names the
// partitions: a fetch of all that the group has passes over those whose first commit is still undecided.
func (b *sessionBench) committed() offsets.Set {
	b.t.Helper()
	topic := kmsg.OffsetFetchRequestGroupTopic{Topic: b.in, TopicID: b.inID}
	for p := range int32(sessionPartitions) {
		topic.Partitions = append(topic.Partitions, p)
	}
	ask := kmsg.NewPtrOffsetFetchRequest()
	ask.RequireStable = true
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group, group.Topics = b.group, []kmsg.OffsetFetchRequestGroupTopic{topic}
	ask.Groups = append(ask.Groups, group)
	set := offsets.Set{}
	b.eventually("the group's offsets are stable", func() bool {
		resp, err := ask.RequestWith(b.t.Context(), b.plain)
		if err != nil {
			return false // a coordinator may just be moving
		}
		for _, p := range resp.Groups[0].Topics[0].Partitions {
			if p.ErrorCode != 0 {
				return false
			}
			if p.Offset >= 0 {
				set[offsets.Partition{Topic: b.in, Number: p.Partition}] = offsets.NewPosition(p.Offset)
			}
		}
		return resp.Groups[0].ErrorCode == 0
	})
	return set
}

// inputs is a set of the input's partitions at the given offsets.
func (b *sessionBench) inputs(at ...int64) offsets.Set {
	set := offsets.Set{}
	for p, offset := range at {
		set[offsets.Partition{Topic: b.in, Number: int32(p)}] = offsets.NewPosition(offset)
	}
	return set
}

// ends returns the ends (high watermarks) of a topic's partitions.
func (b *sessionBench) ends(topic string) offsets.Set {
	b.t.Helper()
	return b.listed(topic, b.adm.ListEndOffsets)
}

// stable returns the last stable offsets of a topic's partitions.
func (b *sessionBench) stable(topic string) offsets.Set {
	b.t.Helper()
	return b.listed(topic, b.adm.ListCommittedOffsets)
}

func (b *sessionBench) listed(topic string, list func(context.Context, ...string) (kadm.ListedOffsets, error)) offsets.Set {
	b.t.Helper()
	var listed kadm.ListedOffsets
	b.eventually("the offsets of "+topic+" are listed", func() (ok bool) { // a leader may just be moving
		var err error
		listed, err = list(b.t.Context(), topic)
		return err == nil && listed.Error() == nil
	})
	set := offsets.Set{}
	listed.Each(func(o kadm.ListedOffset) {
		set[offsets.Partition{Topic: o.Topic, Number: o.Partition}] = offsets.NewPosition(o.Offset)
	})
	return set
}

// caughtUp waits until the group's offsets stand at the input's ends.
func (b *sessionBench) caughtUp() {
	b.t.Helper()
	var at, stable, ends offsets.Set
	defer func() {
		if b.t.Failed() {
			b.t.Logf("the group stands at %v; stable is %v of %v", at, stable, ends)
		}
	}()
	b.eventually("the group's offsets stand at the input's ends", func() bool {
		at, stable, ends = b.committed(), b.stable(b.in), b.ends(b.in)
		return at.Equal(ends) && stable.Equal(ends)
	})
}

// requireOnce is the check that ends every test: no transaction is open on the output, the group's offsets stand at the
// input's ends, and a read_committed reader gets every input record once, in order, and nothing else.
func (b *sessionBench) requireOnce() {
	b.t.Helper()
	b.caughtUp()
	b.eventually("no transaction is open on the output", func() bool { return b.stable(b.out).Equal(b.ends(b.out)) })
	report := b.report()
	require.True(b.t, report.OK(), "%s\n%s", report, strings.Join(report.Examples, "\n"))
	require.Equal(b.t, report.In-int64(len(b.dropped)), report.Out)
	require.Positive(b.t, report.Out)
}

// report reads the output and judges it.
func (b *sessionBench) report() checker.Report {
	b.t.Helper()
	c := checker.New()
	for p, n := range b.written {
		for number := range n {
			expect := 1
			if b.dropped[sessionRecord{int32(p), number}] {
				expect = 0
			}
			c.Input(offsets.Partition{Topic: b.in, Number: int32(p)}, number, expect)
		}
	}
	for _, r := range b.readOutput() {
		at := offsets.Partition{Topic: b.out, Number: r.Partition}
		from, ok := parseSessionRecord(r.Value)
		if !ok || from.partition != r.Partition {
			c.Foreign(at, r.Offset)
			continue
		}
		c.Output(at, r.Offset, offsets.Partition{Topic: b.in, Number: from.partition}, from.number, 0, 1)
	}
	return c.Report()
}

// readOutput returns what a read_committed reader gets of the output.
func (b *sessionBench) readOutput() (records []*kgo.Record) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), sessionDeadline)
	defer cancel()
	left := b.stable(b.out)
	for p, end := range left {
		if end.Offset == 0 {
			delete(left, p)
		}
	}
	cl, err := kgo.NewClient(b.kafka.Options(kgo.ConsumeTopics(b.out), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))...)
	require.NoError(b.t, err)
	defer cl.Close()
	held := stableReader(b.t)
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		require.NoError(b.t, fetches.Err())
		for _, r := range held.Records(fetches) {
			p := offsets.Partition{Topic: r.Topic, Number: r.Partition}
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
			if end, ok := left[p]; ok && r.Offset >= end.Offset-1 {
				delete(left, p)
			}
		}
	}
	return records
}
