package main

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/millis"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// This file tells the checker of single records.

// tellInput tells of an input record that must have so many outputs.
func (v *verifier) tellInput(ctx context.Context, r *kgo.Record, p offsets.Partition, outputs int) error {
	if v.opts.ID == nil {
		v.check.Input(p, r.Offset, outputs)
		if v.compareTimes() {
			v.check.InputTime(p, r.Offset, millis.Of(r.Timestamp))
		}
		return nil
	}
	id, err := v.id(ctx, r)
	for range outputs {
		v.check.InputID(id, p, r.Offset)
		v.check.InputIDTime(id, millis.Of(r.Timestamp))
	}
	return err
}

// output tells of one output record.
func (v *verifier) output(ctx context.Context, r *kgo.Record) error {
	out := offsets.Partition{Topic: r.Topic, Number: r.Partition}
	if r.Topic == v.opts.DeadLetterTopic {
		if of := v.deadLetter(r); of != nil { // or else another pipe's
			return v.deadOutput(ctx, r, out, of)
		}
		return nil
	}
	if v.opts.ID != nil {
		return v.outputID(ctx, r, out, millis.Of(r.Timestamp), hasOwnTime(r))
	}
	from, ok := processor.ProvenanceOf(r)
	if !ok || !slices.Contains(v.opts.From, from.Partition.Topic) {
		v.others++
		v.check.Foreign(out, r.Offset)
		return nil
	}
	v.ours++
	if v.late(from.Partition, from.Offset) {
		return nil
	}
	v.check.Output(out, r.Offset, from.Partition, from.Offset, from.Index, from.Count)
	if hasOwnTime(r) && v.compareTimes() {
		v.check.OutputTime(out, r.Offset, from.Partition, from.Offset, millis.Of(r.Timestamp))
	}
	return nil
}

// deadOutput tells of a dead letter of these records of the input. The timestamp of its record is in its headers.
func (v *verifier) deadOutput(ctx context.Context, r *kgo.Record, out offsets.Partition, of []place) error {
	info, _ := processor.DeadLetterOf(r.Headers)
	if v.opts.ID != nil {
		return v.outputID(ctx, r, out, millis.Of(info.Timestamp), true)
	}
	for _, at := range of {
		if v.late(at.partition, at.offset) {
			continue
		}
		v.check.Output(out, r.Offset, at.partition, at.offset, 0, 1)
		if len(of) == 1 && v.compareTimes() {
			v.check.OutputTime(out, r.Offset, at.partition, at.offset, millis.Of(info.Timestamp))
		}
	}
	return nil
}

func (v *verifier) outputID(ctx context.Context, r *kgo.Record, out offsets.Partition, ms int64, hasTime bool) error {
	id, err := v.id(ctx, r)
	if err != nil || v.lateIDs[id] {
		return err
	}
	v.check.OutputID(id, out, r.Offset)
	v.check.OutputIDTime(id, ms)
	if !hasTime || !v.compareTimes() {
		v.check.WithoutIDTimes()
	}
	return nil
}

// hasOwnTime says whether the timestamp of r is that which its producer gave it, and not that of the broker (LogAppendTime).
func hasOwnTime(r *kgo.Record) bool { return r.Attrs.TimestampType() != 1 }

func (v *verifier) compareTimes() bool { return !v.opts.AnyTimestamp }

// judge makes the report. Where nothing in the output names the input, what is lost or doubled is not known, and is not counted.
func (v *verifier) judge(result *verifyResult) {
	result.Report = v.check.Report()
	if v.ours > 0 || v.others == 0 {
		return
	}
	result.Incomparable, result.Lost = true, 0
	result.Examples = slices.DeleteFunc(result.Examples, func(text string) bool { return strings.HasPrefix(text, "lost:") })
}
