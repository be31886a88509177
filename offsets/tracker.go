package offsets

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// Tracker keeps contiguous progress: records are taken in order and may be finished in any order, and it answers,
// for each partition, up to where everything taken is finished. Only that far may be committed.
//
// Records are told to it as ranges of offsets, usually one [Tracker.Begin] and one [Tracker.Done] for each
// partition of a fetch. Offsets of a range that hold no record (control records, compacted or aborted ones) go
// along with it; offsets between two ranges hold nothing that a reader is given, and count as finished with the
// range before them.
//
// Begin, and Done in the order of Begin, take constant time and do not allocate once a partition is known. Done out
// of order costs time linear in the number of unfinished ranges of that partition.
//
// The zero value is ready for use. A Tracker belongs to one goroutine at a time.
type Tracker struct {
	partitions map[Partition]*progress
	pending    int64 // offsets begun and not done: the sum of the widths of all spans
}

// Begin notes that the records first..last (both included) of partition p have been taken, under leaderEpoch, or a
// negative number if it is unknown. The range must lie behind every range begun before in that partition; to read
// again from an earlier offset, [Tracker.Forget] the partition first. On error nothing has changed.
func (t *Tracker) Begin(p Partition, first, last int64, leaderEpoch int32) error {
	if first < 0 || last < first || last == math.MaxInt64 {
		return fmt.Errorf("begin %s %d..%d: not a range of offsets; nothing was noted", p, first, last)
	}
	g, known := t.partitions[p]
	if known && first < g.begun.Offset {
		return fmt.Errorf("begin %s %d..%d: everything below %d was begun before, so records would be processed twice; "+
			"nothing was noted: forget the partition before reading it again", p, first, last, g.begun.Offset)
	}
	if !known {
		g = &progress{begun: NewPosition(first)}
		if t.partitions == nil {
			t.partitions = make(map[Partition]*progress)
		}
		t.partitions[p] = g
	}
	g.push(span{first: first, last: last, epoch: leaderEpoch, behind: g.begun, afterDone: g.isTailDone()})
	g.begun = Position{Offset: last + 1, LeaderEpoch: leaderEpoch}
	t.pending += last - first + 1
	return nil
}

// Done notes that the records first..last (both included) of partition p are finished. They may be a part of a
// begun range, or reach over several of them; first and last themselves must have been begun, and no offset may be
// finished twice. On error nothing has changed.
func (t *Tracker) Done(p Partition, first, last int64) error {
	g, known := t.partitions[p]
	if !known {
		return fmt.Errorf("done %s %d..%d: nothing of this partition was begun; nothing was noted", p, first, last)
	}
	spans := g.unfinished()
	from := searchSpan(spans, first)
	to := searchSpan(spans, last)
	if last < first || !isDoable(spans, from, to, first, last) {
		return fmt.Errorf("done %s %d..%d: a part was never begun, or is done already (begun below %d, all done below %d), so records "+
			"would count that were not processed, or count twice; nothing was noted", p, first, last, g.begun.Offset, g.position().Offset)
	}
	t.pending -= g.finish(from, to, first, last)
	return nil
}

// Positions returns, for each partition in which something was begun, the position up to which everything begun is
// done: what may be committed. When all is done that is the position behind the newest range, with its leader
// epoch. Before anything is done it is the first offset begun, with an unknown epoch. The set is the caller's.
func (t *Tracker) Positions() Set {
	set := make(Set, len(t.partitions))
	for p, g := range t.partitions {
		set[p] = g.position()
	}
	return set
}

// Begun returns, for each partition in which something was begun, the position behind it: what [Tracker.Positions]
// will be when all is done. The set is the caller's.
func (t *Tracker) Begun() Set {
	set := make(Set, len(t.partitions))
	for p, g := range t.partitions {
		set[p] = g.begun
	}
	return set
}

// Pending returns how many offsets are begun and not done, in all partitions. Offsets within a range that hold no
// record are counted, so it is an upper bound of the records in work.
func (t *Tracker) Pending() int64 { return t.pending }

// Forget drops partition p, as if nothing of it had been begun: because it was revoked, or will be read again from
// an earlier offset. It does nothing when the partition is not known.
func (t *Tracker) Forget(p Partition) {
	g, known := t.partitions[p]
	if !known {
		return
	}
	for _, s := range g.unfinished() {
		t.pending -= s.last - s.first + 1
	}
	delete(t.partitions, p)
}

// Reset drops all partitions: the tracker is as new.
func (t *Tracker) Reset() {
	clear(t.partitions)
	t.pending = 0
}

// progress is what a Tracker knows of one partition.
type progress struct {
	begun Position // behind everything begun
	spans []span   // spans[head:] is what is begun and not done: ascending, without overlap
	head  int      // spans before it are finished; their room is used again by push
}

// span is a run of offsets that is begun and not done, within one range of Begin.
type span struct {
	first, last int64
	behind      Position // where progress stands while this span is the first unfinished one
	epoch       int32
	afterDone   bool // offsets between this span and the unfinished one before it are done: no Done may reach across
}

func (g *progress) unfinished() []span { return g.spans[g.head:] }

func (g *progress) position() Position {
	if g.head == len(g.spans) {
		return g.begun
	}
	return g.spans[g.head].behind
}

// isTailDone reports whether some of what was begun behind the last unfinished span is done.
func (g *progress) isTailDone() bool {
	return g.head < len(g.spans) && g.spans[len(g.spans)-1].last+1 < g.begun.Offset
}

// push appends s. It first drops the finished spans at the front if they are the greater part, so that each span is
// moved at most once on average, and no room is taken that the unfinished ones do not need.
func (g *progress) push(s span) {
	if g.head > len(g.spans)/2 {
		g.spans = slices.Delete(g.spans, 0, g.head)
		g.head = 0
	}
	g.spans = append(g.spans, s)
}

// finish takes first..last out of the unfinished spans from..to, which isDoable has allowed, and returns how many
// offsets these were.
func (g *progress) finish(from, to int, first, last int64) (done int64) {
	spans := g.unfinished()
	for _, s := range spans[from : to+1] {
		done += min(s.last, last) - max(s.first, first) + 1
	}
	left, right := spans[from], spans[to]
	left.last = first - 1
	right.first, right.behind, right.afterDone = last+1, Position{Offset: last + 1, LeaderEpoch: right.epoch}, true
	keepLeft, keepRight := left.first <= left.last, right.first <= right.last
	if to+1 < len(spans) && !keepRight {
		spans[to+1].afterDone = true
	}
	switch {
	case keepLeft && keepRight:
		g.spans = slices.Replace(g.spans, g.head+from, g.head+to+1, left, right)
	case keepLeft:
		g.spans = slices.Replace(g.spans, g.head+from, g.head+to+1, left)
	case keepRight:
		g.spans = slices.Replace(g.spans, g.head+from, g.head+to+1, right)
	case from == 0: // the usual way: in the order of Begin
		g.head += to + 1
	default:
		g.spans = slices.Delete(g.spans, g.head+from, g.head+to+1)
	}
	return done
}

// isDoable reports whether first and last lie in the unfinished spans from and to, with nothing done in between.
func isDoable(spans []span, from, to int, first, last int64) bool {
	if to >= len(spans) || first < spans[from].first || last < spans[to].first {
		return false
	}
	return !slices.ContainsFunc(spans[from+1:to+1], func(s span) bool { return s.afterDone })
}

// searchSpan returns the index of the first span that ends at offset or behind it; len(spans) if none does.
func searchSpan(spans []span, offset int64) int {
	return sort.Search(len(spans), func(i int) bool { return spans[i].last >= offset })
}
