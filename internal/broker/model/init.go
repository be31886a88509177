package model

import (
	"github.com/eos-pipe/eos-pipe/trace"
)

// This file mirrors KafkaApis.handleInitProducerIdRequest, TransactionCoordinator.handleInitProducerId and
// TransactionMetadata.prepareIncrementProducerEpoch and prepareProducerIdRotation (API 22; KIP-98, KIP-360, KIP-588, KIP-890, KIP-939).
//
// Simplification: authorization is not modelled.

// InitProducerIDRequest asks for a producer id and epoch.
type InitProducerIDRequest struct {
	Version      int16
	TxnID        trace.NullString
	TimeoutMs    int32
	Expected     trace.Producer // what the producer thinks it is; NoProducer: it knows nothing
	Enable2PC    bool           // v6
	KeepPrepared bool           // v6
}

// InitProducerIDAnswer carries NoProducer on an error. A code of [trace.NoReply] is a closed connection.
type InitProducerIDAnswer struct {
	Code     trace.Code
	Reason   Reason
	Producer trace.Producer
}

// neverTimesOut is the timeout of transactions with two-phase commit.
const neverTimesOut = 2147483647

// InitProducerID answers the request. An open transaction of the id is aborted, and the producer told to ask again.
func (b *Broker) InitProducerID(q InitProducerIDRequest) InitProducerIDAnswer {
	a := b.initProducerID(q)
	if a.Code != trace.None {
		a.Producer = trace.NoProducer
	}
	if a.Code == trace.ProducerFenced && q.Version < 4 {
		a.Code = trace.InvalidProducerEpoch
	}
	return a
}

func (b *Broker) initProducerID(q InitProducerIDRequest) InitProducerIDAnswer {
	r := &b.rules
	switch {
	case !r.offers(apiInitProducerID, q.Version):
		return InitProducerIDAnswer{Code: trace.NoReply, Reason: VersionNotOffered}
	case (q.Expected.ID == -1) != (q.Expected.Epoch == -1):
		return InitProducerIDAnswer{Code: trace.InvalidRequest, Reason: MalformedRequest}
	case !q.TxnID.Valid:
		return InitProducerIDAnswer{Reason: NewProducerID, Producer: trace.Producer{ID: b.txns.ids.Next()}}
	case q.TxnID.Value == "":
		return InitProducerIDAnswer{Code: trace.InvalidRequest, Reason: MalformedRequest}
	case q.Enable2PC && !r.TwoPhaseCommit:
		return InitProducerIDAnswer{Code: trace.TransactionalIDAuthorizationFailed, Reason: MalformedRequest}
	case q.KeepPrepared:
		return InitProducerIDAnswer{Code: trace.UnsupportedVersion, Reason: MalformedRequest}
	case !q.Enable2PC && (q.TimeoutMs <= 0 || int64(q.TimeoutMs) > r.MaxTxnTimeoutMs):
		return InitProducerIDAnswer{Code: trace.InvalidTransactionTimeout, Reason: BadTimeout}
	}
	if q.Enable2PC {
		q.TimeoutMs = neverTimesOut
	}
	t := b.txns.index[q.TxnID.Value]
	if t == nil {
		t = &Txn{
			ID: q.TxnID.Value, ProducerID: b.txns.ids.Next(), PrevProducerID: -1, NextProducerID: -1, Epoch: -1, LastEpoch: -1,
			Pending: noState, StartMs: -1,
		}
		b.txns.put(t)
	}
	if r.FencesAtOnce && t.State == Ongoing && t.mayBe(q.Expected) {
		b.txns.fence(t, b.nowMs, r)
		b.Settle(t.ID)
		t.transit(Empty, b.nowMs)
		t.TimeoutMs, t.Partitions, t.StartMs = q.TimeoutMs, nil, -1
		return InitProducerIDAnswer{Reason: InitAborts, Producer: trace.Producer{ID: t.ProducerID, Epoch: t.Epoch}}
	}
	return b.txns.init(t, q, b.nowMs, r)
}

// init goes by the state of the id. A stale expected epoch is not looked at while a transaction is open: a zombie that
// asks aborts the transaction of the living producer.
func (c *coordinator) init(t *Txn, q InitProducerIDRequest, nowMs int64, r *Rules) InitProducerIDAnswer {
	switch {
	case t.isPending(r):
		return InitProducerIDAnswer{Code: trace.ConcurrentTransactions, Reason: TransactionEnding}
	case !t.mayBe(q.Expected) && !r.has(BugInitExpectedIgnored):
		return InitProducerIDAnswer{Code: trace.ProducerFenced, Reason: InitFenced}
	case t.State == Ongoing && !r.has(BugInitKeepsTransaction):
		c.fence(t, nowMs, r)
		return InitProducerIDAnswer{Code: trace.ConcurrentTransactions, Reason: InitAborts}
	case t.State.isPrepare() && !r.has(BugPendingIgnored):
		return InitProducerIDAnswer{Code: trace.ConcurrentTransactions, Reason: TransactionEnding}
	}
	code, why := c.raise(t, q.Expected, nowMs, r)
	if code == trace.None {
		t.TimeoutMs, t.Partitions, t.StartMs = q.TimeoutMs, nil, -1
	}
	return InitProducerIDAnswer{Code: code, Reason: why, Producer: trace.Producer{ID: t.ProducerID, Epoch: t.Epoch}}
}

// mayBe reports whether the expected producer id can be the one of this transactional id.
func (t *Txn) mayBe(expected trace.Producer) bool {
	return expected == trace.NoProducer || t.Epoch == -1 || expected.ID == t.ProducerID ||
		expected.ID == t.PrevProducerID && expected.Epoch >= lastClientEpoch
}

// raise gives the next epoch, or the current one to a retry, or a new producer id.
func (c *coordinator) raise(t *Txn, expected trace.Producer, nowMs int64, r *Rules) (trace.Code, Reason) {
	isNew, isAnyone, isCurrent := t.Epoch == -1, expected == trace.NoProducer, expected.Epoch == t.Epoch
	switch {
	case t.isExhausted() && (isAnyone || isCurrent) && !r.has(BugEpochOverflow):
		last := t.Epoch
		if isAnyone {
			last = -1
		}
		t.transit(Empty, nowMs)
		t.ProducerID, t.Epoch, t.LastEpoch = c.ids.Next(), 0, last
		return trace.None, EpochsExhausted
	case t.isExhausted(): // an internal error of the broker: it cannot count on, and says so
		return trace.UnknownServerError, EpochsExhausted
	case isNew, isAnyone, isCurrent, r.has(BugInitExpectedIgnored):
		last := t.Epoch
		if isAnyone {
			last = -1
		}
		t.transit(Empty, nowMs)
		t.LastEpoch = last
		if !r.has(BugInitWithoutBump) || isNew {
			t.Epoch++
		}
		return trace.None, EpochBumped
	case expected.Epoch == t.LastEpoch:
		t.transit(Empty, nowMs)
		return trace.None, InitRetried
	}
	return trace.ProducerFenced, InitFenced
}
