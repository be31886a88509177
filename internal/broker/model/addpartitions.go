package model

import "github.com/eos-pipe/eos-pipe/trace"

// This file mirrors TransactionCoordinator.handleAddPartitionsToTransaction and handleVerifyPartitionsInTransaction, and their requests
// AddPartitionsToTxn (API 24) and AddOffsetsToTxn (API 25) (KIP-98, KIP-588, KIP-890).
//
// Simplification: a batched AddPartitionsToTxn (v4 and above) carries one transaction.

// AddPartitionsRequest adds partitions, or asks whether they are added.
type AddPartitionsRequest struct {
	Version      int16
	TxnID        string
	Producer     trace.Producer
	IsVerifyOnly bool // v4 and above
	Partitions   []trace.Partition
}

// PartitionAnswer is the answer for one partition.
type PartitionAnswer struct {
	Code   trace.Code
	Reason Reason
}

// AddPartitions answers for each partition; nil if the version is not offered. If one partition does not exist, none is added.
func (b *Broker) AddPartitions(q AddPartitionsRequest) []PartitionAnswer {
	if !b.rules.offers(apiAddPartitions, q.Version) {
		return nil
	}
	answers := make([]PartitionAnswer, len(q.Partitions))
	if q.Version < 4 && b.markUnknown(q.Partitions, answers) {
		return answers
	}
	for i, p := range q.Partitions {
		if q.IsVerifyOnly {
			answers[i].Code, answers[i].Reason = b.txns.verify(q.TxnID, q.Producer, p, &b.rules)
		} else {
			answers[i].Code, answers[i].Reason = b.txns.add(q.TxnID, q.Producer, p, protocolOfAdd(q.Version), b.nowMs, &b.rules)
		}
		if q.Version < 2 {
			answers[i].Code = oldFence(answers[i].Code)
		}
	}
	return answers
}

func protocolOfAdd(version int16) int8 {
	if version >= 4 {
		return 2
	}
	return 0
}

// oldFence is how fencing is told to clients that do not know PRODUCER_FENCED.
func oldFence(code trace.Code) trace.Code {
	if code == trace.ProducerFenced {
		return trace.InvalidProducerEpoch
	}
	return code
}

// markUnknown fills in the answers if a partition is unknown, and reports whether that is so.
func (b *Broker) markUnknown(partitions []trace.Partition, answers []PartitionAnswer) bool {
	isAnyUnknown := false
	for i, name := range partitions {
		answers[i] = PartitionAnswer{trace.OperationNotAttempted, UnknownPartition}
		if b.Partition(name) == nil {
			answers[i].Code = trace.UnknownTopicOrPartition
			isAnyUnknown = true
		}
	}
	return isAnyUnknown
}

// AddOffsetsRequest adds the partition of __consumer_offsets that holds the group, which need not exist.
type AddOffsetsRequest struct {
	Version  int16
	TxnID    string
	Producer trace.Producer
	Group    string
}

// AddOffsets answers the request. A code of [trace.NoReply] is a closed connection.
func (b *Broker) AddOffsets(q AddOffsetsRequest) PartitionAnswer {
	if !b.rules.offers(apiAddOffsets, q.Version) {
		return PartitionAnswer{trace.NoReply, VersionNotOffered}
	}
	code, why := b.txns.add(q.TxnID, q.Producer, b.logOfOffsets(q.Group).Name, 0, b.nowMs, &b.rules)
	if q.Version < 2 {
		code = oldFence(code)
	}
	return PartitionAnswer{code, why}
}

// add joins one partition to the transaction of the id; the first one opens it.
func (c *coordinator) add(id string, producer trace.Producer, p trace.Partition, protocol int8, nowMs int64, r *Rules) (trace.Code, Reason) {
	if id == "" {
		return trace.InvalidRequest, MalformedRequest
	}
	t := c.index[id]
	switch {
	case t == nil:
		return trace.InvalidProducerIDMapping, UnknownTxnID
	case t.isPending(r):
		return trace.ConcurrentTransactions, TransactionEnding
	case !t.isOf(producer.ID, r):
		return trace.InvalidProducerIDMapping, WrongProducerID
	case producer.Epoch != t.Epoch:
		return trace.ProducerFenced, CoordinatorFenced
	case t.State.isPrepare():
		return trace.ConcurrentTransactions, TransactionEnding
	case t.State == Ongoing && t.contains(p):
		return trace.None, PartitionsAdded
	}
	if t.State != Ongoing {
		t.StartMs = nowMs
	}
	t.transit(Ongoing, nowMs)
	t.Protocol = protocol
	if !r.has(BugImplicitAddForgotten) || protocol < 2 {
		t.add(p)
	}
	return trace.None, PartitionsAdded
}

// verify reports whether the partition is in the open transaction. It asks nothing about a state change under way, and
// changes nothing.
func (c *coordinator) verify(id string, producer trace.Producer, p trace.Partition, r *Rules) (trace.Code, Reason) {
	if id == "" {
		return trace.InvalidRequest, MalformedRequest
	}
	t := c.index[id]
	switch {
	case t == nil:
		return trace.InvalidProducerIDMapping, UnknownTxnID
	case !t.isOf(producer.ID, r):
		return trace.InvalidProducerIDMapping, WrongProducerID
	case producer.Epoch != t.Epoch:
		return trace.ProducerFenced, CoordinatorFenced
	case t.State.isPrepare():
		return trace.ConcurrentTransactions, TransactionEnding
	case t.contains(p):
		return trace.None, PartitionsAdded
	}
	return trace.TransactionAbortable, PartitionNotAdded
}
