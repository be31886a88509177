package model

import (
	"fmt"
	"slices"
	"sort"

	"github.com/eos-pipe/eos-pipe/trace"
)

// This file judges logs that were read as they are (ScopeLog). Whatever stands there was appended, so the question is whether a
// leader should have taken it; and whether what a read_committed reader was told fits.
//
// Where records were deleted at the head, or compaction has taken some out, what is seen first of a producer need not be its
// beginning, and what is missing must not be taken for lost.

// recordedLog is what is known of how a log was read.
type recordedLog struct {
	mayHaveHoles bool
	isCut        bool            // records may be missing at its head
	missing      int64           // offsets that are not there, so far
	missingAt    map[int64]int64 // producer id → missing when its last batch was seen
	unknown      map[int64]bool  // producer ids of which only a marker was seen: their sequence may be anything
	isHidden     bool            // a transaction is open of which no record is left
}

// beginLog takes it that the log starts there. Without it a log may start, and may have holes, anywhere.
func (v *Validator) beginLog(e trace.Log) {
	v.each(func(b *Broker) {
		p := b.create(e.Partition)
		p.start, p.end, p.highWatermark = e.StartOffset, e.StartOffset, e.StartOffset
	})
	v.recorded[e.Partition] = newRecordedLog(e.IsCompacted, e.IsCompacted || e.StartOffset > 0)
}

func newRecordedLog(mayHaveHoles, isCut bool) *recordedLog {
	return &recordedLog{mayHaveHoles: mayHaveHoles, isCut: isCut, missingAt: map[int64]int64{}, unknown: map[int64]bool{}}
}

func (v *Validator) recordedLog(p trace.Partition) *recordedLog {
	if v.recorded[p] == nil {
		v.recorded[p] = newRecordedLog(true, true)
	}
	return v.recorded[p]
}

// observeLog judges what stands in a log.
func (v *Validator) observeLog(e trace.Event) []Finding {
	if codeOf(e) != trace.None {
		return nil
	}
	b := v.worlds[0].broker
	var d verdict
	switch e := e.(type) {
	case trace.Produce:
		d = b.create(e.Partition).replicate(batchOf(e), e.BaseOffset, v.recordedLog(e.Partition), b)
	case trace.Marker:
		m := Marker{ProducerID: e.Producer.ID, Epoch: e.Producer.Epoch, IsCommit: e.Commit, CoordinatorEpoch: e.CoordinatorEpoch, Protocol: e.Protocol}
		d = b.create(e.Partition).replicateMarker(m, e.Offset, v.recordedLog(e.Partition), b)
	case trace.Fetch:
		d = b.create(e.Partition).judgeReader(e, v.recordedLog(e.Partition), &b.rules)
	default:
		return nil
	}
	if d.isRight {
		return nil
	}
	return []Finding{{Index: v.index, Event: e, Reason: d.reason, Expected: d.want, IsCertain: true}}
}

// replicate appends a batch that another log has at that offset, and says whether a leader should have taken it.
func (p *Partition) replicate(batch Batch, offset int64, l *recordedLog, b *Broker) verdict {
	p.isRecorded = true
	d := p.judgeOffset(offset, offset+int64(batch.Count)-1, l)
	if e := p.producer(batch.ProducerID); batch.ProducerID >= 0 && d.isRight && e != nil {
		d = p.judgeBatch(e, &batch, l, &b.rules)
	}
	p.end = max(p.end, offset)
	p.append(&batch, b.nowMs, &b.rules)
	l.missingAt[batch.ProducerID] = l.missing
	delete(l.unknown, batch.ProducerID)
	return d
}

func (p *Partition) judgeBatch(e *ProducerEntry, batch *Batch, l *recordedLog, r *Rules) verdict {
	if m, ok := e.duplicate(batch, r); ok {
		return verdict{reason: Duplicate, want: fmt.Sprintf("no second batch, but the answer offset=%d", m.FirstOffset())}
	}
	if e.TxnFirstOffset >= 0 && batch.IsTransactional && batch.Epoch > e.Epoch && !l.mayHaveHoles {
		return verdict{reason: MarkerMissing, want: fmt.Sprintf("first the marker of the transaction that producer %d/%d has open since offset %d", e.ID, e.Epoch, e.TxnFirstOffset)}
	}
	code, why := e.check(batch, nil, r)
	switch {
	case code == trace.None, l.isExcused(e, batch, why), p.isInternal && batch.BaseSequence < 0: // offsets of groups have no sequence
		return verdict{isRight: true}
	case why == SequenceGap:
		return verdict{reason: why, want: fmt.Sprintf("sequence %d", increment(e.LastSequence(), 1))}
	case why == NewEpochZero:
		return verdict{reason: why, want: "sequence 0"}
	case why == EpochFenced:
		return verdict{reason: why, want: fmt.Sprintf("no batch of an epoch below %d", e.Epoch)}
	}
	return verdict{reason: why, want: code.String()}
}

// isExcused reports whether a sequence that does not follow can come of what is missing in the log.
func (l *recordedLog) isExcused(e *ProducerEntry, batch *Batch, why Reason) bool {
	lost := int64(batch.BaseSequence) - int64(e.LastSequence()) - 1
	if lost < 0 { // modulo 2^31
		lost += 1 << 31
	}
	if why == NewEpochZero {
		lost = int64(batch.BaseSequence)
	}
	isOfSequence, isUnknown := why == SequenceGap || why == NewEpochZero, why == SequenceGap && l.unknown[e.ID]
	return isUnknown || isOfSequence && l.mayHaveHoles && lost <= l.missing-l.missingAt[e.ID]
}

func (p *Partition) replicateMarker(m Marker, offset int64, l *recordedLog, b *Broker) verdict {
	p.isRecorded = true
	d := p.judgeOffset(offset, offset, l)
	e := p.producer(m.ProducerID)
	if e == nil && l.isCut {
		l.unknown[m.ProducerID] = true
	}
	if e != nil && d.isRight {
		if code, why := e.checkMarker(m, &b.rules); code != trace.None {
			d = verdict{reason: why, want: e.markerAfter(m, why)}
		} else if e.TxnFirstOffset >= 0 && int32(m.Epoch) > int32(e.Epoch)+1 && !l.mayHaveHoles {
			d = verdict{reason: MarkerMissing, want: fmt.Sprintf("epoch %d or %d for the transaction that is open since offset %d", e.Epoch, e.Epoch+1, e.TxnFirstOffset)}
		}
	}
	p.end = max(p.end, offset)
	p.appendMarker(m, b.nowMs, &b.rules)
	return d
}

// markerAfter says which marker would be right after what is known.
func (e *ProducerEntry) markerAfter(m Marker, why Reason) string {
	switch {
	case why == MarkerCoordinatorOld:
		return fmt.Sprintf("no marker of a coordinator before %d", e.CoordinatorEpoch)
	case m.Epoch == e.Epoch:
		return fmt.Sprintf("an epoch above %d", e.Epoch)
	}
	return fmt.Sprintf("no marker of an epoch below %d", e.Epoch)
}

// judgeOffset asks that the log goes on where it ended. The first batch may begin below the log's start, since records in the middle
// of a batch can be where the deleted ones end.
func (p *Partition) judgeOffset(offset, last int64, l *recordedLog) verdict {
	isFirst := p.log.len() == 0
	switch {
	case offset > p.end:
		l.missing += offset - p.end
		if !l.mayHaveHoles {
			return verdict{reason: EndOfLog, want: fmt.Sprintf("offset %d, where the log ended", p.end)}
		}
	case offset < p.end && isFirst && last >= p.start:
		p.end = offset
	case offset < p.end:
		return verdict{reason: EndOfLog, want: fmt.Sprintf("an offset from %d on", p.end)}
	}
	return verdict{isRight: true}
}

// judgeReader judges what a reader of the log was told: of offsets where they are known (not negative), of aborted transactions, and
// what it made of both.
func (p *Partition) judgeReader(e trace.Fetch, l *recordedLog, r *Rules) verdict {
	stable := p.LastStableOffset(r)
	limit := p.highWatermark
	if e.ReadCommitted {
		limit = stable
	}
	aborted := p.abortedWithin(e.Offset, e.Next)
	switch {
	case e.Offset > p.highWatermark:
		return verdict{reason: EndOfLog, want: fmt.Sprintf("batches up to offset %d, but they end at %d", e.Offset, p.highWatermark)}
	case e.HighWatermark >= 0 && e.HighWatermark != p.highWatermark:
		return verdict{reason: EndOfLog, want: fmt.Sprintf("hw=%d", p.highWatermark)}
	case e.LastStableOffset >= 0 && !l.isStableRight(p, e.LastStableOffset, stable):
		return verdict{reason: StableOffset, want: fmt.Sprintf("lso=%d", stable)}
	case e.ReadCommitted && !p.isListRight(aborted, e, l):
		return verdict{reason: AbortedListed, want: fmt.Sprintf("aborted=%s", abortedText(aborted))}
	}
	if !e.ReadCommitted {
		aborted = nil
	}
	delivered := []int64{}
	for _, batch := range Delivered(p.batchesFrom(e.Offset, min(limit, e.Next), p.log.len()), aborted) {
		delivered = append(delivered, batch.BaseOffset)
	}
	return verdict{isRight: slices.Equal(delivered, e.Delivered), reason: CommittedOnly, want: fmt.Sprintf("delivered=%v", delivered)}
}

// isStableRight compares the last stable offset. It stands at the log's start while a transaction is open that began before it.
// In a compacted log the marker of a batch without records may be gone.
func (l *recordedLog) isStableRight(p *Partition, seen, want int64) bool {
	switch {
	case seen == want:
		return true
	case p.start > 0 && (seen == p.start || seen == p.baseOf(p.start)) && seen < want:
		l.isHidden = len(p.ongoing) == 0
		return true
	}
	return l.mayHaveHoles && seen > want
}

// isListRight asks for every aborted transaction that reaches into what was read, and for none that was not aborted. One whose first
// records are gone is listed with an offset before those that are left.
func (p *Partition) isListRight(want []AbortedTxn, e trace.Fetch, l *recordedLog) bool {
	isSame := func(t AbortedTxn, seen trace.Aborted) bool {
		isGone := l.mayHaveHoles || seen.FirstOffset < p.start
		return t.ProducerID == seen.ProducerID && (t.FirstOffset == seen.FirstOffset || isGone && seen.FirstOffset < t.FirstOffset)
	}
	for _, t := range want {
		if !slices.ContainsFunc(e.Aborted, func(seen trace.Aborted) bool { return isSame(t, seen) }) {
			return false
		}
	}
	for _, seen := range e.Aborted {
		isKnown := slices.ContainsFunc(want, func(t AbortedTxn) bool { return isSame(t, seen) })
		if !isKnown && !l.mayHaveHoles && seen.FirstOffset >= p.start {
			return false
		}
	}
	return true
}

// abortedWithin lists, in the order of their markers, the aborted transactions that reach into the offsets from from up to, and
// without, until.
func (p *Partition) abortedWithin(from, until int64) []AbortedTxn {
	list := []AbortedTxn{}
	for i := sort.Search(p.aborted.len(), func(i int) bool { return p.aborted.at(i).LastOffset >= from }); i < p.aborted.len(); i++ {
		txn := *p.aborted.at(i)
		if txn.FirstOffset < until {
			list = append(list, txn)
		}
		if txn.LastStableOffset >= until { // all that end later begin later
			break
		}
	}
	return list
}

// find returns the place of a batch in a recorded log.
func (p *Partition) find(e trace.Produce) (int, bool) {
	i := sort.Search(p.log.len(), func(i int) bool { return p.log.at(i).LastOffset >= e.BaseOffset })
	return i, i < p.log.len() && p.log.at(i).BaseOffset == e.BaseOffset
}

// isCommittedAt reports whether the batch at a place in the log is not in a transaction that is open or aborted.
func (p *Partition) isCommittedAt(i int) bool {
	batch := p.log.at(i)
	if !batch.IsTransactional {
		return true
	}
	for i++; i < p.log.len(); i++ {
		if next := p.log.at(i); next.ProducerID == batch.ProducerID && next.Control != Data {
			return next.Control == Commit
		}
	}
	return false
}

// OpenTransaction is a transaction without a marker in one partition. A producer id of -1 is not known: all its records are
// deleted, and only the last stable offset tells of it.
type OpenTransaction struct {
	Partition   trace.Partition
	Producer    trace.Producer
	FirstOffset int64
	TimeMs      int64 // of the producer's last batch, by its records; -1: not known
}

// OpenTransactions returns those that are open in the logs now, by partition and offset. It is for ScopeLog.
func (v *Validator) OpenTransactions() []OpenTransaction {
	var list []OpenTransaction
	for _, p := range v.worlds[0].broker.partitions {
		if l := v.recorded[p.Name]; l != nil && l.isHidden {
			list = append(list, OpenTransaction{Partition: p.Name, Producer: trace.NoProducer, FirstOffset: p.start, TimeMs: -1})
		}
		for _, t := range p.ongoing {
			e := p.producer(t.id)
			list = append(list, OpenTransaction{Partition: p.Name, Producer: trace.Producer{ID: t.id, Epoch: e.Epoch}, FirstOffset: t.first, TimeMs: e.LastTimestamp})
		}
	}
	slices.SortStableFunc(list, func(a, b OpenTransaction) int { return a.Partition.Compare(b.Partition) })
	return list
}
