package pipe

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// This file shows that what `eos-pipe record` reads of real logs is judged right by `eos-pipe validate`: clean where Kafka wrote it,
// whatever was deleted or compacted, and not clean any more when one line is taken out or changed.

// recordedTopic is a topic and those who write to it.
type recordedTopic struct {
	t     *testing.T
	kafka *kafkatest.Cluster
	name  string
	n     int // of records written, for their values
}

func newRecordedTopic(t *testing.T, configs ...string) *recordedTopic {
	kafka := kafkatest.Shared(t)
	r := &recordedTopic{t: t, kafka: kafka, name: kafkatest.Name(t, "recorded")}
	kafka.CreateTopic(t, r.name, 2, configs...)
	return r
}

// producer returns a client that writes to chosen partitions, batches of as many records as are sent at once.
func (r *recordedTopic) producer(opts ...kgo.Opt) *kgo.Client {
	return r.kafka.Client(r.t, append(opts, kgo.DefaultProduceTopic(r.name), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(10*time.Millisecond))...)
}

// send writes one batch of so many records, all with contents of their own.
func (r *recordedTopic) send(cl *kgo.Client, partition int32, records int) {
	r.t.Helper()
	var rs []*kgo.Record
	for range records {
		r.n++
		rs = append(rs, &kgo.Record{Partition: partition, Key: []byte(strconv.Itoa(r.n % 5)), Value: []byte("record " + strconv.Itoa(r.n))})
	}
	require.NoError(r.t, cl.ProduceSync(r.t.Context(), rs...).FirstErr())
}

// transact writes a batch to both partitions in one transaction, and ends it.
func (r *recordedTopic) transact(cl *kgo.Client, commit kgo.TransactionEndTry) {
	r.t.Helper()
	require.NoError(r.t, cl.BeginTransaction())
	for range 2 {
		r.send(cl, 0, 2)
		r.send(cl, 1, 1)
	}
	require.NoError(r.t, cl.EndTransaction(r.t.Context(), commit))
}

// fill writes all that a log can hold: plain batches, two idempotent producers, two transactional ones, one of them with an abort, and
// a transaction that stays open. It returns the producer of that.
func (r *recordedTopic) fill() *kgo.Client {
	r.t.Helper()
	plain := r.producer(kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()))
	first, second := r.producer(), r.producer(kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	a, b := r.producer(kgo.TransactionalID(r.name+"-a")), r.producer(kgo.TransactionalID(r.name+"-b"))
	open := r.producer(kgo.TransactionalID(r.name + "-open"))
	for range 2 {
		r.send(first, 0, 3)
		r.transact(a, kgo.TryCommit)
		r.send(plain, 0, 1)
		r.transact(b, kgo.TryAbort)
		r.send(second, 0, 2)
		r.send(second, 1, 1)
		r.transact(a, kgo.TryAbort)
		r.send(first, 0, 1)
	}
	require.NoError(r.t, open.BeginTransaction())
	r.send(open, 0, 3)
	r.transact(b, kgo.TryCommit)
	r.send(plain, 0, 2)
	return open
}

// record writes the trace of the topic to a file.
func (r *recordedTopic) record() (path string) {
	r.t.Helper()
	path = filepath.Join(r.t.ArtifactDir(), "trace-"+strconv.Itoa(r.n))
	pr := proc.Spawn(r.t, "record", []string{"record", "-b", strings.Join(r.kafka.Bootstrap(), ","), "--topic", r.name, "--out", path, "--quiet"})
	require.Zero(r.t, pr.Wait(time.Minute), pr.Said())
	return path
}

// validate returns the exit code and the findings and notes.
func validateTrace(t *testing.T, path string) (code int, lines []string) {
	t.Helper()
	pr := proc.Spawn(t, "validate", []string{"validate", path, "--quiet"})
	code = pr.Wait(time.Minute)
	lines = strings.Split(strings.TrimSpace(pr.Stdout.String()), "\n")
	require.Contains(t, lines[len(lines)-1], "findings=", pr.Said())
	return code, lines[:len(lines)-1]
}

// requireClean requires that nothing is found but open transactions, and returns those.
func (r *recordedTopic) requireClean(path string) (open []string) {
	r.t.Helper()
	code, lines := validateTrace(r.t, path)
	require.Zero(r.t, code, lines)
	for _, line := range lines {
		require.Contains(r.t, line, "note: open transaction: ")
	}
	return lines
}

// A log with every kind of batch is clean but for its open transaction, which is named; also when records were deleted at its head, even
// in the middle of a batch, and also when the open transaction began there. Without any one of its lines it is not clean.
func TestRecordValidate(t *testing.T) {
	t.Parallel()
	r := newRecordedTopic(t)
	producer := r.fill()
	path := r.record()
	open := r.requireClean(path)
	require.Len(t, open, 1)
	id, epoch, err := producer.ProducerID(t.Context())
	require.NoError(t, err)
	_, since, isNamed := strings.Cut(open[0], "for the transaction of producer "+strconv.FormatInt(id, 10)+"/"+strconv.Itoa(int(epoch))+" that is open since offset ")
	require.True(t, isNamed, open[0])
	since, _, _ = strings.Cut(since, ",")
	begin, err := strconv.ParseInt(since, 10, 64)
	require.NoError(t, err)
	requireEveryLineMissed(t, path)

	adm := r.kafka.Admin(t)
	ends, err := adm.ListEndOffsets(t.Context(), r.name)
	require.NoError(t, err)
	end, _ := ends.Lookup(r.name, 0)
	for _, at := range []int64{1, 4, 8, 15, 22, begin + 1, end.Offset - 3, end.Offset - 1} {
		r.deleteUpTo(adm, 0, at)
		r.n++
		path = r.record()
		if at <= begin+1 { // else all records of the open transaction are gone
			require.Len(t, r.requireClean(path), 1)
			continue
		}
		code, found := validateTrace(t, path)
		require.Equal(t, 1, code)
		require.Len(t, found, 1)
		require.Contains(t, found[0], "finding: hanging transaction: expected a marker in "+r.name+"-0 for a transaction that began before the log's start")
	}
	requireEveryLineMissed(t, path)
}

func (r *recordedTopic) deleteUpTo(adm *kadm.Client, partition int32, at int64) {
	r.t.Helper()
	var to kadm.Offsets
	to.Add(kadm.Offset{Topic: r.name, Partition: partition, At: at})
	deleted, err := adm.DeleteRecords(r.t.Context(), to)
	require.NoError(r.t, err)
	require.NoError(r.t, deleted.Error())
}

// requireEveryLineMissed takes each batch and each marker out of the trace, one after the other, and requires a finding each time.
func requireEveryLineMissed(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := strings.SplitAfter(string(text), "\n")
	changed := filepath.Join(t.ArtifactDir(), "changed")
	for i, line := range lines {
		if !strings.HasPrefix(line, "produce ") && !strings.HasPrefix(line, "marker ") {
			continue
		}
		without := strings.Join(lines[:i], "") + strings.Join(lines[i+1:], "")
		require.NoError(t, os.WriteFile(changed, []byte(without), 0o600))
		code, found := validateTrace(t, changed)
		require.Equal(t, 1, code, "without line %d nothing is found: %s", i+1, line)
		require.Regexp(t, `^line \d+: finding: `, found[0], "without line %d: %s", i+1, line)
	}
}

// A changed line is found by the rule that it breaks.
func TestRecordValidateChanged(t *testing.T) {
	t.Parallel()
	r := newRecordedTopic(t)
	r.fill()
	text, err := os.ReadFile(r.record())
	require.NoError(t, err)
	changed := filepath.Join(t.ArtifactDir(), "changed")
	for _, c := range []struct{ from, to, finding string }{
		{"seq=3 ", "seq=4 ", "sequence"},
		{"seq=3 ", "seq=2 ", "sequence"},
		{"commit=true", "commit=false", "aborted list"},
		{"commit=false", "commit=true", "aborted list"},
		{"transactional=true seq=2", "transactional=false seq=2", "transaction"},
		{"aborted=", "aborted=4711@1,", "aborted list"},
		{"delivered=0,", "delivered=", "delivered records"},
	} {
		at := strings.Index(string(text), c.from)
		require.Positive(t, at, c.from)
		require.NoError(t, os.WriteFile(changed, []byte(string(text[:at])+c.to+string(text[at+len(c.from):])), 0o600))
		code, found := validateTrace(t, changed)
		require.Equal(t, 1, code, c)
		require.Contains(t, strings.Join(found, "\n"), "finding: "+c.finding+": ", c)
	}
}

// A log that is written to while it is read is clean each time: what had not ended where the reading stopped is not judged.
func TestRecordWhileWritten(t *testing.T) {
	t.Parallel()
	r := newRecordedTopic(t)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	a, b, c := r.producer(kgo.TransactionalID(r.name+"-a")), r.producer(kgo.TransactionalID(r.name+"-b")), r.producer()
	r.transact(a, kgo.TryCommit)
	r.transact(b, kgo.TryCommit)
	go func() {
		defer close(stopped)
		for n := 0; ctx.Err() == nil; n++ {
			for _, cl := range []*kgo.Client{a, b} {
				_ = cl.BeginTransaction()
				cl.TryProduce(ctx, &kgo.Record{Partition: int32(n % 2), Value: []byte(strconv.Itoa(n))}, nil)
				cl.TryProduce(ctx, &kgo.Record{Partition: 0, Value: []byte("0 " + strconv.Itoa(n))}, nil)
			}
			_ = c.ProduceSync(ctx, &kgo.Record{Value: []byte("c " + strconv.Itoa(n))})
			_ = a.Flush(ctx)
			_ = a.EndTransaction(context.WithoutCancel(ctx), n%3 != 0)
			_ = b.Flush(ctx)
			_ = b.EndTransaction(context.WithoutCancel(ctx), n%4 != 0)
		}
	}()
	defer func() { stop(); <-stopped }()
	size := int64(0)
	for range 5 {
		path := r.record()
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Greater(t, info.Size(), size, "nothing was written meanwhile")
		size = info.Size()
		code, found := validateTrace(t, path)
		for _, line := range found {
			require.Contains(t, line, "note: ")
		}
		require.Zero(t, code, found)
		r.n++
	}
}

// A compacted log has lost records, and whole batches, to the cleaner. That is no finding; a batch that is there twice is.
func TestRecordCompacted(t *testing.T) {
	t.Parallel()
	r := newRecordedTopic(t, "cleanup.policy=compact", "segment.ms=100", "min.cleanable.dirty.ratio=0.01", "max.compaction.lag.ms=1000")
	a, first, second := r.producer(kgo.TransactionalID(r.name+"-a")), r.producer(), r.producer()
	for n := range 6 {
		r.send(first, 0, 3)
		r.transact(a, kgo.TransactionEndTry(n%2 == 0))
		r.send(second, 0, 1)
	}
	path, before := "", 0
	r.await(func() bool { // new batches roll the segment, so that the cleaner gets the old ones
		r.send(first, 0, 1)
		path = r.record()
		require.Empty(t, r.requireClean(path))
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		batches := strings.Count(string(text), "produce v=0 to="+r.name+"-0 ")
		isCleaned := batches < before
		before = batches
		return isCleaned
	})
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), "compacted=true")
	line := regexp.MustCompile(`(?m)^produce .*transactional=false .* offset=(\d+)\n`).FindStringSubmatch(string(text))
	again := strings.TrimSuffix(line[0], line[1]+"\n") + "100000\n"
	changed := filepath.Join(t.ArtifactDir(), "changed")
	require.NoError(t, os.WriteFile(changed, []byte(strings.Replace(string(text), line[0], line[0]+again, 1)), 0o600))
	code, found := validateTrace(t, changed)
	require.Equal(t, 1, code)
	require.Contains(t, found[0], "finding: duplicate: ")
}

// await asks every second until it is so; the brokers' cleaner looks for work every 15 seconds.
func (r *recordedTopic) await(ok func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-ctx.Done():
			require.FailNow(r.t, "the brokers do not compact the log")
		}
	}
}
