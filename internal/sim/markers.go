package sim

import (
	"math"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// This file is what package eos does about markers that the brokers forget (markers.go, repeat.go and inherit.go there): a
// partition without a leader gets no marker, though the coordinator completes its transaction. So before anything goes over a new
// connection, the markers of the last transactions are looked for; where they are missing, a transaction without records, of the
// same partitions and the same outcome, writes them.

// due are the markers of decided transactions that have not been seen.
type due struct {
	sent     [outputPartitions]int64 // of the batch under way: offset of the last output there; unknownOffset; -1: nothing was sent
	outputs  [outputPartitions]ending
	hasInput bool // the marker in the group's offsets is due
	isCommit bool // of what the last transaction that came so far committed, or would have
	inputs   [inputPartitions]int64
}

// ending is how a transaction has ended in a partition.
type ending struct {
	isDue    bool
	isCommit bool
	isBehind bool  // an aborted transaction may have written behind it
	last     int64 // offset of its last record there, or unknownOffset
}

const unknownOffset = math.MaxInt64

func (d *due) isAny() bool {
	for i := range d.outputs {
		if d.outputs[i].isDue {
			return true
		}
	}
	return d.hasInput
}

// lanesToDue notes where the batch under way has written, before its lanes are emptied.
func (a *instance) lanesToDue() {
	for i := range outputPartitions {
		l := &a.pipe.lanes[inputPartitions+i]
		switch {
		case len(l.batches) == 0 || l.sent == 0:
		case l.first == len(l.batches):
			a.due.sent[i] = l.last
		default:
			a.due.sent[i] = unknownOffset
		}
	}
}

func (d *due) forgetSent() {
	for i := range d.sent {
		d.sent[i] = -1
	}
}

func (d *due) committed(b *batch) {
	for i, last := range d.sent {
		if last >= 0 {
			d.outputs[i] = ending{isDue: true, isCommit: true, last: last}
		}
	}
	d.hasInput, d.isCommit, d.inputs = true, true, b.next
	d.forgetSent()
}

// aborted: where it is not certain that anything was written, what was due there stays due.
func (d *due) aborted(b *batch) {
	for i, last := range d.sent {
		switch {
		case last < 0:
		case d.outputs[i].isDue && last == unknownOffset:
			d.outputs[i].isBehind = true
		default:
			d.outputs[i] = ending{isDue: true, last: last}
		}
	}
	if !d.hasInput && b.isSending {
		d.hasInput, d.isCommit, d.inputs = true, false, b.next
	}
	d.forgetSent()
}

// seen takes a partition's marker from the due ones; if something may stand behind it, an abort of that is due now.
func (d *due) seen(output int) {
	if d.outputs[output].isBehind {
		d.outputs[output] = ending{isDue: true, last: unknownOffset}
		return
	}
	d.outputs[output] = ending{}
}

// look is one look at the brokers for the due markers. What has become due while it goes on is not what it has seen.
type look struct {
	due        due
	waiting    int  // answers to come
	isMissing  bool // a marker is not there
	isUnstable bool // offsets are pending
	isCovered  bool // and yet what was committed is there
}

// holds implements owner: a request that needs a new connection waits until the due markers are seen.
func (a *instance) holds() bool {
	if a.r.cfg.Mode != ExactlyOnce || !a.due.isAny() {
		return false
	}
	switch a.phase {
	case phaseJoin, phaseOffsets, phasePoll, phaseProduce, phaseCommit, phaseEnd, phaseAbort:
	default: // looks for them anyway before it goes on
		return false
	}
	if !a.isGated {
		a.isGated = true
		a.untilUs = a.r.nowUs + markersPatience
		a.wakeAfter(0, wakeGate)
	}
	return true
}

// awaitMarkers looks for due markers until they are there, or patience is over.
func (a *instance) awaitMarkers() {
	a.phase, a.isGated = phaseMarkers, false
	a.untilUs = a.r.nowUs + markersPatience
	a.lookForMarkers()
}

// lookForMarkers asks once where outputs are stable, and whether the group's offsets are.
func (a *instance) lookForMarkers() {
	if a.look.waiting > 0 {
		return
	}
	a.look = look{due: a.due, isCovered: true}
	for i := range a.due.outputs {
		e := &a.due.outputs[i]
		if !e.isDue || a.isDead {
			continue
		}
		a.look.waiting++
		a.send(request{api: apiListOffsets, partition: int8(inputPartitions + i), isRead: e.last != unknownOffset, offset: e.last, isCheck: true})
	}
	for i, next := range a.due.inputs {
		if a.due.hasInput && next >= 0 && !a.isDead {
			a.look.waiting++
			a.send(request{api: apiOffsetFetch, partition: int8(i), isStable: true, isCheck: true, isOnce: true})
		}
	}
	if a.look.waiting == 0 && !a.isDead {
		a.lookedAll()
	}
}

// looked takes one answer. Where the last offset is not known, it is the end of the log, which is asked for first: what is open
// now ends before it.
func (a *instance) looked(q *request, m *reply) {
	switch {
	case q.api == apiListOffsets && !q.isRead:
		a.send(request{api: apiListOffsets, partition: q.partition, isRead: true, offset: m.offset - 1, isCheck: true})
		return
	case q.api == apiListOffsets && m.offset > q.offset:
		if i := int(q.partition) - inputPartitions; a.due.outputs[i] == a.look.due.outputs[i] {
			a.due.seen(i)
		}
	case q.api == apiListOffsets:
		a.look.isMissing = true
	case q.isStable && m.code == trace.UnstableOffsetCommit:
		a.look.isUnstable = true
		a.send(request{api: apiOffsetFetch, partition: q.partition, isCheck: true})
		return
	case !q.isStable:
		a.look.isCovered = a.look.isCovered && m.offset >= a.look.due.inputs[q.partition]
	}
	if a.look.waiting--; a.look.waiting == 0 {
		a.lookedAll()
	}
}

// lookedAll decides what is to be made of the answers.
func (a *instance) lookedAll() {
	switch {
	case a.due.inputs != a.look.due.inputs || a.due.isCommit != a.look.due.isCommit:
	case !a.look.isUnstable:
		a.due.hasInput = false
	case a.due.isCommit && a.look.isCovered:
		a.due.isCommit = false // what is pending is of a later transaction, which can only be an aborted one
	}
	switch {
	case !a.due.isAny() && a.isGated:
		a.isGated = false
	case !a.due.isAny():
		a.join()
	case a.r.nowUs < a.untilUs && a.isGated:
		a.wakeAfter(backoffUs, wakeGate)
	case a.r.nowUs < a.untilUs:
		a.wakeAfter(backoffUs, uint64(phaseMarkers))
	case a.isGated:
		a.r.tell(a.name, "misses markers of its last transaction, and makes a new client")
		a.replace(false)
	default:
		a.r.tell(a.name, "misses markers of its last transaction, and writes them again")
		a.repeat = repeat{isCommit: true}
		a.repeatMarkers()
	}
}

// repeat is a transaction without records, which only writes markers; first those of commits, then those of aborts.
type repeat struct {
	isCommit  bool
	isAdded   bool // the outputs are added
	isOffsets bool // and the group's offsets
}

func (a *instance) isRepeated(output int) bool {
	return a.due.outputs[output].isDue && a.due.outputs[output].isCommit == a.repeat.isCommit
}

// repeatMarkers takes the next step of writing markers again.
func (a *instance) repeatMarkers() {
	a.phase = phaseRepeat
	var outputs []trace.Partition
	for i := range a.due.outputs {
		if a.isRepeated(i) {
			outputs = append(outputs, a.r.names[inputPartitions+i])
		}
	}
	hasInput := a.due.hasInput && a.due.isCommit == a.repeat.isCommit
	switch s := &a.repeat; {
	case !s.isAdded && len(outputs) > 0:
		s.isAdded = true
		a.send(request{api: apiAddPartitions, txnID: a.id, producer: a.producer, adds: outputs})
	case !s.isOffsets && hasInput:
		s.isOffsets = true
		a.send(request{api: apiAddOffsets, txnID: a.id, producer: a.producer})
	case len(outputs) > 0 || hasInput:
		a.send(request{api: apiEndTxn, txnID: a.id, producer: a.producer, isCommit: s.isCommit})
	case s.isCommit:
		a.repeat = repeat{}
		a.repeatMarkers()
	default:
		a.awaitMarkers()
	}
}

// repeatedStep takes the answer to a step.
func (a *instance) repeatedStep(q *request, m *reply) {
	if m.code != trace.None {
		a.replace(isFence(m.code))
		return
	}
	if q.api == apiEndTxn {
		a.next(m.producer)
		for i := range a.due.outputs {
			if a.isRepeated(i) {
				a.due.outputs[i] = ending{}
			}
		}
		if a.due.isCommit == a.repeat.isCommit {
			a.due.hasInput = false
		}
		a.repeat = repeat{isCommit: a.repeat.isCommit}
	}
	a.repeatMarkers()
}

// inherit asks how the last transaction of the predecessor stands, before the producer id and whenever that has to wait: it
// may be the producer id that aborts it.
func (a *instance) inherit() {
	a.phase = phaseDescribe
	a.send(request{api: apiDescribeTxn, txnID: a.id})
}

func (a *instance) inherited(m *reply) {
	if a.outcome == unknown {
		a.outcome = outcomeOf(m.state)
	}
	a.initProducer()
}

// outcomeOf reads the outcome of a transaction from the state of its transactional id.
func outcomeOf(s model.TxnState) outcome {
	switch s {
	case model.PrepareCommit, model.CompleteCommit:
		return committed
	case model.PrepareAbort, model.CompleteAbort:
		return aborted
	default:
		return unknown
	}
}

// askHanging asks, with the producer id in hand, where the predecessor's transaction is open though it is over, and whether offsets
// are pending. They may be another instance's; to write a marker for them again does no harm then.
func (a *instance) askHanging() {
	a.phase, a.waiting = phaseHanging, 0
	a.batch = batch{isSending: true}
	for i := range inputPartitions {
		a.batch.next[i] = -1
		if !a.isDead {
			a.waiting++
			a.send(request{api: apiOffsetFetch, partition: int8(i), isStable: true, isOnce: true})
		}
	}
	for i := range outputPartitions {
		if !a.isDead {
			a.waiting++
			a.send(request{api: apiDescribeProducers, partition: int8(inputPartitions + i), producer: a.producer})
		}
	}
}

// hung makes due what hangs.
func (a *instance) hung(q *request, m *reply) {
	switch {
	case q.api == apiDescribeProducers && m.isOpen:
		a.due.sent[q.partition-inputPartitions] = unknownOffset
		a.look.isMissing = true
	case q.api == apiOffsetFetch && m.code == trace.UnstableOffsetCommit:
		a.batch.next[q.partition] = unknownOffset
		a.look.isUnstable = true
	}
	if a.waiting--; a.waiting > 0 {
		return
	}
	a.decide(a.outcome)
	a.due.hasInput = a.look.isUnstable
	a.look = look{}
	if a.due.isAny() {
		a.awaitMarkers()
		return
	}
	a.join()
}
