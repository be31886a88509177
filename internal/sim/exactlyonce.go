package sim

import (
	"github.com/eos-pipe/eos-pipe/trace"
)

// This file is one transaction of the application, as package eos runs it (commit.go, doubt.go and recover.go there), as a state
// machine. The rules are the same: the producer id comes before the group's offsets; what is committed is what was acknowledged;
// an error of the end is unknown, never aborted; then a new producer id has the coordinator decide, and the group's stable
// offsets tell how; who was fenced looks whether another process has taken its place, and stops if so.
//
// Simplification: it does not stop for fences of its own doing, however many.

const (
	commitTries = 4 // of TxnOffsetCommit
	endTries    = 3 // of EndTxn, after which it is in doubt
)

// answeredTransaction takes answers that only this mode waits for.
func (a *instance) answeredTransaction(q *request, m *reply) {
	switch {
	case q.api == apiDescribeTxn && a.phase == phaseDescribe:
		a.inherited(m)
	case a.phase == phaseHanging:
		a.hung(q, m)
	case q.api == apiInit && a.phase == phaseInit:
		a.initialized(m)
	case q.api == apiOffsetCommit && a.phase == phaseCommit:
		a.offsetsTaken(m)
	case q.api == apiEndTxn && a.phase == phaseEnd:
		a.ended(m)
	case q.api == apiEndTxn && a.phase == phaseAbort:
		a.abortedAnswer(m)
	case q.api == apiDescribeGroup && a.phase == phaseTaken:
		a.taken(m)
	case q.api == apiDescribeTxn && a.phase == phaseAsk:
		a.asked(m)
	case q.api == apiOffsetFetch && a.phase == phaseResolve:
		a.resolved(q, m)
	case a.phase == phaseRepeat:
		a.repeatedStep(q, m)
	}
}

// initialized has the producer id: all that was begun before is over now. While it is not, the coordinator can still be asked how
// it ends.
func (a *instance) initialized(m *reply) {
	switch {
	case m.code != trace.None && a.isDoubtful:
		a.wakeAfter(backoffUs, uint64(phaseAsk))
		return
	case m.code != trace.None && !a.hasInherited:
		a.wakeAfter(backoffUs, uint64(phaseDescribe))
		return
	case m.code != trace.None:
		a.wakeAfter(backoffUs, uint64(phaseInit))
		return
	}
	isFirst := !a.hasInherited
	a.producer, a.hasInherited = m.producer, true
	a.pipe.clear()
	switch {
	case isFirst && a.outcome != unknown:
		a.askHanging()
	case a.isDoubtful:
		a.resolve()
	case a.due.isAny():
		a.awaitMarkers()
	default:
		a.join()
	}
}

// offsetsTaken goes on to the end, or back if the group has refused the offsets.
func (a *instance) offsetsTaken(m *reply) {
	switch m.code {
	case trace.None:
		a.phase, a.batch.isEnding = phaseEnd, true
		a.send(request{api: apiEndTxn, txnID: a.id, producer: a.producer, isCommit: true, tries: endTries})
	case trace.IllegalGeneration, trace.UnknownMemberID, trace.FencedInstanceID:
		a.abort()
	default:
		a.replace(isFence(m.code))
	}
}

// ended takes the answer to EndTxn(commit). Anything but NONE leaves open how the transaction ends.
func (a *instance) ended(m *reply) {
	if m.code != trace.None {
		a.replace(isFence(m.code))
		return
	}
	a.decide(committed)
	a.next(m.producer)
	a.goOn()
}

// next takes over the producer for the next transaction, in which sequences begin at 0.
func (a *instance) next(p trace.Producer) {
	a.producer = p
	a.pipe.clear()
}

// aged gives a transaction up that is open for nearly as long as the coordinator lets it be. What was sent for its end is waited for.
func (a *instance) aged(number uint64) {
	if a.phase == phaseProduce && a.batches == number {
		a.r.tell(a.name, "gives up its transaction, which comes close to its time-out")
		a.replace(false)
	}
}

// giveUp deals with an output that was refused for good: the transaction is aborted.
func (a *instance) giveUp(code trace.Code) {
	if isFence(code) {
		a.replace(true)
		return
	}
	a.abort()
}

// abort ends a transaction for which EndTxn(commit) was never sent, so its outcome is certain.
func (a *instance) abort() {
	a.phase = phaseAbort
	a.abandon(func(k *call) bool { return k.api == apiProduce })
	a.send(request{api: apiEndTxn, txnID: a.id, producer: a.producer, tries: endTries})
}

func (a *instance) abortedAnswer(m *reply) {
	if m.code != trace.None {
		a.replace(isFence(m.code))
		return
	}
	a.decide(aborted)
	a.next(m.producer)
	a.join()
}

// isFence lists the codes by which a producer learns that it is no longer the one of its transactional id.
func isFence(code trace.Code) bool {
	switch code {
	case trace.InvalidProducerEpoch, trace.ProducerFenced, trace.InvalidTxnState, trace.InvalidProducerIDMapping:
		return true
	default:
		return false
	}
}

// replace gives up the client and makes a new one with the same ids. If EndTxn(commit) may have been sent, what has become of the
// transaction is to be found out.
func (a *instance) replace(isFenced bool) {
	a.lanesToDue()
	a.reset()
	a.isGated, a.look = false, look{}
	a.isDoubtful = a.batch.isEnding && a.batch.decided == unknown
	if !a.isDoubtful {
		a.decide(aborted)
	}
	a.untilUs = a.r.nowUs
	if isFenced {
		a.untilUs += takeoverUs
	}
	a.askWhoIsThere()
}

// askWhoIsThere asks the group whether another process has joined as this static member. A fence alone does not say so: a
// transaction that timed out looks the same. The other one joins only after it has fenced us, so it is waited for a little.
func (a *instance) askWhoIsThere() {
	a.phase = phaseTaken
	a.send(request{api: apiDescribeGroup, instance: a.id})
}

func (a *instance) taken(m *reply) {
	switch {
	case m.member != "" && m.member != a.name:
		a.stop("another process has taken its place")
	case a.r.nowUs < a.untilUs:
		a.wakeAfter(backoffUs, uint64(phaseTaken))
	case a.isDoubtful:
		a.askCoordinator()
	default:
		a.initProducer()
	}
}

// askCoordinator asks for the coordinator's word on how the transaction has ended.
func (a *instance) askCoordinator() {
	a.phase = phaseAsk
	a.send(request{api: apiDescribeTxn, txnID: a.id})
}

// asked takes it, if it is about that transaction: every transaction has an epoch of its own, and when it is decided the coordinator
// stands at the one behind it.
func (a *instance) asked(m *reply) {
	if m.producer.ID == a.producer.ID && m.producer.Epoch == a.producer.Epoch+1 {
		a.decide(outcomeOf(m.state))
	}
	a.isDoubtful = a.batch.decided == unknown
	a.initProducer()
}

// resolve asks the group's stable offsets how the transaction was decided.
func (a *instance) resolve() {
	a.phase, a.waiting, a.outcome = phaseResolve, 0, committed
	for i, next := range a.batch.next {
		if next >= 0 && !a.isDead {
			a.waiting++
			a.send(request{api: apiOffsetFetch, partition: int8(i), isStable: true})
		}
	}
}

// resolved reads one offset. The transaction's own carry its mark. One before, or another's at the same place, says that it was
// aborted; one behind is of somebody who has gone on from there, and says nothing.
func (a *instance) resolved(q *request, m *reply) {
	switch want := a.batch.next[q.partition]; {
	case m.offset < want, m.offset == want && m.mark != a.batch.mark:
		a.outcome = aborted
	case m.offset > want && a.outcome == committed:
		a.outcome = unknown
	}
	if a.waiting--; a.waiting > 0 {
		return
	}
	a.isDoubtful = false
	a.decide(a.outcome)
	if a.due.isAny() {
		a.awaitMarkers()
		return
	}
	a.join()
}

var outcomeTexts = [...]string{
	unknown: "cannot find out how its transaction has ended", committed: "knows that its transaction is committed", aborted: "knows that its transaction is aborted",
}

// decide notes how the transaction has ended, and so which markers are due.
func (a *instance) decide(o outcome) {
	if a.batch.decided != unknown {
		return
	}
	a.batch.decided = o
	a.r.tell(a.name, outcomeTexts[o])
	a.r.count(o)
	a.lanesToDue()
	switch o {
	case committed:
		a.due.committed(&a.batch)
	case aborted:
		a.due.aborted(&a.batch)
	default: // by whose markers an output ends is not known either
	}
}
