package model

import (
	"slices"

	"github.com/eos-pipe/eos-pipe/trace"
)

// This file mirrors org.apache.kafka.storage.internals.log.VerificationStateEntry and UnifiedLog.maybeStartTransactionVerification
// (KIP-890 part 1).

// Guard is what a batch shows at its append to prove that its partition was verified with the coordinator; 0 is none.
type Guard uint64

// VerifyEntry is kept for a producer id from the first verification until its first batch is appended. It is in memory
// only, and gone after a restart.
type VerifyEntry struct {
	ID             int64
	CreatedMs      int64
	Guard          Guard
	LowestSequence int32 // no batch may start above it: it would overtake one that is still being verified
	Epoch          int16
	SupportsBump   bool // of the request that made the entry: Produce v12 and above
}

// StartVerification prepares the verification of a transactional batch. It returns the guard to be shown at the append;
// none if a transaction of the same epoch is open already, which needs no question to the coordinator. The entry stays
// even if the coordinator then refuses.
func (p *Partition) StartVerification(b *Batch, supportsBump bool, nowMs int64, r *Rules) (Guard, trace.Code, Reason) {
	if p.IsLeaderless {
		return 0, trace.NotLeaderOrFollower, NoLeader
	}
	if e := p.producer(b.ProducerID); e != nil {
		if b.Epoch < e.Epoch && !r.has(BugNoEpochCheck) {
			return 0, trace.InvalidProducerEpoch, EpochFenced
		}
		if e.InTransaction(b.Epoch) {
			return 0, trace.None, InSequence
		}
	}
	v := p.verifying(b.ProducerID)
	if v == nil {
		p.guards++
		p.verify = append(p.verify, VerifyEntry{
			ID: b.ProducerID, CreatedMs: nowMs, Guard: p.guards, LowestSequence: b.BaseSequence, Epoch: b.Epoch, SupportsBump: supportsBump,
		})
		v = &p.verify[len(p.verify)-1]
	}
	switch {
	case b.Epoch > v.Epoch:
		v.Epoch, v.LowestSequence = b.Epoch, b.BaseSequence
	case b.Epoch == v.Epoch:
		v.LowestSequence = min(v.LowestSequence, b.BaseSequence)
	}
	return v.Guard, trace.None, InSequence
}

// verifying returns the entry of a producer id, or nil. It is valid until the next change of the partition.
func (p *Partition) verifying(id int64) *VerifyEntry {
	for i := range p.verify {
		if p.verify[i].ID == id {
			return &p.verify[i]
		}
	}
	return nil
}

func (p *Partition) stopVerification(id int64) {
	p.verify = slices.DeleteFunc(p.verify, func(v VerifyEntry) bool { return v.ID == id })
}

// isGuarded reports whether the guard is the one that the current verification handed out.
func (p *Partition) isGuarded(id int64, g Guard) bool {
	v := p.verifying(id)
	return v != nil && g != 0 && v.Guard == g
}
