package model

import (
	"fmt"
	"slices"

	"github.com/eos-pipe/eos-pipe/trace"
)

// sentTwice looks for what idempotence does not see: the same content committed under two sequences, because the application
// sent it again, or two producers did. Contents are compared by the digest of a batch; the same record inside batches that
// differ otherwise is not found. The first attempts of each digest are kept for ever.
type sentTwice struct {
	byDigest map[uint64][]*attempt
	open     map[int64][]*attempt // by producer id: transactional ones that were not told to be committed or aborted yet
}

// attempt is a batch that was sent, whether or not it arrived.
type attempt struct {
	event      trace.Produce
	isReported bool
}

// maxAttempts is how many attempts of one digest are kept: of a content that is sent all the time, a few show it.
const maxAttempts = 4

func newSentTwice() sentTwice {
	return sentTwice{byDigest: map[uint64][]*attempt{}, open: map[int64][]*attempt{}}
}

func (a *attempt) isSameBatch(e trace.Produce) bool {
	return a.event.Partition == e.Partition && a.event.Producer == e.Producer && a.event.BaseSequence == e.BaseSequence
}

// note keeps a produce event, and returns the attempt if it is a new one.
func (t *sentTwice) note(e trace.Produce) *attempt {
	if e.Digest == 0 || e.Code != trace.None && e.Code != trace.NoReply {
		return nil
	}
	known := t.byDigest[e.Digest]
	if i := slices.IndexFunc(known, func(a *attempt) bool { return a.isSameBatch(e) }); i >= 0 {
		return known[i]
	}
	if len(known) == maxAttempts {
		return nil
	}
	a := &attempt{event: e}
	t.byDigest[e.Digest] = append(known, a)
	if e.Transactional {
		t.open[e.Producer.ID] = append(t.open[e.Producer.ID], a)
	}
	return a
}

// observeTwice reports attempts that are committed with this event, and whose content was committed before.
func (v *Validator) observeTwice(e trace.Event) []Finding {
	if v.config.IgnoresContents {
		return nil
	}
	var due []*attempt
	switch e := e.(type) {
	case trace.Produce:
		if a := v.twice.note(e); a != nil && !e.Transactional && e.Code == trace.None {
			due = []*attempt{a}
		}
	case trace.EndTxn:
		if e.Code == trace.None {
			due = v.twice.takeOpen(e.Producer.ID)
		}
	case trace.InitProducerID:
		if e.Code == trace.None && e.TxnID.Valid {
			due = v.twice.takeOpen(e.Producer.ID)
		}
	case trace.Marker:
		if v.config.Scope == ScopeLog {
			due = v.twice.takeOpenIn(e.Producer.ID, e.Partition)
		}
	}
	var findings []Finding
	for _, a := range due {
		findings = append(findings, v.compareAttempts(e, a)...)
	}
	return findings
}

func (t *sentTwice) takeOpen(id int64) []*attempt {
	due := t.open[id]
	delete(t.open, id)
	return due
}

// takeOpenIn is takeOpen for one partition: the markers of a transaction stand in each of its logs.
func (t *sentTwice) takeOpenIn(id int64, p trace.Partition) []*attempt {
	var due []*attempt
	t.open[id] = slices.DeleteFunc(t.open[id], func(a *attempt) bool {
		if a.event.Partition == p {
			due = append(due, a)
		}
		return a.event.Partition == p
	})
	if len(t.open[id]) == 0 {
		delete(t.open, id)
	}
	return due
}

// compareAttempts counts the worlds in which both batches are committed: certain if all, in doubt if some.
func (v *Validator) compareAttempts(e trace.Event, a *attempt) []Finding {
	if a.isReported {
		return nil
	}
	for _, other := range v.twice.byDigest[a.event.Digest] {
		if other == a {
			continue
		}
		count := 0
		for _, w := range v.worlds {
			if w.broker.isCommitted(a.event) && w.broker.isCommitted(other.event) {
				count++
			}
		}
		if count > 0 {
			a.isReported, other.isReported = true, true
			return []Finding{{
				Index: v.index, Event: e, Reason: SentTwice, IsCertain: count == len(v.worlds) && !v.isUndecided,
				Expected: fmt.Sprintf("content %x once, but it is committed by %s with sequence %d in %s, and by %s with sequence %d in %s", a.event.Digest,
					other.event.Producer, other.event.BaseSequence, other.event.Partition, a.event.Producer, a.event.BaseSequence, a.event.Partition),
			}}
		}
	}
	return nil
}

// isCommitted reports whether the batch is in the log, and not in a transaction that is open or aborted. A transaction whose
// commit is decided counts, even if its marker is not written.
func (b *Broker) isCommitted(e trace.Produce) bool {
	p := b.Partition(e.Partition)
	if p == nil {
		return false
	}
	if i, ok := p.find(e); ok && p.isRecorded {
		return p.isCommittedAt(i)
	}
	isMarked, isCommit := false, false
	for i := p.log.len() - 1; i >= 0; i-- {
		batch := p.log.at(i)
		switch {
		case batch.ProducerID != e.Producer.ID:
		case batch.Control != Data:
			isMarked, isCommit = true, batch.Control == Commit
		case batch.Epoch == e.Producer.Epoch && batch.BaseSequence == e.BaseSequence:
			return !batch.IsTransactional || isCommit || !isMarked && b.isCommitting(e.Producer.ID, e.Partition)
		}
	}
	return false
}

func (b *Broker) isCommitting(id int64, p trace.Partition) bool {
	return slices.ContainsFunc(b.txns.txns, func(t *Txn) bool { return t.ProducerID == id && t.State == PrepareCommit && t.contains(p) })
}
