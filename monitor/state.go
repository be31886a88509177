package monitor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// state is all that the monitor knows. It has no clock of its own and no lock: Monitor.mu guards it.
type state struct {
	started    time.Time
	group      string
	stuckAfter time.Duration
	draining   bool
	lanes      map[string]*lane // by transactional id
	lag        lag
	history    history
}

// lane is what is known of one lane, or of a session without a processor.
type lane struct {
	id         string
	state      eos.State
	since      time.Time // when the state was reached
	txn        uint64
	producerID int64
	epoch      int16

	ended   bool   // for good
	failure string // why it has stopped for good; "": it has not, or it has drained

	joined     bool // the group has answered it since its client was made
	partitions []offsets.Partition
	moved      time.Time // when it last committed, or had nothing to do

	ending  bool // the open transaction has come to its end
	inDoubt bool // and that was not answered

	counts
}

// counts are what a lane has done.
type counts struct {
	begun, committed           int64
	aborted                    map[eos.Cause]int64
	resolved                   map[eos.Outcome]int64 // transactions in doubt
	in, out, bytesIn, bytesOut int64                 // committed
	rebalances, replaced       int64
	flush, end                 time.Duration // of all transactions
	lastCommit                 time.Time
}

// lane returns the lane with that id, which is new at first.
func (s *state) lane(now time.Time, id string) *lane {
	l := s.lanes[id]
	if l == nil {
		l = &lane{id: id, state: eos.Starting, since: now, moved: now, producerID: -1, epoch: -1}
		l.aborted, l.resolved = map[eos.Cause]int64{}, map[eos.Outcome]int64{}
		s.lanes[id] = l
	}
	return l
}

// sorted returns the lanes by their ids.
func (s *state) sorted() []*lane {
	lanes := make([]*lane, 0, len(s.lanes))
	for _, id := range slices.Sorted(maps.Keys(s.lanes)) {
		lanes = append(lanes, s.lanes[id])
	}
	return lanes
}

// transition follows a session from state to state.
func (s *state) transition(now time.Time, t eos.Transition) {
	l := s.lane(now, t.TransactionalID)
	if t.From == eos.Starting {
		l.failure = "" // a new session
	}
	if t.To != l.state {
		l.state, l.since = t.To, now
	}
	l.txn, l.producerID, l.epoch = t.Txn, t.ProducerID, t.ProducerEpoch
	switch t.To {
	case eos.InTxn:
		l.begun++
		l.ending, l.inDoubt = false, false
	case eos.Committing:
		l.ending = true
	case eos.Replacing:
		l.replaced++
		l.inDoubt = l.ending
		l.leave()
	case eos.Stopped:
		l.inDoubt = l.inDoubt || l.ending
		l.leave()
		if l.failure == "" && isFinal(t.Err) {
			l.failure = describe(t.Err)
		}
	case eos.Starting, eos.Polling, eos.Preparing, eos.Flushing, eos.Aborting, eos.Resolving:
	}
}

// leave notes that the lane has no partitions until the group assigns some.
func (l *lane) leave() { l.joined, l.partitions = false, nil }

// isFinal says of why a session has stopped that no other one will be opened.
func isFinal(err error) bool {
	return err != nil && !errors.Is(err, eos.ErrClosed) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// describe says why a lane has stopped, without anything of a record in it: what a handler says may quote one.
func describe(err error) string {
	if r, ok := errors.AsType[*processor.RecordError](err); ok {
		return fmt.Sprintf("%s of record %s@%d failed; the log says why", r.Stage, r.Partition, r.Offset)
	}
	return err.Error()
}

// transaction counts one that has ended.
func (s *state) transaction(now time.Time, t eos.Transaction) {
	l := s.lane(now, t.TransactionalID)
	l.flush += t.Flush
	l.end += t.End
	if l.inDoubt || t.Outcome == eos.Unknown || t.Outcome == eos.Committed && t.Err != nil {
		l.resolved[t.Outcome]++
	}
	l.ending, l.inDoubt = false, false
	switch t.Outcome {
	case eos.Committed:
		l.committed++
		l.in += int64(t.In)
		l.out += int64(t.Out)
		l.bytesIn += int64(t.Bytes)
		l.bytesOut += int64(t.OutBytes)
		l.lastCommit, l.moved = now, now
	case eos.Aborted:
		l.aborted[eos.CauseOf(t.Err)]++
	case eos.Unknown, eos.NotAttempted: // no transaction ends so
	}
}

// assigned notes what the group has given to a session.
func (s *state) assigned(now time.Time, a eos.Assignment) {
	l := s.lane(now, a.TransactionalID)
	l.rebalances++
	if !l.joined {
		l.moved = now
	}
	l.joined, l.partitions = true, a.Partitions
}

// laneEvent notes that a lane of a processor starts or has ended.
func (s *state) laneEvent(now time.Time, e processor.LaneEvent) {
	l := s.lane(now, e.TransactionalID)
	l.ended = e.Ended
	if e.Ended {
		l.leave()
		l.state, l.since = eos.Stopped, now
	}
	if e.Err != nil {
		l.failure = describe(e.Err)
	}
}

// looked notes what the brokers have told of the lag.
func (s *state) looked(now time.Time, found lag) {
	if found.err != "" {
		s.lag.err = found.err
		return
	}
	s.lag = found
	for _, l := range s.lanes {
		if l.stableLag(found) == 0 {
			l.moved = now
		}
	}
}

// stableLag is how many offsets the lane's partitions have in front of it that it could read.
func (l *lane) stableLag(found lag) int64 {
	var n int64
	for _, p := range l.partitions {
		n += found.of[p].toStable()
	}
	return n
}

// owners says which lane has which partition.
func (s *state) owners() map[offsets.Partition]string {
	owners := map[offsets.Partition]string{}
	for id, l := range s.lanes {
		for _, p := range l.partitions {
			owners[p] = id
		}
	}
	return owners
}

// owned is the lag of the partitions that the process still has: what it had when the brokers were asked may be another one's by now, who
// tells it too.
func (s *state) owned() map[offsets.Partition]partitionLag {
	owned := map[offsets.Partition]partitionLag{}
	for p := range s.owners() {
		if of, ok := s.lag.of[p]; ok {
			owned[p] = of
		}
	}
	return owned
}

// total is the sum over the lanes.
func (s *state) total() counts {
	sum := counts{aborted: map[eos.Cause]int64{}, resolved: map[eos.Outcome]int64{}}
	for _, l := range s.lanes {
		sum.begun += l.begun
		sum.committed += l.committed
		for c, n := range l.aborted {
			sum.aborted[c] += n
		}
		for o, n := range l.resolved {
			sum.resolved[o] += n
		}
		sum.in, sum.out = sum.in+l.in, sum.out+l.out
		sum.bytesIn, sum.bytesOut = sum.bytesIn+l.bytesIn, sum.bytesOut+l.bytesOut
		sum.rebalances, sum.replaced = sum.rebalances+l.rebalances, sum.replaced+l.replaced
		sum.flush, sum.end = sum.flush+l.flush, sum.end+l.end
	}
	return sum
}

// allAborted is the number of aborted transactions, whatever the cause.
func (c counts) allAborted() int64 {
	var n int64
	for _, of := range c.aborted {
		n += of
	}
	return n
}
