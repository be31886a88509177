package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/internal/isolation"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// This file judges the output of a pipe, by what a plain client reads and not by what eos-pipe says of itself.
// TestPlanted shows that it finds what it is for.

// requireExactlyOnce requires that the whole input is processed, in records of it, and is in the output exactly once, as
// out records: with the right bytes, in the order of its partition, with nothing open. `eos-pipe verify` must agree.
func (p *pipe) requireExactlyOnce(in, out int64) {
	p.t.Helper()
	report := p.requireConsistent()
	ends, err := p.listed(p.t.Context(), p.adm.ListCommittedOffsets, p.from)
	require.NoError(p.t, err)
	stable, err := p.stable(p.t.Context())
	require.NoError(p.t, err)
	require.Equal(p.t, ends.String(), stable.String(), "where the input ends, and what the group has committed")
	require.Equal(p.t, in, report.In, "input records: %v", report)
	require.Equal(p.t, out, report.Out, "output records: %v", report)
	p.requireVerified(report)
}

// requireConsistent requires that what the group has committed so far is in the output exactly once and nothing else is,
// and that no transaction is open.
func (p *pipe) requireConsistent() checker.Report {
	p.t.Helper()
	p.requireNothingOpen()
	report, err := p.audit(p.t.Context())
	if err != nil {
		p.unlisted()
		p.autopsy()
	}
	require.NoError(p.t, err)
	return report
}

// requireVerified requires that `eos-pipe verify` finds the same numbers, and nothing wrong.
func (p *pipe) requireVerified(want checker.Report) {
	p.t.Helper()
	code, got := p.verify()
	require.Zero(p.t, code, "eos-pipe verify: %+v", got)
	require.Equal(p.t, want.In, got.In, "input records that eos-pipe verify reads")
	require.True(p.t, got.OK())
	require.Zero(p.t, got.Open)
	if len(p.to) == 1 { // it looks at one output topic
		require.Equal(p.t, want.Out, got.Out, "output records that eos-pipe verify reads")
	}
}

// verdict is what `eos-pipe verify --json` prints.
type verdict struct {
	checker.Report
	Open int
}

func (p *pipe) verify(more ...string) (code int, v verdict) {
	p.t.Helper()
	pr := p.spawn("verify", slices.Concat([]string{"verify", "--group", p.group, "--json"}, p.ends(), more))
	pr.doomed = true
	code = pr.wait(2 * time.Minute)
	require.NoError(p.t, json.Unmarshal(pr.stdout.Bytes(), &v), "stdout of eos-pipe verify: %q; it said %q", pr.stdout.String(), pr.said())
	return code, v
}

// audit reads both sides and returns what the checker says of them. The error is not nil if anything is wrong, be it the
// checker's finding, a record whose bytes or place are not what they must be, or a log that says otherwise than the reader.
func (p *pipe) audit(ctx context.Context) (checker.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	a, err := p.auditWith(ctx, checker.NewOutcomes(), nil)
	return a.Report, err
}

// audited is what an audit found, and what it read of the output.
type audited struct {
	checker.Report
	readings map[offsets.Partition]*checker.Reading // by output partition
	log      checker.LogReport                      // of all output partitions
}

// auditWith is audit without a bound of time. It tells outcomes of the output's markers; also, if not nil, gets each output
// record, before its provenance is taken off.
func (p *pipe) auditWith(ctx context.Context, outcomes *checker.Outcomes, also func(*kgo.Record)) (audited, error) {
	until, err := p.stable(ctx)
	if err != nil {
		return audited{}, err
	}
	ends, err := p.listed(ctx, p.adm.ListCommittedOffsets, p.to)
	if err != nil {
		return audited{}, err
	}
	widths := map[string]int{}
	for at := range ends {
		widths[at.Topic]++
	}
	a := auditor{check: checker.New(), prints: map[offsets.Partition][]uint64{}, widths: widths, expect: p.expect, also: also, readings: newReadings(ends)}
	if a.expect == nil {
		a.expect = func(r *kgo.Record) []*kgo.Record {
			return []*kgo.Record{{Topic: p.to[0], Key: r.Key, Value: r.Value, Headers: r.Headers}}
		}
	}
	if err := p.read(ctx, until, a.input); err != nil {
		return audited{}, err
	}
	if err := p.read(ctx, ends, a.output); err != nil {
		return audited{}, err
	}
	got := audited{readings: a.readings}
	got.Report, err = a.report()
	return got, errors.Join(err, p.auditLogs(ctx, ends, outcomes, &got))
}

// auditLogs compares what the read_committed reader got with the logs themselves: the committed records of a log are those
// that the reader got, its offsets are all accounted for, and no transaction ended in one partition otherwise than in another.
func (p *pipe) auditLogs(ctx context.Context, ends offsets.Set, outcomes *checker.Outcomes, got *audited) error {
	logs, err := p.rawLogs(ctx, ends, outcomes)
	if err != nil {
		return err
	}
	total := int64(0)
	for at := range ends.Sorted() {
		got.log.Add(logs[at].Report(got.readings[at]))
		total += logs[at].Next()
	}
	if sum := got.log.Committed + got.log.Aborted + got.log.Open + got.log.Markers; sum != total {
		return fmt.Errorf("the logs of the output have %d offsets, and %d are accounted for: %+v", total, sum, got.log)
	}
	if !got.log.OK() {
		return fmt.Errorf("%+v\n%s", got.log, strings.Join(got.log.Examples, "\n"))
	}
	torn, examples := outcomes.Torn()
	if torn > 0 {
		return fmt.Errorf("%d markers contradict another one of their transaction\n%s", torn, strings.Join(examples, "\n"))
	}
	return nil
}

// newReadings returns an empty reading of each partition of the set.
func newReadings(set offsets.Set) map[offsets.Partition]*checker.Reading {
	readings := map[offsets.Partition]*checker.Reading{}
	for at := range set {
		readings[at] = checker.NewReading(at)
	}
	return readings
}

// auditor compares the two sides.
type auditor struct {
	check  *checker.Checker
	expect func(*kgo.Record) []*kgo.Record
	widths map[string]int // partitions of each output topic
	also   func(*kgo.Record)
	// prints has for each input record the sum of the fingerprints of its outputs: those expected minus those found.
	prints   map[offsets.Partition][]uint64
	readings map[offsets.Partition]*checker.Reading
}

func (a *auditor) input(r *kgo.Record) {
	at := offsets.Partition{Topic: r.Topic, Number: r.Partition}
	outs := a.expect(r)
	a.check.Input(at, r.Offset, len(outs))
	for i, out := range outs {
		out.Timestamp = r.Timestamp
		out.Partition = a.partition(out, r.Partition)
		a.add(at, r.Offset, fingerprint(i, out))
	}
}

// partition returns where an output must be: with a key, where Kafka's clients send it, else beside its input.
func (a *auditor) partition(out *kgo.Record, from int32) int32 {
	n := a.widths[out.Topic]
	if out.Key != nil {
		return int32(byKey.Partition(out, n))
	}
	return from % int32(n)
}

var byKey = kgo.StickyKeyPartitioner(nil).ForTopic("any")

func (a *auditor) output(r *kgo.Record) {
	at := offsets.Partition{Topic: r.Topic, Number: r.Partition}
	a.readings[at].Record(r.Offset, fingerprint(0, r))
	if a.also != nil {
		a.also(r)
	}
	from, ok := processor.ProvenanceOf(r)
	if !ok {
		a.check.Foreign(at, r.Offset)
		return
	}
	a.check.Output(at, r.Offset, from.Partition, from.Offset, from.Index, from.Count)
	r.Headers = slices.DeleteFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == processor.ProvenanceHeader })
	a.add(from.Partition, from.Offset, -fingerprint(from.Index, r))
}

func (a *auditor) add(at offsets.Partition, offset int64, mark uint64) {
	prints := a.prints[at]
	for int64(len(prints)) <= offset {
		prints = append(prints, 0)
	}
	prints[offset] += mark
	a.prints[at] = prints
}

func (a *auditor) report() (checker.Report, error) {
	r := a.check.Report()
	if !r.OK() {
		return r, fmt.Errorf("%v\n%s", r, strings.Join(r.Examples, "\n"))
	}
	for at, prints := range a.prints {
		for offset, left := range prints {
			if left != 0 {
				return r, fmt.Errorf("the output of %s@%d is not what it must be: topic, partition, key, value, headers or timestamp", at, offset)
			}
		}
	}
	return r, nil
}

var printSeed = maphash.MakeSeed()

// fingerprint tells whether two outputs are the same; index is which of its input's outputs it is. nil and empty differ.
func fingerprint(index int, r *kgo.Record) uint64 {
	var h maphash.Hash
	h.SetSeed(printSeed)
	part := func(b []byte) {
		n := len(b)
		if b == nil {
			n = -1
		}
		maphash.WriteComparable(&h, n)
		h.Write(b)
	}
	maphash.WriteComparable(&h, index)
	maphash.WriteComparable(&h, r.Partition)
	maphash.WriteComparable(&h, r.Timestamp.UnixMilli())
	part([]byte(r.Topic))
	part(r.Key)
	part(r.Value)
	maphash.WriteComparable(&h, len(r.Headers))
	for _, header := range r.Headers {
		part([]byte(header.Key))
		part(header.Value)
	}
	return h.Sum64()
}

// read gives each read_committed record below the ends to f, those of a partition in their order.
func (p *pipe) read(ctx context.Context, ends offsets.Set, f func(*kgo.Record), more ...kgo.Opt) error {
	return p.readAs(ctx, kgo.ReadCommitted(), ends, func(r *kgo.Record) {
		if !r.Attrs.IsControl() {
			f(r)
		}
	}, more...)
}

// readAs gives each record below the ends that this level shows to f, markers included. What a broker shows by mistake, it does not: see stableReader.
func (p *pipe) readAs(ctx context.Context, level kgo.IsolationLevel, ends offsets.Set, f func(*kgo.Record), more ...kgo.Opt) error {
	starts := map[string]map[int32]kgo.Offset{}
	left := map[offsets.Partition]int64{}
	for at, end := range ends {
		if end.Offset == 0 {
			continue
		}
		if starts[at.Topic] == nil {
			starts[at.Topic] = map[int32]kgo.Offset{}
		}
		starts[at.Topic][at.Number] = kgo.NewOffset().AtStart()
		left[at] = end.Offset
	}
	if len(left) == 0 {
		return nil
	}
	options := p.cluster.Options(kgo.ConsumePartitions(starts), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchIsolationLevel(level))
	records := kgo.Fetches.Records
	if level == kgo.ReadCommitted() {
		records = stableReader(p.t).Records
	}
	cl, err := kgo.NewClient(append(options, more...)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	next := map[offsets.Partition]int64{}
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read up to %v: %w", left, err)
		}
		for _, r := range records(fetches) {
			at := offsets.Partition{Topic: r.Topic, Number: r.Partition}
			if r.Offset < next[at] {
				return fmt.Errorf("the reading client gives %v@%d again, after @%d: what it gives is not what stands in the log", at, r.Offset, next[at]-1)
			}
			next[at] = r.Offset + 1
			end, reading := left[at]
			if reading && r.Offset < end {
				f(r)
			}
			if r.Offset >= end-1 {
				delete(left, at)
			}
		}
	}
	return nil
}

// stableReader is for a read_committed reader: brokers list too few aborted transactions at times (testAbortedNotListed), and then give a reader what was
// aborted. That is none of a pipe's faults, and it is told in the log.
func stableReader(t testing.TB) *isolation.Reader {
	return &isolation.Reader{Unlisted: func(topic string, partition int32, a isolation.Aborted) {
		t.Logf("a broker gives a reader of %s-%d %d records of an aborted transaction of producer %d, from @%d to @%d", topic, partition, a.Records, a.ProducerID, a.First, a.Last)
	}}
}

// listed returns what one of kadm's List…Offsets says of all partitions of the topics.
func (p *pipe) listed(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error), topics []string) (offsets.Set, error) {
	listed, err := list(ctx, topics...)
	if err := errors.Join(err, listed.Error()); err != nil {
		return nil, err
	}
	set := offsets.Set{}
	listed.Each(func(o kadm.ListedOffset) {
		set[offsets.Partition{Topic: o.Topic, Number: o.Partition}] = offsets.NewPosition(o.Offset)
	})
	return set, nil
}

// requireNothingOpen requires that no transaction of the pipe is open: none is Ongoing, and those that are decided
// become complete, so that the last stable offset of the output is its end.
func (p *pipe) requireNothingOpen() {
	p.t.Helper()
	p.await("no transaction is open", 10*time.Second, func(ctx context.Context) (bool, error) {
		ongoing, ending, err := p.open(ctx)
		require.Empty(p.t, ongoing, "transactional ids with an open transaction")
		return err == nil && len(ending) == 0, fmt.Errorf("still ending: %v; %w", ending, err)
	})
}

// awaitNothingOpen waits until the brokers have aborted what a dead process left open.
func (p *pipe) awaitNothingOpen(within time.Duration) {
	p.t.Helper()
	p.await("no transaction is open", within, func(ctx context.Context) (bool, error) {
		ongoing, ending, err := p.open(ctx)
		return err == nil && len(ongoing)+len(ending) == 0, err
	})
}

// open returns which of the pipe's transactional ids have an open transaction, and where one is just being ended: ids and
// output partitions.
func (p *pipe) open(ctx context.Context) (ongoing, ending []string, err error) {
	listed, err := p.adm.ListTransactions(ctx, nil, nil)
	for _, txn := range listed {
		if !strings.HasPrefix(txn.TxnID, p.group+"-") {
			continue
		}
		switch txn.State {
		case "Ongoing":
			ongoing = append(ongoing, txn.TxnID)
		case "PrepareCommit", "PrepareAbort", "PrepareEpochFence":
			ending = append(ending, txn.TxnID)
		}
	}
	stable, serr := p.listed(ctx, p.adm.ListCommittedOffsets, p.to)
	ends, eerr := p.listed(ctx, p.adm.ListEndOffsets, p.to)
	for at, end := range ends {
		if stable[at].Offset != end.Offset {
			ending = append(ending, at.String())
		}
	}
	producers, perr := p.adm.DescribeProducers(ctx, topicsSet(ends))
	for _, topic := range producers {
		for _, partition := range topic.Partitions {
			for _, producer := range partition.ActiveProducers {
				if producer.CurrentTxnStartOffset >= 0 {
					ending = append(ending, fmt.Sprintf("producer %d in %s-%d", producer.ProducerID, topic.Topic, partition.Partition))
				}
			}
		}
	}
	return ongoing, ending, errors.Join(err, serr, eerr, perr)
}

func topicsSet(set offsets.Set) kadm.TopicsSet {
	topics := kadm.TopicsSet{}
	for at := range set {
		topics.Add(at.Topic, at.Number)
	}
	return topics
}
