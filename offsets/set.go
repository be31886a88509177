package offsets

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Set holds at most one position for each partition: what a group has committed, or where logs end. Like any map
// it may be read when nil, and must be made before [Set.Advance].
type Set map[Partition]Position

// ParseSet reads what [Set.String] writes: "orders-0=42 orders-1=7@3", in any order, with any white space between.
// A partition named twice is an error. The empty string is the empty set, which is not nil.
func ParseSet(s string) (Set, error) {
	set := Set{}
	for field := range strings.FieldsSeq(s) {
		name, at, ok := strings.Cut(field, "=")
		if !ok {
			return nil, fmt.Errorf("offsets %q: no '='; write <topic>-<number>=<offset>, such as orders-3=42", field)
		}
		p, err := ParsePartition(name)
		if err != nil {
			return nil, fmt.Errorf("offsets: %w", err)
		}
		pos, err := ParsePosition(at)
		if err != nil {
			return nil, fmt.Errorf("offsets of %s: %w", p, err)
		}
		if before, twice := set[p]; twice {
			return nil, fmt.Errorf("offsets: %s is given twice (%s and %s); leave one of them out", p, before, pos)
		}
		set[p] = pos
	}
	return set, nil
}

// String gives one line in the order of [Partition.Compare]: "orders-0=42 orders-1=7@3"; "" for an empty set.
func (s Set) String() string {
	var b strings.Builder
	for p, pos := range s.Sorted() {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(p.String())
		b.WriteByte('=')
		b.WriteString(pos.String())
	}
	return b.String()
}

// Sorted yields the partitions with their positions in the order of [Partition.Compare]. The set must not be
// changed by others meanwhile.
func (s Set) Sorted() iter.Seq2[Partition, Position] {
	return func(yield func(Partition, Position) bool) {
		for _, p := range slices.SortedFunc(maps.Keys(s), Partition.Compare) {
			if !yield(p, s[p]) {
				return
			}
		}
	}
}

// Clone returns a set of its own with the same content; never nil, so that it can be advanced.
func (s Set) Clone() Set {
	clone := make(Set, len(s))
	maps.Copy(clone, s)
	return clone
}

// Equal reports whether both sets hold the same partitions at the same offsets. Leader epochs are not compared:
// brokers, and clients of different age, report them or not for one and the same place in a log.
// It holds exactly when [Diff] finds no change.
func (s Set) Equal(other Set) bool {
	return maps.EqualFunc(s, other, func(a, b Position) bool { return a.Offset == b.Offset })
}

// Covers reports whether s holds every partition of other, at other's offset or past it: whoever has come as far
// as s has done all that other asks for. Leader epochs are not compared.
func (s Set) Covers(other Set) bool {
	for p, want := range other {
		if have, ok := s[p]; !ok || have.Offset < want.Offset {
			return false
		}
	}
	return true
}

// Advance puts partition p at pos. It refuses to go back to a smaller offset, and a negative offset: then the set
// is as it was, and the error says so. At the same offset the newer of the two leader epochs stays.
func (s Set) Advance(p Partition, pos Position) error {
	before, ok := s[p]
	switch {
	case pos.Offset < 0:
		return fmt.Errorf("advance %s to %s: not an offset that Kafka can commit; the position was left as it is", p, pos)
	case ok && pos.Offset < before.Offset:
		return fmt.Errorf("advance %s from %s to %s: would go back, and records be read again; the position was left as it is", p, before, pos)
	case ok && pos.Offset == before.Offset:
		pos.LeaderEpoch = max(pos.LeaderEpoch, before.LeaderEpoch)
	}
	s[p] = pos
	return nil
}

// Lag returns how many offsets lie between s and the ends of the logs: for each partition of end, and in total.
// Offsets are counted, not records: control records and compacted gaps are part of it.
//
//   - A partition missing from s counts as unread from offset 0, so that a group without commits does not look done.
//   - A position past the end (the log was cut, or the topic made anew) gives a negative lag of that partition, as
//     in Kafka's own tools; the total counts it as 0, so that it hides no other partition's lag.
//   - Partitions of s that are missing from end are left out: their end is not known.
func (s Set) Lag(end Set) (lags map[Partition]int64, total int64) {
	lags = make(map[Partition]int64, len(end))
	for p, e := range end {
		lag := e.Offset - s[p].Offset
		lags[p] = lag
		total += max(lag, 0)
	}
	return lags, total
}
