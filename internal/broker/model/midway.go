package model

import "github.com/eos-pipe/eos-pipe/trace"

// This file is for traces that begin on a cluster in use ([ValidatorConfig.IsMidway]): what is seen first of a partition, a
// transactional id or a group's offset is where it stands.

// adopt takes over what the event shows of things that were not seen before. It reports whether the answer is explained by that
// alone; else the event is still to be judged.
func adopt(b *Broker, e trace.Event) bool {
	switch e := e.(type) {
	case trace.Produce:
		if e.Code == trace.None && e.BaseOffset > 0 {
			adoptEnd(b.create(e.Partition), e.BaseOffset)
		}
	case trace.Fetch:
		p := b.create(e.Partition)
		if p.isUnused() {
			adoptEnd(p, e.HighWatermark)
			return true
		}
	case trace.OffsetFetch:
		return e.Code == trace.UnstableOffsetCommit && b.group(e.Group) == nil || adoptOffset(b, e)
	case trace.InitProducerID:
		return e.TxnID.Valid && b.txns.index[e.TxnID.Value] == nil && adoptTxn(b, e)
	}
	return false
}

// adoptEnd lets an unused log begin at offset.
func adoptEnd(p *Partition, offset int64) {
	if p.isUnused() && offset > 0 {
		p.start, p.highWatermark, p.end = offset, offset, offset
	}
}

// adoptOffset takes a committed offset that nobody committed in the trace.
func adoptOffset(b *Broker, e trace.OffsetFetch) bool {
	g := b.group(e.Group)
	if e.Code != trace.None || g != nil && (g.Committed(e.Partition) != -1 || g.isUnstable(e.Partition)) {
		return false
	}
	if g == nil {
		g = b.SetGroup(Group{ID: e.Group})
	}
	if e.Offset >= 0 {
		g.offsets = append(g.offsets, groupOffset{partition: e.Partition, offset: e.Offset, record: -1, producerID: -1})
	}
	return true
}

// adoptTxn takes the producer that a transactional id is given first; an older transaction of it may have to be aborted before.
func adoptTxn(b *Broker, e trace.InitProducerID) bool {
	if e.Code == trace.None {
		b.txns.put(&Txn{
			ID: e.TxnID.Value, ProducerID: e.Producer.ID, PrevProducerID: e.Producer.ID, NextProducerID: -1, Epoch: e.Producer.Epoch,
			LastEpoch: -1, TimeoutMs: e.TimeoutMs, Pending: noState, StartMs: -1, UpdateMs: b.nowMs,
		})
	}
	return e.Code == trace.None || e.Code == trace.ConcurrentTransactions
}
