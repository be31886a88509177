package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/internal/jq"
	"github.com/eos-pipe/eos-pipe/internal/millis"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// judge tells a checker of single records. Records come in this order: the dead letters, the input, the newest input,
// the output; those of a partition in the order of their offsets. It belongs to one goroutine.
type judge struct {
	Config
	check *checker.Checker
	pass  jq.Transform

	until, later offsets.Set     // what the group had committed before, and after, the output's end was asked for
	lateIDs      map[string]bool // of input records between the two
	outputs      map[string]bool // topics that the pipe writes, as far as it is known
	letters      letters         // input records that are dead letters
	ours, others int64           // records of the output with the header of this pipe, and without or with another's
}

func newJudge(c Config) *judge {
	j := &judge{
		Config: c, check: checker.New(), pass: jq.Transform{Filter: c.Filter, Map: c.Map},
		lateIDs: map[string]bool{}, outputs: map[string]bool{c.To: true}, letters: newLetters(),
	}
	if c.DeadLetterTopic != "" {
		j.outputs[c.DeadLetterTopic] = true
	}
	return j
}

// deadLetter notes of which input records r is a dead letter.
func (j *judge) deadLetter(_ context.Context, r *kgo.Record) error {
	if l, ok := j.letterOf(r); ok {
		j.letters.add(l)
	}
	return nil
}

// input tells of one input record and how many outputs it must have. The map may send some of them to other topics,
// which are then outputs as well.
func (j *judge) input(ctx context.Context, r *kgo.Record) error {
	p := offsets.Partition{Topic: r.Topic, Number: r.Partition}
	outs := []jq.Record{{}} // a dead letter is one record, too
	if !j.letters.has(p, r.Offset) {
		var err error
		switch outs, err = j.pass.Apply(ctx, jq.FromKafka(r)); {
		case err != nil && j.Policy == processor.SkipOnError:
			outs = nil
		case err != nil:
			return &ProgramError{p, r.Offset, err}
		}
	}
	for _, out := range outs {
		j.outputs[cmp.Or(out.To, j.To)] = true
	}
	return j.tellInput(ctx, r, p, len(outs))
}

// tellInput tells of an input record that must have n outputs.
func (j *judge) tellInput(ctx context.Context, r *kgo.Record, p offsets.Partition, n int) error {
	if j.ID == nil {
		j.check.Input(p, r.Offset, n)
		if !j.AnyTimestamp {
			j.check.InputTime(p, r.Offset, millis.Of(r.Timestamp))
		}
		return nil
	}
	id, err := j.id(ctx, r)
	for range n {
		j.check.InputID(id, p, r.Offset)
		j.check.InputIDTime(id, millis.Of(r.Timestamp))
	}
	return err
}

// lateInput notes the id of an input record whose output is not judged.
func (j *judge) lateInput(ctx context.Context, r *kgo.Record) error {
	id, err := j.id(ctx, r)
	j.lateIDs[id] = true
	return err
}

// isLate reports whether a record of the input came between the two answers of the group.
func (j *judge) isLate(p offsets.Partition, offset int64) bool {
	return offset >= j.until[p].Offset && offset < j.later[p].Offset
}

// output tells of one output record. A dead letter of another pipe is none.
func (j *judge) output(ctx context.Context, r *kgo.Record) error {
	out := offsets.Partition{Topic: r.Topic, Number: r.Partition}
	if r.Topic == j.DeadLetterTopic {
		if l, ok := j.letterOf(r); ok {
			return j.deadOutput(ctx, r, out, l)
		}
		return nil
	}
	if j.ID != nil {
		return j.outputID(ctx, r, out, millis.Of(r.Timestamp), hasOwnTime(r))
	}
	from, ok := processor.ProvenanceOf(r)
	if !ok || !slices.Contains(j.From, from.Partition.Topic) {
		j.others++
		j.check.Foreign(out, r.Offset)
		return nil
	}
	j.ours++
	if j.isLate(from.Partition, from.Offset) {
		return nil
	}
	j.check.Output(out, r.Offset, from.Partition, from.Offset, from.Index, from.Count)
	if hasOwnTime(r) && !j.AnyTimestamp {
		j.check.OutputTime(out, r.Offset, from.Partition, from.Offset, millis.Of(r.Timestamp))
	}
	return nil
}

// outputID tells of one output record by its id. ms is its timestamp, which counts if hasTime is set.
func (j *judge) outputID(ctx context.Context, r *kgo.Record, out offsets.Partition, ms int64, hasTime bool) error {
	id, err := j.id(ctx, r)
	if err != nil || j.lateIDs[id] {
		return err
	}
	j.check.OutputID(id, out, r.Offset)
	j.check.OutputIDTime(id, ms)
	if !hasTime || j.AnyTimestamp {
		j.check.WithoutIDTimes()
	}
	return nil
}

func (j *judge) id(ctx context.Context, r *kgo.Record) (string, error) {
	id, err := j.ID.ID(ctx, jq.FromKafka(r))
	if err != nil {
		return "", fmt.Errorf("--id of %s-%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	return id, nil
}

// hasOwnTime reports whether r has the timestamp that its producer gave it, and not that of the broker (LogAppendTime).
func hasOwnTime(r *kgo.Record) bool { return r.Attrs.TimestampType() != 1 }

// result returns what was found. Where nothing in the output names the input, what is lost or doubled is not known, and
// is not counted.
func (j *judge) result() Result {
	r := Result{Report: j.check.Report()}
	if j.ours > 0 || j.others == 0 {
		return r
	}
	r.Incomparable, r.Lost = true, 0
	r.Examples = slices.DeleteFunc(r.Examples, func(text string) bool { return strings.HasPrefix(text, "lost:") })
	return r
}
