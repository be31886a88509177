package model

import (
	"maps"
	"slices"

	"github.com/eos-pipe/eos-pipe/trace"
)

// This file mirrors the leader's side of a partition: org.apache.kafka.storage.internals.log.UnifiedLog (append),
// ProducerStateManager and LogValidator (KIP-98).
//
// Simplifications: there is one replica unless IsLagging is set, and nothing is truncated, compacted or deleted by retention
// (retention does not touch producer state). Size limits are flaws of a batch, not computed.

// Partition is one log with what its leader knows of producers and transactions. It is a value of one owner; see
// [Partition.Clone].
type Partition struct {
	Name trace.Partition

	IsLeaderless    bool // nobody leads it: clients are refused, and the coordinator drops it from ending transactions
	IsLagging       bool // the high watermark moves by ReplicateTo only, not by itself
	IsLogAppendTime bool // message.timestamp.type=LogAppendTime
	isInternal      bool
	isRecorded      bool // what is in it was read from a log, with the offsets it has there

	producers []ProducerEntry
	index     map[int64]int32 // producer id → place in producers

	verify []VerifyEntry
	guards Guard // handed out so far

	ongoing      []openTxn // by first offset
	unreplicated []openTxn // ended, their markers at or above the high watermark
	aborted      history[AbortedTxn]

	log           history[LogBatch]
	logHash       uint64 // of all that is in the log
	start         int64  // log start offset
	highWatermark int64
	end           int64 // log end offset
}

// openTxn is a transaction of a producer in this partition.
type openTxn struct {
	id     int64
	first  int64
	marker int64 // offset of its marker, once it has ended
}

// NewPartition returns an empty log.
func NewPartition(name trace.Partition) *Partition {
	return &Partition{Name: name, index: map[int64]int32{}, isInternal: isInternal(name.Topic)}
}

const (
	offsetsTopic = "__consumer_offsets"
	txnTopic     = "__transaction_state"
)

func isInternal(topic string) bool { return topic == offsetsTopic || topic == txnTopic }

// Clone returns an independent copy. The log itself is shared, since what is in it does not change.
func (p *Partition) Clone() *Partition {
	c := *p
	c.producers, c.index = slices.Clone(p.producers), maps.Clone(p.index)
	c.verify, c.ongoing, c.unreplicated = slices.Clone(p.verify), slices.Clone(p.ongoing), slices.Clone(p.unreplicated)
	c.aborted, c.log = p.aborted.clone(), p.log.clone()
	return &c
}

// LogStartOffset is the first offset that can be read.
func (p *Partition) LogStartOffset() int64 { return p.start }

// LogEndOffset is the offset that the next batch gets.
func (p *Partition) LogEndOffset() int64 { return p.end }

// HighWatermark is the offset below which all is replicated.
func (p *Partition) HighWatermark() int64 { return p.highWatermark }

// Producers returns all known producers in the order in which they came. They are the partition's own: read them only.
func (p *Partition) Producers() []ProducerEntry { return p.producers }

// producer returns the entry of a producer id, or nil. It is valid until a producer is added or removed.
func (p *Partition) producer(id int64) *ProducerEntry {
	if i, ok := p.index[id]; ok {
		return &p.producers[i]
	}
	return nil
}

func (p *Partition) producerOrNew(id int64) *ProducerEntry {
	if e := p.producer(id); e != nil {
		return e
	}
	p.index[id] = int32(len(p.producers))
	p.producers = append(p.producers, noEntry(id))
	return &p.producers[len(p.producers)-1]
}

// Appended is the answer of an append.
type Appended struct {
	Code          trace.Code
	Reason        Reason
	BaseOffset    int64 // of the batch, or of the one it repeats; -1 on an error
	LogAppendTime int64 // -1, unless the topic has LogAppendTime, or the batch is a repeat
	HasLogStart   bool  // the answer carries the log's start offset
}

func refused(code trace.Code, why Reason, hasLogStart bool) Appended {
	return Appended{Code: code, Reason: why, BaseOffset: -1, LogAppendTime: -1, HasLogStart: hasLogStart}
}

// Append takes a client's batch, or refuses it and leaves all as it was. The guard is that of [Partition.StartVerification].
func (p *Partition) Append(b *Batch, g Guard, nowMs int64, r *Rules) Appended {
	switch {
	case p.isInternal:
		return refused(trace.InvalidTopicException, InternalTopic, false)
	case p.IsLeaderless:
		return refused(trace.NotLeaderOrFollower, NoLeader, false)
	case b.Flaw != NoFlaw && b.Flaw != FlawSegmentSize:
		return refused(flaws[b.Flaw].code, BadBatch, flaws[b.Flaw].hasStart)
	case b.ProducerID >= 0 && b.BaseSequence < 0:
		return refused(trace.InvalidRecord, BadBatch, true)
	case b.Flaw != NoFlaw:
		return refused(flaws[b.Flaw].code, BadBatch, flaws[b.Flaw].hasStart)
	case b.ProducerID < 0:
		return p.append(b, nowMs, r)
	}
	return p.appendProducers(b, g, nowMs, r)
}

// appendProducers is the order of UnifiedLog.analyzeAndValidateProducerState.
func (p *Partition) appendProducers(b *Batch, g Guard, nowMs int64, r *Rules) Appended {
	e := p.producer(b.ProducerID)
	if e != nil {
		if m, ok := e.duplicate(b, r); ok {
			return p.answerDuplicate(b, m, nowMs, r)
		}
	}
	if code, why := p.checkGuard(e, b, g, r); code != trace.None {
		return refused(code, why, true)
	}
	known := e
	if known == nil {
		none := noEntry(b.ProducerID)
		known = &none
	}
	if code, why := known.check(b, p.verifying(b.ProducerID), r); code != trace.None {
		return refused(code, why, true)
	}
	return p.append(b, nowMs, r)
}

func (p *Partition) answerDuplicate(b *Batch, m BatchMeta, nowMs int64, r *Rules) Appended {
	a := Appended{Reason: Duplicate, BaseOffset: m.FirstOffset(), LogAppendTime: m.Timestamp, HasLogStart: true}
	switch {
	case r.has(BugDuplicateAppended):
		return p.append(b, nowMs, r)
	case r.has(BugDuplicateOffset):
		a.BaseOffset = p.end
	}
	return a
}

// checkGuard refuses a transactional batch that neither belongs to an open transaction nor was verified. The race it closes:
// the partition is verified, then the transaction's marker is written, then the batch arrives; it would open a transaction
// that nobody ends.
func (p *Partition) checkGuard(e *ProducerEntry, b *Batch, g Guard, r *Rules) (trace.Code, Reason) {
	if !b.IsTransactional || e != nil && e.InTransaction(b.Epoch) {
		return trace.None, InSequence
	}
	if e != nil && b.Epoch < e.Epoch && !r.has(BugNoEpochCheck) {
		return trace.InvalidProducerEpoch, EpochFenced
	}
	if r.verifies() && !p.isGuarded(b.ProducerID, g) {
		return trace.InvalidTxnState, NotVerified
	}
	return trace.None, InSequence
}

// append writes the batch; every check has been passed.
func (p *Partition) append(b *Batch, nowMs int64, r *Rules) Appended {
	base, last, appendTime, batchTime := p.end, p.end+int64(b.Count)-1, int64(-1), b.TimeMs
	if p.IsLogAppendTime {
		appendTime, batchTime = nowMs, nowMs
	}
	if b.ProducerID >= 0 {
		e := p.producerOrNew(b.ProducerID)
		e.remember(b.Epoch, BatchMeta{LastSequence: b.LastSequence(), LastOffset: last, OffsetDelta: b.Count - 1, Timestamp: batchTime}, r)
		if r.has(BugExpiryByBrokerTime) {
			e.LastTimestamp = nowMs
		}
		if b.IsTransactional {
			p.openTransaction(e, base)
			p.stopVerification(b.ProducerID)
		}
	}
	p.write(LogBatch{
		BaseOffset: base, LastOffset: last, ProducerID: b.ProducerID, Epoch: b.Epoch, BaseSequence: b.BaseSequence,
		IsTransactional: b.IsTransactional, TimeMs: batchTime, Digest: b.Digest,
	})
	return Appended{Reason: InSequence, BaseOffset: base, LogAppendTime: appendTime, HasLogStart: true}
}

// appendOffsets writes a group's batch of offsets: it has no sequence, only epoch and guard are checked.
func (p *Partition) appendOffsets(b *Batch, g Guard, nowMs int64, r *Rules) Appended {
	if b.ProducerID >= 0 {
		e := p.producer(b.ProducerID)
		if code, why := p.checkGuard(e, b, g, r); code != trace.None {
			return refused(code, why, true)
		}
		if e != nil && b.Epoch < e.Epoch && !r.has(BugNoEpochCheck) {
			return refused(trace.InvalidProducerEpoch, EpochFenced, true)
		}
	}
	return p.append(b, nowMs, r)
}

// write puts a batch or a marker at the end of the log.
func (p *Partition) write(b LogBatch) {
	p.log.add(b)
	p.logHash = mix(p.logHash, uint64(b.BaseOffset), uint64(b.ProducerID), uint64(b.Epoch)<<32|uint64(uint32(b.BaseSequence)), b.Digest, uint64(b.Control))
	p.end = b.LastOffset + 1
	if !p.IsLagging {
		p.ReplicateTo(p.end)
	}
}

// ExpireProducers drops producers, as the check that runs every producer.id.expiration.check.interval.ms does: those without
// open transaction whose last batch is old by the timestamp of its own records. Replayed records with old timestamps
// therefore make their producer forgotten at the next check. It returns how many were dropped.
func (p *Partition) ExpireProducers(nowMs int64, r *Rules) int {
	before := len(p.producers)
	p.producers = slices.DeleteFunc(p.producers, func(e ProducerEntry) bool { return isExpired(&e, nowMs, r) })
	p.verify = slices.DeleteFunc(p.verify, func(v VerifyEntry) bool { return nowMs-v.CreatedMs >= r.ProducerExpiryMs })
	if len(p.producers) != before {
		p.reindex()
	}
	return before - len(p.producers)
}

func isExpired(e *ProducerEntry, nowMs int64, r *Rules) bool {
	return (e.TxnFirstOffset < 0 || r.has(BugOpenProducerExpires)) && nowMs-e.LastTimestamp >= r.ProducerExpiryMs
}

func (p *Partition) reindex() {
	clear(p.index)
	for i := range p.producers {
		p.index[p.producers[i].ID] = int32(i)
	}
}

// RestartLeader is a clean restart of the leader: its snapshot keeps one batch of each producer, verifications are forgotten,
// and expired producers are not loaded.
func (p *Partition) RestartLeader(nowMs int64, r *Rules) {
	for i := range p.producers {
		p.producers[i].forgetAllButNewest()
	}
	p.verify = nil
	p.IsLeaderless = false
	p.ExpireProducers(nowMs, r)
}

// DeleteRecords moves the log start offset up to offset; -1 is the high watermark. Producer state stays: a repeat of a
// deleted batch still gets its old offset.
func (p *Partition) DeleteRecords(offset int64) trace.Code {
	if offset == -1 {
		offset = p.highWatermark
	}
	if offset < 0 || offset > p.highWatermark {
		return trace.OffsetOutOfRange
	}
	p.start = max(p.start, offset)
	return trace.None
}
