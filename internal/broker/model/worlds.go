package model

import (
	"slices"

	"github.com/eos-pipe/eos-pipe/trace"
)

// A world is one state that the brokers may be in, given all that was seen. There is more than one when an answer is missing:
// the request may have been carried out, or not, or it may still be under way. And brokers do things by themselves, such as
// writing markers, which a trace need not show.
//
// A world does not decide such a thing before it matters. When an event touches the same transaction or partition, the
// world splits into those where it happened before and those where it did not, and the event's answer says which of them
// go on.
type world struct {
	broker *Broker
	late   []trace.Event // requests without answer that have not taken effect here, and still may
}

func (w *world) clone() *world {
	return &world{broker: w.broker.Clone(), late: slices.Clone(w.late)}
}

// hash tells worlds apart.
func (w *world) hash() uint64 {
	h := w.broker.Hash()
	for _, e := range w.late {
		h = mixString(h, e.String())
	}
	return h
}

// maxLate is how many requests without answer a world waits for.
const maxLate = 6

// dropOver forgets the requests without answer that can have no effect here any more, whenever they arrive.
func (w *world) dropOver() {
	if len(w.late) > 0 {
		w.late = slices.DeleteFunc(w.late, w.broker.isOver)
	}
}

// isOver reports whether the request would be refused, or answered as a repeat, from now on: its producer's epoch is past and nothing of
// it is open, or its sequence is.
//
// Simplification: a producer that the partition forgets later, or a sequence that comes round, is not thought of.
func (b *Broker) isOver(e trace.Event) bool {
	switch e := e.(type) {
	case trace.Produce:
		p := b.Partition(e.Partition)
		return p != nil && p.hasPassed(e)
	case trace.OffsetCommit:
		p := b.Partition(b.OffsetsPartition(e.Group))
		return e.TxnID.Valid && b.isPast(e.TxnID.Value, e.Producer) && (p == nil || !p.isOpenFor(e.Producer))
	case trace.EndTxn:
		return b.isPast(e.TxnID, e.Producer)
	case trace.AddPartitions:
		return b.isPast(e.TxnID, e.Producer)
	case trace.AddOffsets:
		return b.isPast(e.TxnID, e.Producer)
	}
	return false
}

// isPast reports whether the coordinator has given the producer id a higher epoch. Whatever asks with the lower one changes nothing.
func (b *Broker) isPast(id string, p trace.Producer) bool {
	t := b.txns.index[id]
	return t != nil && t.ProducerID == p.ID && t.Epoch > p.Epoch
}

func (p *Partition) isOpenFor(producer trace.Producer) bool {
	e := p.producer(producer.ID)
	return e != nil && e.InTransaction(producer.Epoch)
}

// hasPassed reports whether a batch can not be appended any more: its epoch is lower, or its sequence is not above the last one. Of a
// transactional one the transaction must be open: else it is verified before it is refused, which leaves a trace.
func (p *Partition) hasPassed(batch trace.Produce) bool {
	e := p.producer(batch.Producer.ID)
	if e != nil && e.Epoch == -1 { // takes any sequence, and any epoch
		return false
	}
	if e == nil || batch.Producer.Epoch != e.Epoch || e.count == 0 || batch.Transactional && !p.isOpenFor(batch.Producer) {
		return e != nil && batch.Producer.Epoch < e.Epoch
	}
	b := batchOf(batch)
	ahead := int64(b.LastSequence()) - int64(e.LastSequence())
	return ahead <= 0 && ahead > -1<<30 // a sequence far below has come round
}

// reach is what an event can read or change: transactional ids, and partitions.
type reach struct {
	txns       []string
	partitions []trace.Partition
}

func (r *reach) addTxn(id string) bool {
	if id == "" || slices.Contains(r.txns, id) {
		return false
	}
	r.txns = append(r.txns, id)
	return true
}

func (r *reach) addPartition(p trace.Partition) bool {
	if slices.Contains(r.partitions, p) {
		return false
	}
	r.partitions = append(r.partitions, p)
	return true
}

// addEvent adds what the event names, and reports whether that was new.
func (r *reach) addEvent(e trace.Event, b *Broker) bool {
	grown := false
	switch e := e.(type) {
	case trace.InitProducerID:
		grown = r.addTxn(e.TxnID.Value)
	case trace.Produce:
		grown = r.addTxn(e.TxnID.Value)
		grown = r.addPartition(e.Partition) || grown
	case trace.AddPartitions:
		grown = r.addTxn(e.TxnID)
		for _, p := range e.Partitions { // where markers may come of it
			grown = r.addPartition(p) || grown
		}
	case trace.AddOffsets:
		grown = r.addTxn(e.TxnID)
		grown = r.addPartition(b.OffsetsPartition(e.Group)) || grown
	case trace.OffsetCommit:
		grown = r.addTxn(e.TxnID.Value)
		grown = r.addPartition(b.OffsetsPartition(e.Group)) || grown
	case trace.OffsetFetch:
		grown = r.addPartition(b.OffsetsPartition(e.Group))
	case trace.EndTxn:
		grown = r.addTxn(e.TxnID)
	case trace.Marker:
		grown = r.addPartition(e.Partition)
	case trace.Complete:
		grown = r.addTxn(e.TxnID)
	case trace.Drop:
		grown = r.addTxn(e.TxnID)
	case trace.Fetch:
		grown = r.addPartition(e.Partition)
	}
	return grown
}

// reachOf follows the event through the world: a transaction reaches its partitions, a partition the transactions in it, and
// both reach the late requests that name them.
func (w *world) reachOf(e trace.Event) *reach {
	r := &reach{}
	r.addEvent(e, w.broker)
	if touchesAll(e) {
		w.addAll(r)
	}
	for grown := true; grown; {
		grown = false
		for _, t := range w.broker.txns.txns {
			isIn := slices.Contains(r.txns, t.ID) || slices.ContainsFunc(t.Partitions, func(p trace.Partition) bool { return slices.Contains(r.partitions, p) })
			if isIn {
				grown = r.addTxn(t.ID) || grown
				for _, p := range t.Partitions {
					grown = r.addPartition(p) || grown
				}
			}
		}
		for _, late := range w.late {
			if w.touches(r, late) {
				grown = r.addEvent(late, w.broker) || grown
			}
		}
	}
	return r
}

// touchesAll reports whether it matters for everything under way if it happened before the event or behind it: what the clock,
// a new coordinator or a restarted leader makes of it differs.
func touchesAll(e trace.Event) bool {
	switch e.(type) {
	case trace.Time, trace.Reload, trace.Restart:
		return true
	}
	return false
}

func (w *world) addAll(r *reach) {
	for _, t := range w.broker.txns.txns {
		r.addTxn(t.ID)
	}
	for _, p := range w.broker.partitions {
		r.addPartition(p.Name)
	}
	for _, late := range w.late {
		r.addEvent(late, w.broker)
	}
}

func (w *world) touches(r *reach, e trace.Event) bool {
	named := &reach{}
	named.addEvent(e, w.broker)
	return slices.ContainsFunc(named.txns, func(id string) bool { return slices.Contains(r.txns, id) }) ||
		slices.ContainsFunc(named.partitions, func(p trace.Partition) bool { return slices.Contains(r.partitions, p) })
}

// leastAdvanced leaves out the worlds that another one of them becomes when brokers do one thing more by themselves: the other one can do
// all that they can.
func leastAdvanced(worlds []*world, hasSteps bool) []*world {
	if len(worlds) < 2 {
		return worlds
	}
	reached := map[uint64]bool{}
	for _, w := range worlds {
		r := &reach{}
		w.addAll(r)
		own := w.hash()
		for _, o := range w.stepsIn(r, hasSteps) {
			next := w.clone()
			next.take(o)
			if h := next.hash(); h != own {
				reached[h] = true
			}
		}
	}
	return slices.DeleteFunc(worlds, func(w *world) bool { return reached[w.hash()] })
}

// occurrence is one thing that may have happened unseen before an event.
type occurrence struct {
	late   int    // index in late, if finish is "" and step is zero
	finish string // all markers of this transactional id, and its completion
	step   Step
}

// occurrences lists what may have happened, as far as it concerns the event. With hasSteps the trace shows markers and
// completions itself.
func (w *world) occurrences(e trace.Event, hasSteps bool) []occurrence {
	if len(w.late) == 0 && !w.broker.hasSteps() {
		return nil
	}
	if e.Kind() == (trace.Time{}).Kind() { // that brokers did something a little earlier or later does not matter
		return w.lateIn(w.reachOf(e))
	}
	r := w.reachOf(e)
	return append(w.lateIn(r), w.stepsIn(r, hasSteps)...)
}

func (w *world) lateIn(r *reach) []occurrence {
	var list []occurrence
	for i, late := range w.late {
		if w.touches(r, late) {
			list = append(list, occurrence{late: i})
		}
	}
	return list
}

// stepsIn lists what brokers may do by themselves.
func (w *world) stepsIn(r *reach, hasSteps bool) []occurrence {
	var list []occurrence
	for _, s := range w.broker.Steps(nil) {
		isOfTxn, isOfPartition := slices.Contains(r.txns, s.TxnID), slices.Contains(r.partitions, s.Partition)
		switch {
		case s.Kind <= StepComplete && hasSteps:
		case s.Kind == StepMarker && isOfPartition, s.Kind == StepExpireProducers && isOfPartition, s.Kind >= StepTimeout && isOfTxn:
			list = append(list, occurrence{late: -1, step: s})
		}
		if s.Kind <= StepComplete && !hasSteps && isOfTxn {
			list = append(list, occurrence{late: -1, finish: s.TxnID})
		}
	}
	return slices.CompactFunc(list, func(a, b occurrence) bool { return a.finish != "" && a == b })
}

// hasSteps is a quick look whether Steps can find any.
func (b *Broker) hasSteps() bool {
	for _, t := range b.txns.txns {
		if t.State.isPrepare() || t.State == Ongoing && t.isTimedOut(b.nowMs, &b.rules) || t.UpdateMs <= b.nowMs-b.rules.TxnIDExpiryMs {
			return true
		}
	}
	return slices.ContainsFunc(b.partitions, func(p *Partition) bool {
		return slices.ContainsFunc(p.producers, func(e ProducerEntry) bool { return isExpired(&e, b.nowMs, &b.rules) })
	})
}

// take lets it happen.
func (w *world) take(o occurrence) {
	switch {
	case o.finish != "":
		w.broker.Settle(o.finish)
	case o.late >= 0:
		e := w.late[o.late]
		w.late = slices.Delete(w.late, o.late, o.late+1)
		judge(w.broker, e)
	default:
		w.broker.Take(o.step)
	}
}

// explore returns the world and all that it can have become before the event, each once; at most limit. It reports
// false if there are more. Requests that came to nothing are not followed: the world in which they are still under way
// can do all that this one can.
func (w *world) explore(e trace.Event, hasSteps bool, limit int) ([]*world, bool) {
	all := []*world{w}
	seen := map[uint64]bool{}
	for i := 0; i < len(all); i++ {
		occurrences := all[i].occurrences(e, hasSteps)
		if len(occurrences) == 0 {
			continue
		}
		before := all[i].broker.Hash()
		seen[all[i].hash()] = true
		for _, o := range occurrences {
			next := all[i].clone()
			next.take(o)
			if next.broker.Hash() == before || seen[next.hash()] {
				continue
			}
			if len(all) == limit {
				return all, false
			}
			seen[next.hash()] = true
			all = append(all, next)
		}
	}
	return all, true
}
