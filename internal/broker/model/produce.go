package model

import "github.com/eos-pipe/eos-pipe/trace"

// This file mirrors KafkaApis.handleProduceRequest and ReplicaManager.handleProduceAppend with
// maybeSendPartitionsToTransactionCoordinator (API 0; KIP-98, KIP-890).
//
// Simplifications: authorization, compression and topic ids are not modelled, and no partition stands in a request twice. The
// verification and the append are one step; whoever wants something to happen between them calls Partition's methods. A broker
// repeats an implicit add that meets an ending transaction for 100 ms; here it answers CONCURRENT_TRANSACTIONS at once.

// ProduceRequest carries at most one batch for each partition. Its version chooses the protocol: from v12 on, TV2.
type ProduceRequest struct {
	Version int16
	TxnID   trace.NullString
	Acks    int16
	Batches []ProduceBatch
}

// ProduceBatch is one batch and where it goes.
type ProduceBatch struct {
	Partition trace.Partition
	Batch     Batch
}

// ProduceAnswer is the answer for one batch. A code of [trace.NoReply] is a closed connection, or acks=0.
type ProduceAnswer struct {
	Code           trace.Code
	Reason         Reason
	BaseOffset     int64 // -1 on an error
	LogAppendTime  int64 // -1, unless the topic has LogAppendTime, or the batch is a repeat
	LogStartOffset int64 // -1 on most errors
	Message        string
}

// The messages that clients may rely on.
const (
	messageNotAdded    = "Partition was not added to the transaction"
	messageSeveral     = "Transactional records contained more than one producer ID"
	messageUnverified  = "Unable to verify the partition has been added to the transaction. Underlying error: "
	firstVersionTV2    = 12
	firstVersionOf120  = 11
	firstVersionOffset = 5 // TxnOffsetCommit
)

// Produce appends the answers to out, in the order of the batches, so that a caller in a hurry allocates nothing.
func (b *Broker) Produce(q *ProduceRequest, out []ProduceAnswer) []ProduceAnswer {
	code, why := b.checkProduce(q)
	for i := range q.Batches {
		a := ProduceAnswer{Code: code, Reason: why, BaseOffset: -1, LogAppendTime: -1, LogStartOffset: -1}
		switch {
		case code == trace.None:
			a = b.produce(q, &q.Batches[i])
		case why == SeveralProducers:
			a.Message = messageSeveral
		}
		if q.Acks == 0 {
			a.Code = trace.NoReply
		}
		out = append(out, a)
	}
	return out
}

// checkProduce is what refuses the whole request.
func (b *Broker) checkProduce(q *ProduceRequest) (trace.Code, Reason) {
	if !b.rules.offers(apiProduce, q.Version) {
		return trace.NoReply, VersionNotOffered
	}
	var first *Batch
	for i := range q.Batches {
		batch := &q.Batches[i].Batch
		switch {
		case !batch.IsTransactional, batch.Flaw == FlawNoBatch, batch.Flaw == FlawMagic: // the bit is not there to be seen
		case !q.TxnID.Valid:
			return trace.TransactionalIDAuthorizationFailed, TxnIDMissing
		case batch.ProducerID < 0, batch.Flaw.isSeenFirst(), b.Partition(q.Batches[i].Partition) == nil:
		case first == nil:
			first = batch
		case batch.ProducerID != first.ProducerID || batch.Epoch != first.Epoch:
			return trace.InvalidProducerIDMapping, SeveralProducers
		}
	}
	return trace.None, InSequence
}

func (b *Broker) produce(q *ProduceRequest, pb *ProduceBatch) ProduceAnswer {
	batch := &pb.Batch
	p := b.Partition(pb.Partition)
	switch {
	case p == nil:
		return refuse(trace.UnknownTopicOrPartition, UnknownPartition)
	case batch.Flaw.isSeenFirst():
		return refuse(flaws[batch.Flaw].code, BadBatch)
	}
	guard, code, why := b.verifyProduce(q, p, batch)
	if code != trace.None {
		return answerUnverified(q.Version, code, why)
	}
	if q.Acks < -1 || q.Acks > 1 {
		return refuse(trace.InvalidRequiredAcks, BadAcks)
	}
	appended := p.Append(batch, guard, b.nowMs, &b.rules)
	a := ProduceAnswer{Code: appended.Code, Reason: appended.Reason, BaseOffset: appended.BaseOffset, LogAppendTime: appended.LogAppendTime, LogStartOffset: -1}
	if appended.HasLogStart {
		a.LogStartOffset = p.start
	}
	return a
}

func refuse(code trace.Code, why Reason) ProduceAnswer {
	return ProduceAnswer{Code: code, Reason: why, BaseOffset: -1, LogAppendTime: -1, LogStartOffset: -1}
}

// verifyProduce asks the coordinator whether the partition is in the transaction, or has it added from v12 on. An add stays
// even if the append then fails.
func (b *Broker) verifyProduce(q *ProduceRequest, p *Partition, batch *Batch) (Guard, trace.Code, Reason) {
	isTV2 := q.Version >= firstVersionTV2
	if !batch.IsTransactional || batch.ProducerID < 0 || !isTV2 && !b.rules.verifies() {
		return 0, trace.None, InSequence
	}
	guard, code, why := p.StartVerification(batch, isTV2, b.nowMs, &b.rules)
	if code != trace.None || guard == 0 {
		return guard, code, why
	}
	producer := trace.Producer{ID: batch.ProducerID, Epoch: batch.Epoch}
	if isTV2 {
		code, why = b.txns.add(q.TxnID.Value, producer, p.Name, 2, b.nowMs, &b.rules)
	} else {
		code, why = b.txns.verify(q.TxnID.Value, producer, p.Name, &b.rules)
	}
	return guard, code, why
}

// answerUnverified translates the coordinator's error to what the version of the client understands.
func answerUnverified(version int16, code trace.Code, why Reason) ProduceAnswer {
	a := refuse(oldFence(code), why)
	switch {
	case code == trace.TransactionAbortable && version < firstVersionOf120:
		a.Code, a.Message = trace.InvalidTxnState, messageNotAdded
	case code == trace.ConcurrentTransactions && version < firstVersionTV2:
		a.Code, a.Message = trace.NotEnoughReplicas, messageUnverified+code.String()
	}
	return a
}
