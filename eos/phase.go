package eos

// This file is the state of one transaction as a pure value: how far it has come, and what is known of how it ended.
//
// All transitions; each event leaves every other phase as it is, so the first evidence of an end decides:
//
//	open      ── endSent ──────────────→ ending
//	open      ── coordinatorAborted ───→ aborted          (the client's abort succeeded; there may have been nothing to end)
//	open      ── clientAbandoned ──────→ abandoned        (the client may not be used for an abort, or the abort has failed)
//	abandoned ── clientClosed ─────────→ sureToAbort
//	ending    ── coordinatorCommitted ─→ committed        (EndTxn(commit) was answered, or the coordinator was asked)
//	ending    ── coordinatorAborted ───→ aborted
//	ending    ── offsetsCommitted ─────→ foundCommitted
//	ending    ── offsetsAborted ───────→ foundAborted
//	ending    ── offsetsUnclear ───────→ unclear

// phase is how far a transaction has come.
type phase int

const (
	// phaseOpen: its offsets have not been sent, so nothing can commit it.
	phaseOpen phase = iota
	// phaseEnding: its offsets and EndTxn(commit) may have been sent. Only the brokers know how it ends.
	phaseEnding
	// phaseAbandoned: EndTxn(commit) was not sent, and the client is about to be discarded. Answers to its records may still arrive.
	phaseAbandoned
	// phaseSureToAbort: the client of an abandoned transaction is closed. The next producer id aborts the transaction.
	phaseSureToAbort
	// phaseCommitted: the coordinator said that the transaction is committed.
	phaseCommitted
	// phaseAborted: the coordinator said that the transaction is aborted.
	phaseAborted
	// phaseFoundCommitted: the group's stable offsets are those of the transaction.
	phaseFoundCommitted
	// phaseFoundAborted: the group's stable offsets are not those of the transaction.
	phaseFoundAborted
	// phaseUnclear: the group's stable offsets are another member's, which continued from there. They do not tell how the
	// transaction ended.
	phaseUnclear
)

// event is what happens to a transaction, or what is learned of it.
type event int

const (
	endSent              event = iota // the client is asked to send the offsets and EndTxn(commit)
	clientAbandoned                   // the client is given up without EndTxn(commit)
	clientClosed                      // the client is closed: it sends nothing more, and all its answers have arrived
	coordinatorCommitted              // the coordinator says: committed
	coordinatorAborted                // the coordinator says: aborted
	offsetsCommitted                  // the group's stable offsets say: committed
	offsetsAborted                    // the group's stable offsets say: aborted
	offsetsUnclear                    // the group's stable offsets do not tell
)

// transitions is the list above.
var transitions = map[phase]map[event]phase{
	phaseOpen:      {endSent: phaseEnding, coordinatorAborted: phaseAborted, clientAbandoned: phaseAbandoned},
	phaseAbandoned: {clientClosed: phaseSureToAbort},
	phaseEnding: {
		coordinatorCommitted: phaseCommitted, coordinatorAborted: phaseAborted,
		offsetsCommitted: phaseFoundCommitted, offsetsAborted: phaseFoundAborted, offsetsUnclear: phaseUnclear,
	},
}

// after returns the phase after an event: the one in transitions, or p itself.
func (p phase) after(e event) phase {
	if next, ok := transitions[p][e]; ok {
		return next
	}
	return p
}

// outcome returns what is certain of the transaction's end.
func (p phase) outcome() Outcome {
	switch p {
	case phaseCommitted, phaseFoundCommitted:
		return Committed
	case phaseAborted, phaseFoundAborted, phaseSureToAbort:
		return Aborted
	case phaseOpen, phaseEnding, phaseAbandoned, phaseUnclear:
	}
	return Unknown
}

// isOver reports whether the coordinator has decided the transaction, so that no producer id has to end it.
func (p phase) isOver() bool { return p == phaseCommitted || p == phaseAborted }

// needsOffsets reports whether the group's offsets have to be asked how the transaction ended.
func (p phase) needsOffsets() bool { return p.outcome() == Unknown && p != phaseUnclear }

// coordinatorSays returns the event for the coordinator's word, which is Committed or Aborted.
func coordinatorSays(o Outcome) event {
	if o == Committed {
		return coordinatorCommitted
	}
	return coordinatorAborted
}

// offsetsSay returns the event for what the group's offsets tell.
func offsetsSay(o Outcome) event {
	switch o {
	case Committed:
		return offsetsCommitted
	case Aborted:
		return offsetsAborted
	case Unknown, NotAttempted:
	}
	return offsetsUnclear
}
