package offsets

import (
	"fmt"
	"slices"
)

// Kind says how a partition differs between two sets. The zero Kind is none of them.
type Kind uint8

// The kinds of [Change].
const (
	Added    Kind = iota + 1 // only the later set holds the partition
	Removed                  // only the earlier set holds the partition
	Advanced                 // the offset grew
	Rewound                  // the offset shrank: records between will be, or were, read again
)

// String gives the kind in lower case, as in the text of a [Change].
func (k Kind) String() string {
	switch k {
	case Added:
		return "added"
	case Removed:
		return "removed"
	case Advanced:
		return "advanced"
	case Rewound:
		return "rewound"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Change is one partition that differs between two sets, and in which way. See [Diff].
type Change struct {
	Partition Partition
	Before    Position // without meaning when Kind is Added
	After     Position // without meaning when Kind is Removed
	Kind      Kind
}

// String gives one line: "orders-0 advanced 42 -> 50@3 (+8)", "orders-1 added 7", "orders-2 removed 9".
func (c Change) String() string {
	switch c.Kind {
	case Added:
		return fmt.Sprintf("%s added %s", c.Partition, c.After)
	case Removed:
		return fmt.Sprintf("%s removed %s", c.Partition, c.Before)
	case Advanced, Rewound:
	}
	return fmt.Sprintf("%s %s %s -> %s (%+d)", c.Partition, c.Kind, c.Before, c.After, c.After.Offset-c.Before.Offset)
}

// Diff returns what must change in before to become after, in the order of [Partition.Compare]; nil if nothing.
// Offsets are compared, leader epochs are not; see [Set.Equal].
func Diff(before, after Set) []Change {
	var changes []Change
	for p, b := range before {
		a, ok := after[p]
		switch {
		case !ok:
			changes = append(changes, Change{Partition: p, Before: b, Kind: Removed})
		case a.Offset > b.Offset:
			changes = append(changes, Change{Partition: p, Before: b, After: a, Kind: Advanced})
		case a.Offset < b.Offset:
			changes = append(changes, Change{Partition: p, Before: b, After: a, Kind: Rewound})
		}
	}
	for p, a := range after {
		if _, ok := before[p]; !ok {
			changes = append(changes, Change{Partition: p, After: a, Kind: Added})
		}
	}
	slices.SortFunc(changes, func(x, y Change) int { return x.Partition.Compare(y.Partition) })
	return changes
}
