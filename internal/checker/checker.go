package checker

import (
	"fmt"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// Checker collects what went in and what came out. Make one with [New]. It belongs to one goroutine at a time.
type Checker struct {
	inputs map[offsets.Partition]*ledger // by input partition
	ids    identities

	in, out int64
	doubled findings
	reorder findings
	foreign findings
	retimed findings

	sightings map[source]place // of outputs whose input was not known then; at most maxSightings
}

// source is one input record; place is one output record.
type (
	source struct {
		partition offsets.Partition
		offset    int64
	}
	place struct {
		partition offsets.Partition
		offset    int64
	}
)

// maxSightings bounds what is remembered only to write better examples.
const maxSightings = 256

// New returns a Checker that has been told nothing; its report is OK.
func New() *Checker {
	return &Checker{inputs: map[offsets.Partition]*ledger{}, sightings: map[source]place{}}
}

// Input tells of one input record, and of how many output records must come of it: normally 1, and 0 (or less) when
// it is filtered out. Telling the same record again changes nothing.
func (c *Checker) Input(p offsets.Partition, offset int64, expect int) {
	if c.ledger(p).addInput(offset, max(expect, 0)) {
		c.in++
	}
}

// Output tells of one output record: where it stands, the input record it came from, and that it is number index
// (from 0) of the count that were made of that input. The records of one output partition must be told in the order
// of their offsets, each once. A record whose index and count make no sense counts as without provenance.
func (c *Checker) Output(out offsets.Partition, outOffset int64, from offsets.Partition, fromOffset int64, index, count int) {
	if index < 0 || index >= count {
		c.out++
		c.foreign.add("%s@%d says it is number %d of %d from %s@%d, which no writer of provenance says",
			out, outOffset, index, count, from, fromOffset)
		return
	}
	c.out++
	l := c.ledger(from)
	if !l.addOutput(fromOffset, index, count) {
		c.doubled.add("%s@%d is one more copy of number %d of %d from %s@%d", out, outOffset, index, count, from, fromOffset)
		return // and is out of order for that reason only
	}
	if last, ok := l.advance(out, step{offset: fromOffset, index: index}); !ok {
		c.reorder.add("%s@%d comes from %s@%d (%d of %d), behind a record from %s@%d",
			out, outOffset, from, fromOffset, index, count, from, last.offset)
	}
	if len(c.sightings) < maxSightings && !l.hasInput(fromOffset) {
		c.sight(source{from, fromOffset}, place{out, outOffset})
	}
}

// sight remembers the first output of an input that is not known so far.
func (c *Checker) sight(s source, p place) {
	if _, ok := c.sightings[s]; !ok {
		c.sightings[s] = p
	}
}

// Foreign tells of one output record without provenance: somebody else writes to the output, or the copy lost the
// header. Each counts as a finding, since nobody can say what it is a copy of.
func (c *Checker) Foreign(out offsets.Partition, offset int64) {
	c.out++
	c.foreign.add("%s@%d does not say where it comes from", out, offset)
}

func (c *Checker) ledger(p offsets.Partition) *ledger {
	l, ok := c.inputs[p]
	if !ok {
		l = newLedger()
		c.inputs[p] = l
	}
	return l
}

// findings counts one class and keeps the first few as text.
type findings struct {
	count    int64
	examples []string
}

func (f *findings) add(format string, args ...any) {
	f.addMany(1, format, args...)
}

// addMany counts n at once, told by one example.
func (f *findings) addMany(n int64, format string, args ...any) {
	f.count += n
	if !f.isFull() {
		f.examples = append(f.examples, fmt.Sprintf(format, args...))
	}
}

// isFull reports whether further examples would not be kept.
func (f *findings) isFull() bool { return len(f.examples) >= MaxExamples }
