package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/internal/jq"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// runVerify compares the two sides of a pipe. nil means that every input record is in the output once; a finding is an
// *exitError with exitFailure.
func runVerify(ctx context.Context, s streams, opts verifyOptions) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(opts.BootstrapServers...))
	if err != nil {
		return err
	}
	defer cl.Close()
	v := &verifier{opts: opts, s: s, adm: kadm.NewClient(cl), check: checker.New(), lateIDs: map[string]bool{}, pass: transform{filter: opts.Filter, mapping: opts.Map}}
	result, err := v.run(ctx, cl)
	if err != nil {
		return err
	}
	if err := s.print(result); err != nil {
		return err
	}
	if !result.OK() {
		return &exitError{
			exitFailure, errors.New("the output is not an exactly-once copy of what the group has committed"),
			"examples of each kind are above; were all writers of the output topic this one pipe, and --filter and --map the same?",
		}
	}
	return nil
}

// verifier reads both sides into a checker.
type verifier struct {
	opts  verifyOptions
	s     streams
	adm   *kadm.Client
	check *checker.Checker
	pass  transform
	prog  *progress

	until, later offsets.Set     // what the group had committed before, and after, the output's end was asked for
	lateIDs      map[string]bool // of input records between the two
}

// late says whether a record of the input came between the two questions.
func (v *verifier) late(p offsets.Partition, offset int64) bool {
	return offset >= v.until[p].Offset && offset < v.later[p].Offset
}

// verifyResult is what verify prints.
type verifyResult struct {
	checker.Report
	Open int `json:"open"` // output partitions in which a transaction is open
}

// String returns the counts, and an example of each kind of finding.
func (r verifyResult) String() string {
	lines := append([]string{fmt.Sprintf("%s open=%d", r.Report, r.Open)}, r.Examples...)
	return strings.Join(lines, "\n  ")
}

func (v *verifier) run(ctx context.Context, cl *kgo.Client) (verifyResult, error) {
	bounded, cancel := context.WithTimeout(ctx, eos.DefaultConnectTimeout)
	defer cancel()
	if err := cl.Ping(bounded); err != nil {
		return verifyResult{}, fmt.Errorf("%w at %v: %w", eos.ErrUnreachable, v.opts.BootstrapServers, err)
	}
	// The pipe may go on meanwhile. All that the group has committed now is below the output's end, which is asked for
	// next; and all that is below that end is committed when the group is asked again. What comes from between the two
	// answers is not judged.
	until, err := v.committed(ctx)
	if err != nil {
		return verifyResult{}, err
	}
	stable, err := v.ends(ctx, v.opts.To, v.adm.ListCommittedOffsets)
	if err != nil {
		return verifyResult{}, err
	}
	high, err := v.ends(ctx, v.opts.To, v.adm.ListEndOffsets)
	if err != nil {
		return verifyResult{}, err
	}
	if v.later, err = v.committed(ctx); err != nil {
		return verifyResult{}, err
	}
	v.until = until
	v.prog = newProgress(v.s, "offsets read", total(until)+total(stable))
	defer v.prog.finish()
	if err := v.read(ctx, v.later, v.input); err != nil {
		return verifyResult{}, fmt.Errorf("read the input: %w", err)
	}
	if err := v.read(ctx, stable, v.output); err != nil {
		return verifyResult{}, fmt.Errorf("read the output: %w", err)
	}
	result := verifyResult{Report: v.check.Report()}
	for p, end := range high {
		if stable[p].Offset < end.Offset {
			result.Open++
		}
	}
	return result, nil
}

// committed returns how far the group has committed each partition of the input.
func (v *verifier) committed(ctx context.Context) (offsets.Set, error) {
	resp, err := v.adm.FetchOffsets(kadm.RequireStable(ctx), v.opts.Group)
	if errors.Is(err, kerr.CoordinatorNotAvailable) || errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("group %s has committed nothing: %w", v.opts.Group, err)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch the offsets of group %s: %w", v.opts.Group, err)
	}
	set := offsets.Set{}
	for _, topic := range v.opts.From {
		ends, err := v.ends(ctx, topic, v.adm.ListCommittedOffsets)
		if err != nil {
			return nil, err
		}
		known := false
		for p, end := range ends {
			if o, ok := resp.Lookup(p.Topic, p.Number); ok && o.Err == nil && o.At >= 0 {
				known = true
				set[p] = offsets.NewPosition(min(o.At, end.Offset))
			}
		}
		if !known {
			return nil, fmt.Errorf("group %s has committed nothing of topic %s: there is nothing to compare", v.opts.Group, topic)
		}
	}
	return set, nil
}

func (v *verifier) ends(ctx context.Context, topic string, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (offsets.Set, error) {
	listed, err := list(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list the offsets of %s: %w", topic, err)
	}
	set := offsets.Set{}
	for _, parts := range listed {
		for _, o := range parts {
			if o.Err != nil {
				return nil, fmt.Errorf("%w: %s", eos.ErrNoTopic, topic)
			}
			set[offsets.Partition{Topic: o.Topic, Number: o.Partition}] = offsets.NewPosition(o.Offset)
		}
	}
	return set, nil
}

// read gives every read_committed record below until to each, partition by partition in order of offset.
func (v *verifier) read(ctx context.Context, until offsets.Set, each func(context.Context, *kgo.Record) error) error {
	starts := map[string]map[int32]kgo.Offset{}
	left := map[offsets.Partition]int64{}
	for p, end := range until {
		start, err := v.adm.ListStartOffsets(ctx, p.Topic)
		if err != nil {
			return err
		}
		if o, _ := start.Lookup(p.Topic, p.Number); o.Offset >= end.Offset {
			continue
		}
		if starts[p.Topic] == nil {
			starts[p.Topic] = map[int32]kgo.Offset{}
		}
		starts[p.Topic][p.Number] = kgo.NewOffset().AtStart()
		left[p] = end.Offset
	}
	if len(left) == 0 {
		return nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(v.opts.BootstrapServers...), kgo.ConsumePartitions(starts),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	if err != nil {
		return err
	}
	defer cl.Close()
	return v.drain(ctx, cl, left, each)
}

// drain reads until every partition of left has come to its end. What lies before an end may be nothing but aborted
// records whose marker is behind it, which never show: a partition that stays silent for a while is at its end.
func (v *verifier) drain(ctx context.Context, cl *kgo.Client, left map[offsets.Partition]int64, each func(context.Context, *kgo.Record) error) error {
	for len(left) > 0 {
		quiet, cancel := context.WithTimeout(ctx, 15*time.Second)
		fetches := cl.PollFetches(quiet)
		silent := quiet.Err() != nil && ctx.Err() == nil
		cancel()
		if silent {
			v.s.Log.Warn("no record comes any more before the end that was asked for; taken as the end", "partitions", len(left))
			return nil
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		for iter := fetches.RecordIter(); !iter.Done(); {
			r := iter.Next()
			p := offsets.Partition{Topic: r.Topic, Number: r.Partition}
			end, reading := left[p]
			if reading && r.Offset < end && !r.Attrs.IsControl() {
				if err := each(ctx, r); err != nil {
					return err
				}
			}
			v.prog.add(1)
			if reading && r.Offset >= end-1 {
				delete(left, p)
			}
		}
	}
	return nil
}

// input tells the checker of one input record and how many outputs it must have.
func (v *verifier) input(ctx context.Context, r *kgo.Record) error {
	p := offsets.Partition{Topic: r.Topic, Number: r.Partition}
	record := rawToJQ(r)
	outs := []jq.Record{record}
	if v.opts.Filter != nil || v.opts.Map != nil {
		var err error
		if outs, err = v.pass.apply(ctx, record); err != nil {
			return fmt.Errorf("%s@%d: %w", p, r.Offset, err)
		}
	}
	if v.opts.ID == nil {
		if v.late(p, r.Offset) {
			return nil
		}
		expect := 0
		for _, out := range outs {
			if cmp.Or(out.To, v.opts.To) == v.opts.To { // what goes to another topic is not looked for here
				expect++
			}
		}
		v.check.Input(p, r.Offset, expect)
		return nil
	}
	id, err := v.opts.ID.ID(ctx, record)
	if err != nil {
		return fmt.Errorf("--id of %s@%d: %w", p, r.Offset, err)
	}
	if v.late(p, r.Offset) {
		v.lateIDs[id] = true
		return nil
	}
	for range outs {
		v.check.InputID(id, p, r.Offset)
	}
	return nil
}

// output tells the checker of one output record.
func (v *verifier) output(ctx context.Context, r *kgo.Record) error {
	out := offsets.Partition{Topic: r.Topic, Number: r.Partition}
	if v.opts.ID != nil {
		id, err := v.opts.ID.ID(ctx, rawToJQ(r))
		if err != nil {
			return fmt.Errorf("--id of %s@%d: %w", out, r.Offset, err)
		}
		if !v.lateIDs[id] {
			v.check.OutputID(id, out, r.Offset)
		}
		return nil
	}
	from, ok := processor.ProvenanceOf(r)
	switch {
	case !ok:
		v.check.Foreign(out, r.Offset)
	case !v.late(from.Partition, from.Offset):
		v.check.Output(out, r.Offset, from.Partition, from.Offset, from.Index, from.Count)
	}
	return nil
}

func rawToJQ(r *kgo.Record) jq.Record {
	out := jq.Record{Key: r.Key, Value: r.Value, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, jq.Header{Key: h.Key, Value: h.Value})
	}
	return out
}

func total(s offsets.Set) (n int64) {
	for _, p := range s {
		n += p.Offset
	}
	return n
}
