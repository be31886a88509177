package checker

import (
	"fmt"
	"iter"
	"maps"
	"math/bits"
	"slices"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// MaxExamples is how many findings a [Report] tells in words at most.
const MaxExamples = 10

// Report is what a [Checker] found. Its JSON form is a contract: fields may be added, not renamed.
type Report struct {
	In  int64 `json:"in"`  // input records told of, filtered ones included
	Out int64 `json:"out"` // output records told of, foreign ones included

	Lost    int64 `json:"lost"`    // input records that must have outputs and have none at all
	Doubled int64 `json:"doubled"` // output records beyond the first of the same input and index

	// Phantom counts output records that no committed input asks for: of an aborted record, of one beyond the
	// committed offset, of a filtered one, or more of an input than it must have.
	Phantom   int64 `json:"phantom"`
	Reordered int64 `json:"reordered"` // places where outputs go back in the order of their input partition
	Torn      int64 `json:"torn"`      // input records with some, but not all, of their outputs
	Foreign   int64 `json:"foreign"`   // output records that do not say where they come from
	Retimed   int64 `json:"retimed"`   // output records with another timestamp than their input

	// Examples tells up to MaxExamples of the findings, a line each with coordinates as <topic>-<partition>@<offset>;
	// every class that has findings is among them.
	Examples []string `json:"examples"`
}

// OK reports whether there is no finding of any class. It is true when nothing was told: whoever wants proof looks
// at In and Out too.
func (r Report) OK() bool {
	return r.Lost == 0 && r.Doubled == 0 && r.Phantom == 0 && r.Reordered == 0 && r.Torn == 0 && r.Foreign == 0 && r.Retimed == 0
}

// String gives all counts in one line: "in=7 out=7 lost=0 doubled=0 phantom=0 reordered=0 torn=0 foreign=0 retimed=0".
func (r Report) String() string {
	return fmt.Sprintf("in=%d out=%d lost=%d doubled=%d phantom=%d reordered=%d torn=%d foreign=%d retimed=%d",
		r.In, r.Out, r.Lost, r.Doubled, r.Phantom, r.Reordered, r.Torn, r.Foreign, r.Retimed)
}

// Report judges all that has been told so far; more may be told afterwards. What is still to be told shows as lost
// (outputs) or phantom (inputs), so it is final only when both are complete.
func (c *Checker) Report() Report {
	v := verdict{doubled: c.doubled.clone(), reordered: c.reorder, foreign: c.foreign, retimed: c.retimed.clone(), sightings: c.sightings}
	for _, p := range slices.SortedFunc(maps.Keys(c.inputs), offsets.Partition.Compare) {
		c.inputs[p].judge(&v, p)
	}
	c.ids.judge(&v)
	return Report{
		In: c.in, Out: c.out,
		Lost: v.lost.count, Doubled: v.doubled.count, Phantom: v.phantom.count,
		Reordered: v.reordered.count, Torn: v.torn.count, Foreign: v.foreign.count,
		Retimed:  v.retimed.count,
		Examples: v.examples(),
	}
}

// verdict gathers the findings of one report.
type verdict struct {
	lost, doubled, phantom, reordered, torn, foreign, retimed findings

	sightings map[source]place
}

// examples takes the first of each class, then the second of each, until there are enough, and tells them by class.
func (v *verdict) examples() []string {
	classes := []struct {
		name string
		*findings
	}{
		{"lost", &v.lost},
		{"doubled", &v.doubled},
		{"phantom", &v.phantom},
		{"reordered", &v.reordered},
		{"torn", &v.torn},
		{"foreign", &v.foreign},
		{"retimed", &v.retimed},
	}
	takes := make([]int, len(classes))
	for left, round := MaxExamples, 0; round < MaxExamples; round++ {
		for i, class := range classes {
			if left > 0 && round < len(class.examples) {
				takes[i]++
				left--
			}
		}
	}
	lines := []string{} // not nil: [] in JSON
	for i, class := range classes {
		for _, text := range class.examples[:takes[i]] {
			lines = append(lines, class.name+": "+text)
		}
	}
	return lines
}

// clone lets more be added without changing f.
func (f *findings) clone() findings {
	return findings{count: f.count, examples: slices.Clone(f.examples)}
}

// judge adds what is wrong with the records of input partition p.
func (l *ledger) judge(v *verdict, p offsets.Partition) {
	for _, at := range slices.Sorted(maps.Keys(l.chunks)) {
		l.judgeChunk(v, p, at<<chunkBits, l.chunks[at])
	}
	for _, offset := range slices.Sorted(maps.Keys(l.odd)) {
		l.judgeOdd(v, source{p, offset}, l.odd[offset])
	}
}

// judgeChunk adds what is wrong with the records known by bits alone: no output, or one that no input asks for.
func (l *ledger) judgeChunk(v *verdict, p offsets.Partition, base int64, c *chunk) {
	for i := range chunkSize / 64 {
		one, copied := c.one.word(i), c.copied.word(i)
		if one == copied {
			continue
		}
		first := base + int64(i)*64
		for offset := range eachBit(one&^copied, first) {
			v.lost.add("%s@%d has no output", p, offset)
		}
		for offset := range eachBit(copied&^one, first) {
			v.addPhantom(source{p, offset}, 1, l.askedOf(offset, 0))
		}
	}
}

// judgeOdd adds what is wrong with one odd record. Outputs beyond the expected ones are phantoms; apart from these
// it needs as many outputs as it should have, and as they themselves say that there are.
func (l *ledger) judgeOdd(v *verdict, at source, r *oddRecord) {
	have, surplus := r.seen.len(), r.seen.countFrom(r.expect)
	if surplus > 0 {
		v.addPhantom(at, surplus, l.askedOf(at.offset, r.expect))
	}
	switch need := max(r.expect, r.declared); {
	case r.expect == 0: // filtered out, or no input at all
	case have == 0:
		v.lost.add("%s@%d has none of its %d outputs", at.partition, at.offset, need)
	case have < need:
		v.torn.add("%s@%d has %d of its %d outputs", at.partition, at.offset, have, need)
	}
}

// askedOf says why a record that must have expect outputs, if it is an input, must not have more.
func (l *ledger) askedOf(offset int64, expect int) string {
	switch {
	case l.hasInput(offset):
		return fmt.Sprintf("must have %s", outputs(expect))
	case offset > l.newest:
		return "is beyond the newest committed input of its partition"
	}
	return "is not among the committed inputs (aborted?)"
}

// addPhantom adds n outputs that at must not have, and why.
func (v *verdict) addPhantom(at source, n int, why string) {
	text := fmt.Sprintf("%s@%d %s, and has %s too many", at.partition, at.offset, why, outputs(n))
	if out, ok := v.sightings[at]; ok {
		text += fmt.Sprintf(", first at %s@%d", out.partition, out.offset)
	}
	v.phantom.addMany(int64(n), "%s", text)
}

func outputs(n int) string {
	if n == 1 {
		return "1 output"
	}
	return fmt.Sprintf("%d outputs", n)
}

// eachBit yields the places of the bits of word, counted from first.
func eachBit(word uint64, first int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for ; word != 0; word &= word - 1 {
			if !yield(first + int64(bits.TrailingZeros64(word))) {
				return
			}
		}
	}
}
