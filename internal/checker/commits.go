package checker

import (
	"cmp"
	"maps"
	"slices"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// Commits judges whether outputs and offsets were committed together, transaction by transaction. It is told the history
// of the group's committed offsets, as it stands in the log of the group's coordinator, and who wrote each output.
//
// The history cuts each input partition into pieces, one a transaction: from the offset committed before to its own.
// Every output must have been written by the producer, in the epoch, whose transaction committed the piece that its input
// is in. So an output that was committed without its offset, an offset without its output's transaction, and a zombie's
// output inside another's piece are seen even where the copy as a whole is right. At transaction.version 2 each
// transaction has an epoch of its own, and the comparison is exact; at version 1 it is one of producers.
type Commits struct {
	pieces map[offsets.Partition][]piece
	count  int64
	moved  int64 // outputs judged

	backward, astray, early findings
}

// piece is the input of one transaction: what lies below end, from the end of the one before.
type piece struct {
	end int64
	by  Writer
}

// NewCommits returns one that was told nothing.
func NewCommits() *Commits { return &Commits{pieces: map[offsets.Partition][]piece{}} }

// Commit tells of the next committed offset of an input partition, in the order of the coordinator's log. A commit by
// hand, outside of transactions, has a writer with an ID below 0. An offset that is committed again is not judged twice.
func (c *Commits) Commit(in offsets.Partition, offset int64, by Writer) {
	c.count++
	list := c.pieces[in]
	last := piece{end: -1}
	if len(list) > 0 {
		last = list[len(list)-1]
	}
	switch {
	case offset < last.end:
		c.backward.add("%s: %v commits @%d after %v had committed @%d", in, by, offset, last.by, last.end)
	case offset > last.end:
		c.pieces[in] = append(list, piece{offset, by})
	}
}

// Output tells of one committed output: where it stands, the input it was made of, and who wrote it. All commits must
// have been told before.
func (c *Commits) Output(out offsets.Partition, outOffset int64, from offsets.Partition, fromOffset int64, by Writer) {
	c.moved++
	list := c.pieces[from]
	i, _ := slices.BinarySearchFunc(list, fromOffset+1, func(p piece, end int64) int { return cmp.Compare(p.end, end) })
	if i == len(list) {
		c.early.add("%s@%d comes from %s@%d, whose offset nobody has committed", out, outOffset, from, fromOffset)
		return
	}
	if owner := list[i].by; owner != by {
		c.astray.add("%s@%d, from %s@%d, is of %v; the offset was committed by %v", out, outOffset, from, fromOffset, by, owner)
	}
}

// CommitsReport is what [Commits] found.
type CommitsReport struct {
	Commits int64 // offsets
	Outputs int64

	Backward int64 // offsets that were committed below an earlier one: a lost update
	Astray   int64 // outputs of another transaction than the one that committed their input
	Early    int64 // outputs whose input is committed by nobody

	Examples []string
}

// OK reports whether there is no finding.
func (r CommitsReport) OK() bool { return r.Backward+r.Astray+r.Early == 0 }

// Report judges what was told.
func (c *Commits) Report() CommitsReport {
	return CommitsReport{
		Commits: c.count, Outputs: c.moved, Backward: c.backward.count, Astray: c.astray.count, Early: c.early.count,
		Examples: slices.Concat(c.backward.examples, c.astray.examples, c.early.examples),
	}
}

// Ends returns the last committed offset of each input partition.
func (c *Commits) Ends() offsets.Set {
	ends := offsets.Set{}
	for in := range maps.Keys(c.pieces) {
		list := c.pieces[in]
		ends[in] = offsets.NewPosition(list[len(list)-1].end)
	}
	return ends
}
