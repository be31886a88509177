package model

import "github.com/eos-pipe/eos-pipe/trace"

// This file mirrors ProducerAppendInfo.appendEndTxnMarker and KafkaApis.handleWriteTxnMarkersRequest (API 27; KIP-98, KIP-890, KIP-1228).
//
// Simplification: a marker is replicated at once, or later by [Partition.ReplicateTo]; it never fails with NOT_ENOUGH_REPLICAS.

// Marker ends the transaction of a producer in one partition.
type Marker struct {
	ProducerID       int64
	Epoch            int16
	IsCommit         bool
	CoordinatorEpoch int32
	Protocol         int8 // transaction version of the transaction; 2 demands that the epoch is raised
}

// WriteMarker appends a marker at the end of the log, or refuses it and leaves all as it was. It is taken for an unknown
// producer too, and where no transaction is open.
func (p *Partition) WriteMarker(m Marker, nowMs int64, r *Rules) Appended {
	if p.IsLeaderless {
		return refused(trace.NotLeaderOrFollower, NoLeader, false)
	}
	e := p.producer(m.ProducerID)
	if e == nil {
		none := noEntry(m.ProducerID)
		e = &none
	}
	code, why := e.checkMarker(m, r)
	if code != trace.None {
		return refused(code, why, true)
	}
	offset := p.appendMarker(m, nowMs, r)
	return Appended{Reason: why, BaseOffset: offset, LogAppendTime: -1, HasLogStart: true}
}

// appendMarker writes a marker that was checked, and returns its offset.
func (p *Partition) appendMarker(m Marker, nowMs int64, r *Rules) int64 {
	offset := p.end
	p.applyMarker(p.producerOrNew(m.ProducerID), m, offset, nowMs, r)
	p.write(LogBatch{
		BaseOffset: offset, LastOffset: offset, ProducerID: m.ProducerID, Epoch: m.Epoch, BaseSequence: -1, IsTransactional: true,
		TimeMs: nowMs, Control: controlOf(m.IsCommit), CoordinatorEpoch: m.CoordinatorEpoch,
	})
	return offset
}

func (p *Partition) applyMarker(e *ProducerEntry, m Marker, offset, nowMs int64, r *Rules) {
	if !r.has(BugMarkerIgnored) {
		p.closeTransaction(e, offset, controlOf(m.IsCommit), r)
	}
	if !r.has(BugMarkerKeepsEpoch) {
		e.setEpoch(m.Epoch)
	}
	e.CoordinatorEpoch, e.LastTimestamp = m.CoordinatorEpoch, nowMs
	if v := p.verifying(m.ProducerID); v != nil && (!v.SupportsBump || v.Epoch != m.Epoch) {
		p.stopVerification(m.ProducerID) // else the next TV2 transaction is being verified already
	}
}

// checkMarker judges a marker; wrong epochs win over an old coordinator.
func (e *ProducerEntry) checkMarker(m Marker, r *Rules) (trace.Code, Reason) {
	why := MarkerTaken
	if r.raisesMarkerEpoch(m.Protocol) && m.Epoch == e.Epoch {
		// A coordinator that was reloaded, or got no answer, writes its marker again: the transaction has ended then.
		if e.TxnFirstOffset >= 0 && m.Epoch != maxMarkerEpoch && !r.has(BugMarkerEpochUnchecked) {
			return trace.InvalidProducerEpoch, MarkerEpochOld
		}
		why = MarkerRepeated
	}
	switch {
	case m.Epoch < e.Epoch && !r.has(BugMarkerEpochUnchecked):
		return trace.InvalidProducerEpoch, MarkerEpochOld
	case m.CoordinatorEpoch < e.CoordinatorEpoch && !r.has(BugMarkerCoordinatorIgnored):
		return trace.TransactionCoordinatorFenced, MarkerCoordinatorOld
	}
	return trace.None, why
}

// maxMarkerEpoch is only used in markers: the last epoch of a client is one lower.
const maxMarkerEpoch = 32767

// WriteTxnMarkersRequest asks the leaders of partitions to write one marker. (Kafka's request takes several.)
type WriteTxnMarkersRequest struct {
	Version    int16
	Marker     Marker // Protocol counts from v2 on
	Partitions []trace.Partition
}

// WriteTxnMarkers answers one code for each partition; nil if the version is not offered.
func (b *Broker) WriteTxnMarkers(q WriteTxnMarkersRequest) []Appended {
	if !b.rules.offers(apiWriteTxnMarkers, q.Version) {
		return nil
	}
	m := q.Marker
	if q.Version < 2 {
		m.Protocol = 0
	}
	answers := make([]Appended, len(q.Partitions))
	for i, name := range q.Partitions {
		if m.Epoch < 0 { // an internal error of the broker: it cannot build such a marker
			answers[i] = refused(trace.UnknownServerError, MarkerEpochOld, false)
			continue
		}
		answers[i] = b.writeMarker(name, m)
	}
	return answers
}

// writeMarker writes to a partition; in one of __consumer_offsets the pending offsets of the groups there go with it.
func (b *Broker) writeMarker(name trace.Partition, m Marker) Appended {
	p := b.Partition(name)
	if p == nil {
		return refused(trace.UnknownTopicOrPartition, UnknownPartition, false)
	}
	a := p.WriteMarker(m, b.nowMs, &b.rules)
	if a.Code == trace.None && name.Topic == offsetsTopic {
		for _, g := range b.groups {
			if b.OffsetsPartition(g.ID) == name {
				g.endTxn(m.ProducerID, m.IsCommit, &b.rules)
			}
		}
	}
	return a
}
