package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// This file judges the output of a pipe, by what a plain client reads and not by what eos-pipe says of itself.
// TestPlanted shows that it finds what it is for.

// RequireExactlyOnce requires that the whole input is processed, in records of it, and is in the output exactly once, as
// out records: with the right bytes, in the order of its partition, with nothing open. `eos-pipe verify` must agree.
func (p *Pipe) RequireExactlyOnce(in, out int64) {
	p.T.Helper()
	report := p.RequireConsistent()
	ends, err := p.Listed(p.T.Context(), p.Adm.ListCommittedOffsets, p.From)
	require.NoError(p.T, err)
	stable, err := p.StableCommitted(p.T.Context())
	require.NoError(p.T, err)
	require.Equal(p.T, ends.String(), stable.String(), "where the input ends, and what the group has committed")
	require.Equal(p.T, in, report.In, "input records: %v", report)
	require.Equal(p.T, out, report.Out, "output records: %v", report)
	p.requireVerified(report)
}

// RequireConsistent requires that what the group has committed so far is in the output exactly once and nothing else is,
// and that no transaction is open.
func (p *Pipe) RequireConsistent() checker.Report {
	p.T.Helper()
	p.RequireNothingOpen()
	report, err := p.Audit(p.T.Context())
	if err != nil {
		p.Unlisted()
		p.Autopsy()
	}
	require.NoError(p.T, err)
	return report
}

// requireVerified requires that `eos-pipe verify` finds the same numbers, and nothing wrong.
func (p *Pipe) requireVerified(want checker.Report) {
	p.T.Helper()
	code, got := p.Verify()
	require.Zero(p.T, code, "eos-pipe verify: %+v", got)
	require.Equal(p.T, want.In, got.In, "input records that eos-pipe verify reads")
	require.True(p.T, got.OK())
	require.Zero(p.T, got.Open)
	if len(p.To) == 1 { // it looks at one output topic
		require.Equal(p.T, want.Out, got.Out, "output records that eos-pipe verify reads")
	}
}

// Verified is what `eos-pipe verify --json` prints.
type Verified struct {
	checker.Report
	Open int
}

// Verify runs `eos-pipe verify` to its end, and returns its exit code and what it printed.
func (p *Pipe) Verify(more ...string) (code int, v Verified) {
	p.T.Helper()
	pr := p.Spawn("verify", slices.Concat([]string{"verify", "--group", p.Group, "--json"}, p.Ends(), more))
	pr.Doomed = true
	code = pr.Wait(2 * time.Minute)
	require.NoError(p.T, json.Unmarshal(pr.Stdout.Bytes(), &v), "stdout of eos-pipe verify: %q; it said %q", pr.Stdout.String(), pr.Said())
	return code, v
}

// Audit reads both sides and returns what the checker says of them. The error is not nil if anything is wrong, be it the
// checker's finding, a record whose bytes or place are not what they must be, or a log that says otherwise than the reader.
func (p *Pipe) Audit(ctx context.Context) (checker.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	a, err := p.AuditWith(ctx, checker.NewOutcomes(), nil)
	return a.Report, err
}

// Audited is what an audit found, and what it read of the output.
type Audited struct {
	checker.Report
	Readings map[offsets.Partition]*checker.Reading // by output partition
	Log      checker.LogReport                      // of all output partitions
}

// AuditWith is audit without a bound of time. It tells outcomes of the output's markers; also, if not nil, gets each output
// record, before its provenance is taken off.
func (p *Pipe) AuditWith(ctx context.Context, outcomes *checker.Outcomes, also func(*kgo.Record)) (Audited, error) {
	until, err := p.StableCommitted(ctx)
	if err != nil {
		return Audited{}, err
	}
	ends, err := p.Listed(ctx, p.Adm.ListCommittedOffsets, p.To)
	if err != nil {
		return Audited{}, err
	}
	widths := map[string]int{}
	for at := range ends {
		widths[at.Topic]++
	}
	a := auditor{check: checker.New(), prints: map[offsets.Partition][]uint64{}, widths: widths, expect: p.Expect, also: also, readings: NewReadings(ends)}
	if a.expect == nil {
		a.expect = func(r *kgo.Record) []*kgo.Record {
			return []*kgo.Record{{Topic: p.To[0], Key: r.Key, Value: r.Value, Headers: r.Headers}}
		}
	}
	if err := p.Read(ctx, until, a.input); err != nil {
		return Audited{}, err
	}
	if err := p.Read(ctx, ends, a.output); err != nil {
		return Audited{}, err
	}
	got := Audited{Readings: a.readings}
	got.Report, err = a.report()
	return got, errors.Join(err, p.auditLogs(ctx, ends, outcomes, &got))
}

// auditLogs compares what the read_committed reader got with the logs themselves: the committed records of a log are those
// that the reader got, its offsets are all accounted for, and no transaction ended in one partition otherwise than in another.
func (p *Pipe) auditLogs(ctx context.Context, ends offsets.Set, outcomes *checker.Outcomes, got *Audited) error {
	logs, err := p.RawLogs(ctx, ends, outcomes)
	if err != nil {
		return err
	}
	total := int64(0)
	for at := range ends.Sorted() {
		got.Log.Add(logs[at].Report(got.Readings[at]))
		total += logs[at].Next()
	}
	if sum := got.Log.Committed + got.Log.Aborted + got.Log.Open + got.Log.Markers; sum != total {
		return fmt.Errorf("the logs of the output have %d offsets, and %d are accounted for: %+v", total, sum, got.Log)
	}
	if !got.Log.OK() {
		return fmt.Errorf("%+v\n%s", got.Log, strings.Join(got.Log.Examples, "\n"))
	}
	torn, examples := outcomes.Torn()
	if torn > 0 {
		return fmt.Errorf("%d markers contradict another one of their transaction\n%s", torn, strings.Join(examples, "\n"))
	}
	return nil
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
		a.add(at, r.Offset, Fingerprint(i, out))
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
	a.readings[at].Record(r.Offset, Fingerprint(0, r))
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
	a.add(from.Partition, from.Offset, -Fingerprint(from.Index, r))
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
