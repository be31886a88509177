package checker

import (
	"fmt"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// Reading is what one reader has got of one partition, in the order in which it came. It belongs to one goroutine at a
// time. It keeps runs of offsets and one number for each readingStep records, and so little memory.
type Reading struct {
	partition offsets.Partition
	runs      spans
	count     int64
	last      int64
	chain     uint64   // of all records so far: their offsets, contents and order
	steps     []uint64 // the chain after each readingStep records
	at        []int64  // the offset of the last record of each step
	backward  findings
}

// readingStep is how close a difference between two readings can be named, in records.
const readingStep = 256

// NewReading returns a reading of p that has got nothing.
func NewReading(p offsets.Partition) *Reading { return &Reading{partition: p, last: -1} }

// Record tells of the next record: its offset, and a digest of all that must be the same for every reader.
func (r *Reading) Record(offset int64, digest uint64) {
	if offset <= r.last {
		r.backward.add("%s@%d comes after @%d", r.partition, offset, r.last)
	}
	r.count++
	r.last = offset
	r.runs.add(offset, offset)
	r.chain = mix(mix(r.chain, uint64(offset)), digest)
	if r.count%readingStep == 0 {
		r.steps, r.at = append(r.steps, r.chain), append(r.at, offset)
	}
}

// Count returns how many records the reading has.
func (r *Reading) Count() int64 { return r.count }

// mix adds x to a chain (the finalizer of splitmix64 over their sum).
func mix(chain, x uint64) uint64 {
	chain = chain*0x9e3779b97f4a7c15 + x + 1
	chain = (chain ^ chain>>30) * 0xbf58476d1ce4e5b9
	chain = (chain ^ chain>>27) * 0x94d049bb133111eb
	return chain ^ chain>>31
}

// Diff returns the first difference between two readings of the same partition, or "" if both got the same records in
// the same order. Readers of a log may be apart in how far they are, never in what they have got up to there: both must
// have been read up to the same end.
func (r *Reading) Diff(other *Reading) string {
	for _, one := range []*Reading{r, other} {
		if one.backward.count > 0 {
			return one.backward.examples[0]
		}
	}
	if only := r.runs.sorted().without(other.runs.sorted()); len(only) > 0 {
		return fmt.Sprintf("%s@%d was there for the first reader, and not for the second", r.partition, only[0].First)
	}
	if only := other.runs.sorted().without(r.runs.sorted()); len(only) > 0 {
		return fmt.Sprintf("%s@%d was not there for the first reader, and was for the second", r.partition, only[0].First)
	}
	for i, step := range r.steps {
		if step != other.steps[i] {
			return fmt.Sprintf("%s: of the %d records up to @%d one was another for the first reader than for the second", r.partition, readingStep, r.at[i])
		}
	}
	if r.chain != other.chain {
		return fmt.Sprintf("%s: of the last records, up to @%d, one was another for the first reader than for the second", r.partition, r.last)
	}
	return ""
}
