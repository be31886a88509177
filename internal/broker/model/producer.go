package model

import (
	"math"

	"github.com/eos-pipe/eos-pipe/trace"
)

// This file mirrors org.apache.kafka.storage.internals.log.ProducerStateEntry, BatchMetadata, and the checks of a data batch in
// ProducerAppendInfo (KIP-98, KIP-360, KIP-890).

// remembered is ProducerStateEntry.NUM_BATCHES_TO_RETAIN: why a producer may have five requests in flight.
const remembered = 5

// BatchMeta is what a partition remembers of a batch, to know it again.
type BatchMeta struct {
	LastOffset   int64
	Timestamp    int64 // largest of its records
	LastSequence int32
	OffsetDelta  int32 // last offset - first offset
}

// FirstSequence is the base sequence of the batch, which may be above LastSequence where the sequence wrapped.
func (m BatchMeta) FirstSequence() int32 { return decrement(m.LastSequence, m.OffsetDelta) }

// FirstOffset is the base offset that the batch got.
func (m BatchMeta) FirstOffset() int64 { return m.LastOffset - int64(m.OffsetDelta) }

// increment and decrement count modulo 2^31 (DefaultRecordBatch): after 2147483647 comes 0.
func increment(sequence, by int32) int32 {
	if sequence > math.MaxInt32-by {
		return by - (math.MaxInt32 - sequence) - 1
	}
	return sequence + by
}

func decrement(sequence, by int32) int32 {
	if sequence < by {
		return math.MaxInt32 - (by - sequence) + 1
	}
	return sequence - by
}

func inSequence(last, next int32, r *Rules) bool {
	return int64(next) == int64(last)+1 || next == 0 && last == math.MaxInt32 && !r.has(BugNoWrap)
}

// ProducerEntry is what a partition knows of one producer id. It may be copied.
type ProducerEntry struct {
	ID               int64
	LastTimestamp    int64 // of the last data batch, by its records; or of the last marker, by the broker
	TxnFirstOffset   int64 // where its open transaction begins; -1: none
	CoordinatorEpoch int32 // of the last marker; -1: none yet
	Epoch            int16 // -1: no batch yet
	count            int8
	batches          [remembered]BatchMeta // batches[:count], oldest first
}

// noEntry is what the checks compare with while a producer is unknown.
func noEntry(id int64) ProducerEntry {
	return ProducerEntry{ID: id, Epoch: -1, CoordinatorEpoch: -1, LastTimestamp: -1, TxnFirstOffset: -1}
}

// Batches returns the remembered batches, oldest first. They are the entry's own: read them only.
func (e *ProducerEntry) Batches() []BatchMeta { return e.batches[:e.count] }

// LastSequence is that of the newest remembered batch; -1: none.
func (e *ProducerEntry) LastSequence() int32 {
	if e.count == 0 {
		return -1
	}
	return e.batches[e.count-1].LastSequence
}

// InTransaction reports whether a transaction of this epoch is open.
func (e *ProducerEntry) InTransaction(epoch int16) bool {
	return e.TxnFirstOffset >= 0 && e.Epoch == epoch
}

// duplicate finds the remembered batch with the same epoch and exactly the same first and last sequence. What is in the
// batches is not compared.
func (e *ProducerEntry) duplicate(b *Batch, r *Rules) (BatchMeta, bool) {
	if b.Epoch != e.Epoch || r.has(BugNoDuplicateCheck) {
		return BatchMeta{}, false
	}
	last := b.LastSequence()
	for _, m := range e.Batches() {
		if m.LastSequence == last && m.FirstSequence() == b.BaseSequence {
			return m, true
		}
	}
	return BatchMeta{}, false
}

// remember adds a batch that was appended. A new epoch empties what was remembered of the old one.
func (e *ProducerEntry) remember(epoch int16, m BatchMeta, r *Rules) {
	e.setEpoch(epoch)
	if n := r.window(); int(e.count) >= n {
		copy(e.batches[:n-1], e.batches[1:n])
		e.count = int8(n - 1)
	}
	e.batches[e.count] = m
	e.count++
	e.LastTimestamp = m.Timestamp
}

func (e *ProducerEntry) setEpoch(epoch int16) {
	if e.Epoch != epoch {
		e.Epoch, e.count, e.batches = epoch, 0, [remembered]BatchMeta{}
	}
}

// forgetAllButNewest is what a snapshot of the producer state keeps.
func (e *ProducerEntry) forgetAllButNewest() {
	if e.count > 1 {
		newest := e.batches[e.count-1]
		e.batches, e.count = [remembered]BatchMeta{newest}, 1
	}
}

// check judges a batch of a client against the producer's entry (ProducerAppendInfo.maybeValidateDataBatch and what follows
// in appendDataBatch); v is nil if nothing is being verified. Duplicates have been sorted out before.
func (e *ProducerEntry) check(b *Batch, v *VerifyEntry, r *Rules) (trace.Code, Reason) {
	if b.Epoch < e.Epoch && !r.has(BugNoEpochCheck) {
		return trace.InvalidProducerEpoch, EpochFenced
	}
	if code, why := e.checkSequence(b, v, r); code != trace.None {
		return code, why
	}
	if e.TxnFirstOffset >= 0 && !b.IsTransactional && !r.has(BugMixingAllowed) {
		return trace.InvalidTxnState, MixedInTransaction
	}
	return trace.None, InSequence
}

func (e *ProducerEntry) checkSequence(b *Batch, v *VerifyEntry, r *Rules) (trace.Code, Reason) {
	const refused = trace.OutOfOrderSequenceNumber
	switch {
	case v != nil && v.SupportsBump && r.startsAtZero() && b.BaseSequence != 0 && e.count == 0:
		return refused, FirstSequenceZero
	case v != nil && b.BaseSequence > v.LowestSequence:
		return refused, LowestSequenceSeen
	case e.Epoch == -1: // nothing known: the producer may start anywhere
		return trace.None, InSequence
	case b.Epoch != e.Epoch && b.BaseSequence != 0 && !r.has(BugSequenceKeptAtEpoch):
		return refused, NewEpochZero
	case b.Epoch == e.Epoch && !inSequence(e.LastSequence(), b.BaseSequence, r) && !r.has(BugGapAccepted):
		return refused, SequenceGap
	}
	return trace.None, InSequence
}
