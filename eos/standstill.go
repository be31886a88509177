package eos

import (
	"time"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// This file finds partitions that stand still: the client has them, does not fetch them, and reports nothing. That should not happen; but a
// client that has lost track of a partition would leave it so until the client is closed, and a lag would be the only sign. It is a pure
// value: its input is which records come, and when the client had no more of them; its output is which partitions the brokers should be
// asked about. See watchdog.go.

// lookInterval is the length of a round.
const lookInterval = 5 * time.Second

// A partition from which no records come is suspected after firstPatience points. A round gives it hungryRound if the client had no more
// records, so that no other partition can have kept this one back; busyRound if the client was asked for records; and none if it was not,
// as while a handler works. So suspicion takes half a minute, or ten minutes beside partitions that keep the session busy.
const (
	hungryRound   = 20
	busyRound     = 1
	firstPatience = 6 * hungryRound
	mostPatience  = 64 * firstPatience
)

// standstill is what is known of the partitions of one session's clients.
type standstill struct {
	parts map[offsets.Partition]*standing
	found map[offsets.Partition]convicted
	asked bool // since the last round
	empty bool // the client had no more records
}

// standing is one partition that the client has.
type standing struct {
	at        int64 // the offset after the last record that has come
	committed int64 // where reading continues after an abort
	known     bool  // kgo has a committed offset of it
	silent    int   // points
	patience  int
}

// convicted is the offset where a partition has stood still, and how many points it takes to suspect it there again: if a new client
// makes no difference, the next one comes later.
type convicted struct {
	at       int64
	patience int
}

// assigned notes that the client has p and begins at an offset; known says whether kgo knows that offset as committed.
func (x *standstill) assigned(p offsets.Partition, at int64, known bool) {
	if x.parts == nil {
		x.parts, x.found = map[offsets.Partition]*standing{}, map[offsets.Partition]convicted{}
	}
	s := &standing{at: at, committed: at, known: known, patience: firstPatience}
	if before, ok := x.found[p]; ok && before.at == at {
		s.patience = before.patience
	}
	x.parts[p] = s
}

// gone notes that the client has p no more.
func (x *standstill) gone(p offsets.Partition) { delete(x.parts, p) }

// came notes that all up to an offset has come of p.
func (x *standstill) came(p offsets.Partition, next int64) {
	if s := x.parts[p]; s != nil {
		s.at, s.silent, s.patience = next, 0, firstPatience
		delete(x.found, p)
	}
}

// excuse resets the points of p: it returned an error, or there is nothing more to read, or that cannot be known.
func (x *standstill) excuse(p offsets.Partition) {
	if s := x.parts[p]; s != nil {
		s.silent = 0
	}
}

// committed notes the offsets from which the partitions of a transaction continue.
func (x *standstill) committed(done offsets.Set) {
	for p, pos := range done {
		if s := x.parts[p]; s != nil {
			s.committed, s.known = pos.Offset, true
		}
	}
}

// rewound notes that the client is rewound to the committed offsets.
func (x *standstill) rewound() {
	for _, s := range x.parts {
		s.at = s.committed
	}
}

// polled notes that the client was asked for records, and whether it had no more of them.
func (x *standstill) polled(empty bool) {
	x.asked = true
	x.empty = x.empty || empty
}

// look ends a round, and returns the suspected partitions with the offsets they are at.
func (x *standstill) look() offsets.Set {
	points := 0
	switch {
	case x.asked && x.empty:
		points = hungryRound
	case x.asked:
		points = busyRound
	}
	x.asked, x.empty = false, false
	suspects := offsets.Set{}
	for p, s := range x.parts {
		if s.silent += points; s.silent >= s.patience {
			suspects[p] = offsets.NewPosition(s.at)
		}
	}
	return suspects
}

// isKnown says whether kgo has p among the partitions with committed offsets, while the client has it.
func (x *standstill) isKnown(p offsets.Partition) bool { return x.parts[p] != nil && x.parts[p].known }

// convict reports whether p has stood still at an offset until now; the caller knows that there is more to read from it.
func (x *standstill) convict(p offsets.Partition, at int64) bool {
	s := x.parts[p]
	if s == nil || s.at != at || s.silent < s.patience {
		return false
	}
	x.found[p] = convicted{at, min(2*s.patience, mostPatience)}
	return true
}
