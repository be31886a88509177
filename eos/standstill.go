package eos

import (
	"time"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// This file finds partitions that stand still: the client has them and does not fetch them, and says nothing. None should; but a client that
// has lost track of one would leave it so until it ends, with no other sign than a lag. It is a pure value: what comes, and when the client
// had nothing more to give, goes in; which partitions are worth a question to the brokers comes out. See watchdog.go.

// lookInterval is the length of a round.
const lookInterval = 5 * time.Second

// A partition of which nothing comes is suspected after so many points. A round gives it hungryRound where the client had nothing more to
// give, so that nothing else can have kept this partition back; busyRound where it was asked; and none where it was not, as while a
// handler works. So it takes half a minute, or ten minutes beside partitions that keep the session busy.
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
	empty bool // the client had nothing more to give
}

// standing is one partition that the client has.
type standing struct {
	at        int64 // behind all that has come of it
	committed int64 // where it goes on after an abort
	known     bool  // to kgo, as one of which the group has a committed offset
	silent    int   // points
	patience  int
}

// convicted is where a partition has stood still, and how many points it gets before it is suspected there again: if a new client makes no
// difference, the next one comes later.
type convicted struct {
	at       int64
	patience int
}

// assigned notes that the client has p, and begins at an offset, which kgo knows to be committed or not.
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

// excuse begins the patience for p anew: an error came of it, or there is nothing more to read, or that cannot be known.
func (x *standstill) excuse(p offsets.Partition) {
	if s := x.parts[p]; s != nil {
		s.silent = 0
	}
}

// committed notes where the partitions of a transaction go on from now on.
func (x *standstill) committed(done offsets.Set) {
	for p, pos := range done {
		if s := x.parts[p]; s != nil {
			s.committed, s.known = pos.Offset, true
		}
	}
}

// back notes that the client goes back to what is committed.
func (x *standstill) rewound() {
	for _, s := range x.parts {
		s.at = s.committed
	}
}

// polled notes that the client was asked, and whether it had nothing more to give.
func (x *standstill) polled(empty bool) {
	x.asked = true
	x.empty = x.empty || empty
}

// look ends a round, and returns the partitions that are suspected, with the offsets at which they stand.
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

// convict says whether p has stood still at an offset until now, of which it is known that there is more to read.
func (x *standstill) convict(p offsets.Partition, at int64) bool {
	s := x.parts[p]
	if s == nil || s.at != at || s.silent < s.patience {
		return false
	}
	x.found[p] = convicted{at, min(2*s.patience, mostPatience)}
	return true
}
