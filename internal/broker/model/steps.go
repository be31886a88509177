package model

import (
	"slices"

	"github.com/eos-pipe/eos-pipe/trace"
)

// This file mirrors what brokers do without being asked: TransactionMarkerChannelManager (markers, COMPLETE record),
// TransactionCoordinator.abortTimedOutTransactions, TransactionStateManager (expiry of transactional ids) and the expiry of
// producers (KIP-98).
//
// Simplification: a partition whose leader refuses a marker for good stays in its transaction until the coordinator is
// reloaded; markers for its other partitions are under way and still arrive.

// StepKind is a kind of thing that a broker does on its own.
type StepKind uint8

// The kinds of steps.
const (
	StepMarker          StepKind = iota // the marker of an ending transaction reaches one partition
	StepComplete                        // the record that all markers are written
	StepTimeout                         // a transaction that is open for too long is fenced and aborted
	StepExpireTxnID                     // a transactional id that was not used for long is forgotten
	StepExpireProducers                 // a partition forgets producers that were silent for long
)

// String gives the step's name.
func (k StepKind) String() string {
	return [...]string{"marker", "complete", "timeout", "expire-id", "expire-producers"}[k]
}

// Step is one such thing. TxnID is set for all but StepExpireProducers, Partition for it and StepMarker.
type Step struct {
	Kind      StepKind
	TxnID     string
	Partition trace.Partition
}

// Steps appends to out all steps that can be taken now, in a fixed order, and returns it. Time-outs and expiries are possible
// once their time is up; a real broker looks for them at intervals (Rules.TimeoutScanMs and so on), which is for the caller.
func (b *Broker) Steps(out []Step) []Step {
	for _, t := range b.txns.txns {
		out = t.steps(b.nowMs, &b.rules, out)
	}
	for _, p := range b.partitions {
		if slices.ContainsFunc(p.producers, func(e ProducerEntry) bool { return isExpired(&e, b.nowMs, &b.rules) }) {
			out = append(out, Step{Kind: StepExpireProducers, Partition: p.Name})
		}
	}
	return out
}

func (t *Txn) steps(nowMs int64, r *Rules, out []Step) []Step {
	switch {
	case t.State.isPrepare():
		for _, p := range t.Partitions {
			if !slices.Contains(t.refused, p) {
				out = append(out, Step{Kind: StepMarker, TxnID: t.ID, Partition: p})
			}
		}
		if len(t.Partitions) == 0 {
			out = append(out, Step{Kind: StepComplete, TxnID: t.ID})
		}
	case t.State == Ongoing && t.isTimedOut(nowMs, r):
		out = append(out, Step{Kind: StepTimeout, TxnID: t.ID})
	case t.State.isIdle() && t.UpdateMs <= nowMs-r.TxnIDExpiryMs:
		out = append(out, Step{Kind: StepExpireTxnID, TxnID: t.ID})
	}
	return out
}

// isTimedOut counts from the first partition that was added; what happens later does not refresh it.
func (t *Txn) isTimedOut(nowMs int64, r *Rules) bool {
	return t.TimeoutMs != neverTimesOut && t.StartMs+int64(t.TimeoutMs) < nowMs && !r.has(BugNoTimeout)
}

// Take does one step. It reports false, and does nothing, if the step is not possible now.
// The answer is that of the partition for StepMarker.
func (b *Broker) Take(s Step) (Appended, bool) {
	t := b.txns.index[s.TxnID]
	if s.Kind != StepExpireProducers && (t == nil || !slices.Contains(t.steps(b.nowMs, &b.rules, nil), s)) {
		return Appended{}, false
	}
	switch s.Kind {
	case StepMarker:
		return b.sendMarker(t, s.Partition), true
	case StepComplete:
		t.complete(b.nowMs)
	case StepTimeout:
		b.txns.fence(t, b.nowMs, &b.rules)
	case StepExpireTxnID:
		b.txns.remove(t)
	case StepExpireProducers:
		p := b.Partition(s.Partition)
		return Appended{}, p != nil && p.ExpireProducers(b.nowMs, &b.rules) > 0
	}
	return Appended{}, true
}

// sendMarker writes the marker of an ending transaction to one partition. A partition without a known leader is dropped from
// the transaction, which then completes without it. That leaves the partition with an open transaction of the old epoch: the
// next marker of this producer id there, whatever it belongs to, decides about those records too.
func (b *Broker) sendMarker(t *Txn, name trace.Partition) Appended {
	p := b.Partition(name)
	if p == nil || p.IsLeaderless {
		t.remove(name)
		return refused(trace.UnknownTopicOrPartition, NoLeader, false)
	}
	a := b.writeMarker(name, t.marker(b.txns.epoch))
	if a.Code == trace.None {
		t.remove(name)
	} else { // an old epoch or an old coordinator, for good
		t.refused = append(t.refused, name)
	}
	return a
}

// Settle takes the markers and the completion of all ending transactions, or of one if id is not "": as if the broker had
// been left alone for a while.
func (b *Broker) Settle(id string) {
	for {
		steps := slices.DeleteFunc(b.Steps(nil), func(s Step) bool { return s.Kind > StepComplete || id != "" && s.TxnID != id })
		if len(steps) == 0 {
			return
		}
		for _, s := range steps {
			b.Take(s)
		}
	}
}
