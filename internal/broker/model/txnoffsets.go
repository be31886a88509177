package model

import "github.com/eos-pipe/eos-pipe/trace"

// This file mirrors KafkaApis.handleTxnOffsetCommitRequest and GroupCoordinatorService.commitTransactionalOffsets (API 28; KIP-98,
// KIP-447, KIP-890, KIP-1319), and of OffsetCommit (API 8) and OffsetFetch (API 9) what meets transactions (KIP-447).
//
// Simplifications: the group coordinator is always there; plain commits are checked as far as members and generations go;
// offsets do not expire.

// OffsetToCommit is one offset of a commit.
type OffsetToCommit struct {
	Partition     trace.Partition
	Offset        int64
	MetadataBytes int
}

// TxnOffsetCommitRequest commits offsets in a transaction. From v5 on it adds the group's partition by itself; from v6 on topics are named
// by id, and the group's errors are those of a plain commit (KIP-1319).
type TxnOffsetCommitRequest struct {
	Version  int16
	TxnID    string
	Producer trace.Producer
	Group    string
	Metadata GroupMetadata
	Offsets  []OffsetToCommit
}

// TxnOffsetCommit answers for each offset; nil if the version is not offered. The add comes before the checks of the group, and
// stays if they fail.
func (b *Broker) TxnOffsetCommit(q TxnOffsetCommitRequest) []PartitionAnswer {
	if !b.rules.offers(apiTxnOffsetCommit, q.Version) {
		return nil
	}
	as := errorsOfTxn
	if q.Version >= firstVersionTopicIDs {
		as = errorsOfTxn6
	}
	if q.Group == "" {
		return b.answerOffsets(q.Offsets, as, trace.InvalidGroupID, GroupID)
	}
	log := b.logOfOffsets(q.Group)
	batch := Batch{ProducerID: q.Producer.ID, Epoch: q.Producer.Epoch, BaseSequence: -1, Count: 1, IsTransactional: true, TimeMs: b.nowMs}
	guard, code, why := b.verifyOffsets(q, log, &batch)
	if code != trace.None {
		return b.answerOffsets(q.Offsets, as, code, why)
	}
	g, code, why := b.groupForCommit(q.Group, q.Metadata, as, q.Offsets)
	if code != trace.None {
		return b.answerOffsets(q.Offsets, as, code, why)
	}
	return b.commitOffsets(g, log, batch, guard, q.Offsets, as)
}

// firstVersionTopicIDs is that of TxnOffsetCommit with topic ids.
const firstVersionTopicIDs = 6

// verifyOffsets is the verification, or implicit add, of the group's partition, and the translation of its errors.
func (b *Broker) verifyOffsets(q TxnOffsetCommitRequest, log *Partition, batch *Batch) (Guard, trace.Code, Reason) {
	isTV2 := q.Version >= firstVersionOffset
	if !isTV2 && !b.rules.verifies() {
		return 0, trace.None, InSequence
	}
	guard, code, why := log.StartVerification(batch, isTV2, b.nowMs, &b.rules)
	if code != trace.None || guard == 0 {
		return guard, code, why
	}
	if isTV2 {
		code, why = b.txns.add(q.TxnID, q.Producer, log.Name, 2, b.nowMs, &b.rules)
	} else {
		code, why = b.txns.verify(q.TxnID, q.Producer, log.Name, &b.rules)
	}
	if code == trace.TransactionAbortable && q.Version < 4 {
		code = trace.InvalidTxnState
	}
	return guard, oldFence(code), why
}

// answerOffsets gives one code to all offsets, but those of unknown partitions.
func (b *Broker) answerOffsets(offsets []OffsetToCommit, as errorsOf, code trace.Code, why Reason) []PartitionAnswer {
	answers := make([]PartitionAnswer, len(offsets))
	for i, o := range offsets {
		answers[i] = PartitionAnswer{code, why}
		switch {
		case b.Partition(o.Partition) != nil:
		case as == errorsOfTxn6 && !b.hasTopic(o.Partition.Topic):
			answers[i] = PartitionAnswer{trace.UnknownTopicID, UnknownPartition}
		default:
			answers[i] = PartitionAnswer{trace.UnknownTopicOrPartition, UnknownPartition}
		}
	}
	return answers
}

// groupForCommit finds the group and checks the metadata. A commit without generation makes a simple group.
func (b *Broker) groupForCommit(id string, m GroupMetadata, as errorsOf, offsets []OffsetToCommit) (*Group, trace.Code, Reason) {
	g := b.group(id)
	if g == nil {
		if m.Generation >= 0 && (!as.isTxn() || !b.rules.has(BugGenerationUnchecked)) {
			return nil, as.noGroup(), GroupGeneration
		}
		return b.SetGroup(Group{ID: id}), trace.None, OffsetPending
	}
	code, why := g.check(m, as, offsets, &b.rules)
	return g, code, why
}

// commitOffsets writes the offsets as one batch of the group's partition.
func (b *Broker) commitOffsets(g *Group, log *Partition, batch Batch, guard Guard, offsets []OffsetToCommit, as errorsOf) []PartitionAnswer {
	why := OffsetTaken
	if batch.IsTransactional {
		why = OffsetPending
	}
	answers := b.answerOffsets(offsets, as, trace.None, why)
	batch.Count = 0
	for i, o := range offsets {
		if answers[i].Code == trace.None && o.MetadataBytes > b.rules.MaxMetadataBytes {
			answers[i] = PartitionAnswer{trace.OffsetMetadataTooLarge, MetadataTooLarge}
		}
		if answers[i].Code == trace.None {
			batch.Count++
		}
	}
	if batch.Count == 0 {
		return answers
	}
	appended := log.appendOffsets(&batch, guard, b.nowMs, &b.rules)
	record := appended.BaseOffset
	for i, o := range offsets {
		switch {
		case answers[i].Code != trace.None:
		case appended.Code != trace.None:
			answers[i] = PartitionAnswer{offsetsError(appended.Code), appended.Reason}
		default:
			b.noteOffset(g, groupOffset{partition: o.Partition, offset: o.Offset, record: record, producerID: batch.ProducerID})
			record++
		}
	}
	return answers
}

func (b *Broker) noteOffset(g *Group, o groupOffset) {
	isTxn := o.producerID >= 0
	if !isTxn || b.rules.has(BugOffsetsVisibleEarly) {
		g.take(o, &b.rules)
	}
	if isTxn {
		g.pending = append(g.pending, o)
	}
}

// offsetsError is how the group coordinator tells an error of its own log.
func offsetsError(code trace.Code) trace.Code {
	switch code {
	case trace.UnknownTopicOrPartition, trace.NotEnoughReplicas, trace.RequestTimedOut:
		return trace.CoordinatorNotAvailable
	case trace.NotLeaderOrFollower, trace.KafkaStorageError:
		return trace.NotCoordinator
	case trace.MessageTooLarge, trace.RecordListTooLarge:
		return trace.UnknownServerError
	default:
		return code
	}
}

// OffsetCommitRequest commits offsets outside of any transaction.
type OffsetCommitRequest struct {
	Group    string
	Metadata GroupMetadata
	Offsets  []OffsetToCommit
}

// OffsetCommit answers for each offset; they are visible at once, and win over pending ones that were written before. The group ""
// is allowed here, as it was before groups had names.
func (b *Broker) OffsetCommit(q OffsetCommitRequest) []PartitionAnswer {
	g, code, why := b.groupForCommit(q.Group, q.Metadata, errorsOfPlain, q.Offsets)
	if code != trace.None {
		return b.answerOffsets(q.Offsets, errorsOfPlain, code, why)
	}
	batch := Batch{ProducerID: -1, Epoch: -1, BaseSequence: -1, Count: 1, TimeMs: b.nowMs}
	return b.commitOffsets(g, b.logOfOffsets(q.Group), batch, 0, q.Offsets, errorsOfPlain)
}

// OffsetFetchRequest reads the committed offset of a partition. IsStable is require_stable (v7 and above).
type OffsetFetchRequest struct {
	Group     string
	Partition trace.Partition
	IsStable  bool
}

// OffsetFetchAnswer holds -1 for no offset, and on an error.
type OffsetFetchAnswer struct {
	Code   trace.Code
	Reason Reason
	Offset int64
}

// OffsetFetch answers the request. An unknown group has no offsets, which is no error.
func (b *Broker) OffsetFetch(q OffsetFetchRequest) OffsetFetchAnswer {
	g := b.group(q.Group)
	switch {
	case g == nil:
		return OffsetFetchAnswer{Reason: OffsetRead, Offset: -1}
	case q.IsStable && g.isUnstable(q.Partition) && !b.rules.has(BugUnstableIgnored):
		return OffsetFetchAnswer{Code: trace.UnstableOffsetCommit, Reason: OffsetUnstable, Offset: -1}
	}
	return OffsetFetchAnswer{Reason: OffsetRead, Offset: g.Committed(q.Partition)}
}
