package model

import (
	"slices"
	"sort"
)

// This file mirrors the bookkeeping of transactions in ProducerStateManager (ongoingTxns, unreplicatedTxns, firstUnstableOffset),
// UnifiedLog.fetchLastStableOffsetMetadata and TransactionIndex (KIP-98).
//
// Simplification: the offset index, by which the broker bounds a fetch's list of aborted transactions, is taken to be
// empty, as it is for a log below index.interval.bytes: the bound is the end of the log.

// AbortedTxn is an entry of the transaction index.
type AbortedTxn struct {
	ProducerID       int64
	FirstOffset      int64
	LastOffset       int64 // of the marker
	LastStableOffset int64 // when the marker was written
}

func (p *Partition) openTransaction(e *ProducerEntry, first int64) {
	if e.TxnFirstOffset < 0 {
		e.TxnFirstOffset = first
		p.ongoing = append(p.ongoing, openTxn{id: e.ID, first: first}) // offsets grow, so the order stays
	}
}

// closeTransaction ends the open transaction of e with a marker at that offset.
func (p *Partition) closeTransaction(e *ProducerEntry, marker int64, control Control, r *Rules) {
	if e.TxnFirstOffset < 0 {
		return
	}
	txn := openTxn{id: e.ID, first: e.TxnFirstOffset, marker: marker}
	e.TxnFirstOffset = -1
	p.ongoing = slices.DeleteFunc(p.ongoing, func(t openTxn) bool { return t.id == e.ID })
	p.unreplicated = append(p.unreplicated, txn)
	isListed := control == Abort && !r.has(BugAbortNotListed) || control == Commit && r.has(BugAbortListedAsCommit)
	if !isListed {
		return
	}
	stable := marker + 1
	if len(p.ongoing) > 0 {
		stable = p.ongoing[0].first
	}
	p.aborted.add(AbortedTxn{ProducerID: e.ID, FirstOffset: txn.first, LastOffset: marker, LastStableOffset: stable})
}

// ReplicateTo moves the high watermark up to offset, at most to the end of the log. Transactions whose markers are below
// it are ended for readers too.
func (p *Partition) ReplicateTo(offset int64) {
	p.highWatermark = max(p.highWatermark, min(offset, p.end))
	p.unreplicated = slices.DeleteFunc(p.unreplicated, func(t openTxn) bool { return t.marker < p.highWatermark })
}

// LastStableOffset is where a read_committed reader stops: the first offset of the oldest transaction that is open, or whose
// marker is not replicated; else the high watermark.
func (p *Partition) LastStableOffset(r *Rules) int64 {
	stable := p.highWatermark
	if len(p.ongoing) > 0 && !r.has(BugStableOffsetAhead) {
		stable = min(stable, p.ongoing[0].first)
	}
	if !r.has(BugStableBeforeReplicated) {
		for _, t := range p.unreplicated {
			stable = min(stable, t.first)
		}
	}
	if stable < p.start {
		return p.baseOf(p.start)
	}
	return stable
}

// baseOf is the base offset of the batch that holds an offset. To that the last stable offset moves when the start of the log is
// moved into an open transaction, so it may lie below the start.
func (p *Partition) baseOf(offset int64) int64 {
	i := sort.Search(p.log.len(), func(i int) bool { return p.log.at(i).LastOffset >= offset })
	if i == p.log.len() {
		return offset
	}
	return p.log.at(i).BaseOffset
}

// OpenTransactions returns the producer ids with an open transaction, oldest first.
func (p *Partition) OpenTransactions() []int64 {
	ids := make([]int64, len(p.ongoing))
	for i, t := range p.ongoing {
		ids[i] = t.id
	}
	return ids
}

// abortedFrom lists, in the order of their markers, the aborted transactions that end at offset or behind it.
func (p *Partition) abortedFrom(offset int64) []AbortedTxn {
	list := []AbortedTxn{}
	from := sort.Search(p.aborted.len(), func(i int) bool { return p.aborted.at(i).LastOffset >= offset })
	for i := from; i < p.aborted.len(); i++ {
		txn := *p.aborted.at(i)
		if txn.FirstOffset < p.end {
			list = append(list, txn)
		}
		if txn.LastStableOffset >= p.end {
			break
		}
	}
	return list
}

// batchesFrom lists the batches from the one that holds offset up to those that begin below limit, at most maxBatches. From the
// limit on there is nothing, even if the limit lies within a batch: so it does when the log start was moved into an open transaction.
func (p *Partition) batchesFrom(offset, limit int64, maxBatches int) []LogBatch {
	if offset >= limit {
		return nil
	}
	var list []LogBatch
	from := sort.Search(p.log.len(), func(i int) bool { return p.log.at(i).LastOffset >= offset })
	for i := from; i < p.log.len() && p.log.at(i).BaseOffset < limit && len(list) < maxBatches; i++ {
		list = append(list, *p.log.at(i))
	}
	return list
}
