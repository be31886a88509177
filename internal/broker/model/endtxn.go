package model

import "github.com/eos-pipe/eos-pipe/trace"

// This file mirrors TransactionCoordinator.endTransaction and endTransactionWithTV1 (API 26; KIP-98, KIP-360, KIP-588, KIP-890).

// EndTxnRequest commits or aborts a transaction. Its version chooses the protocol: TV2 from v5 on.
type EndTxnRequest struct {
	Version  int16
	TxnID    string
	Producer trace.Producer
	IsCommit bool
}

// EndTxnAnswer is given when the decision is durable; markers are still to be written. Next is what the producer uses from
// now on; NoProducer on an error and below v5.
type EndTxnAnswer struct {
	Code   trace.Code
	Reason Reason
	Next   trace.Producer
}

// EndTxn answers the request.
func (b *Broker) EndTxn(q EndTxnRequest) EndTxnAnswer {
	r := &b.rules
	if !r.offers(apiEndTxn, q.Version) {
		return EndTxnAnswer{Code: trace.NoReply, Reason: VersionNotOffered, Next: trace.NoProducer}
	}
	t := b.txns.index[q.TxnID]
	var code trace.Code
	var why Reason
	switch {
	case q.TxnID == "":
		code, why = trace.InvalidRequest, MalformedRequest
	case t == nil:
		code, why = trace.InvalidProducerIDMapping, UnknownTxnID
	case q.Version >= 5:
		code, why = b.txns.end(t, q, b.nowMs, r)
	default:
		code, why = t.endTV1(q, b.nowMs, r)
	}
	if code == trace.ProducerFenced && q.Version < 2 {
		code = trace.InvalidProducerEpoch
	}
	a := EndTxnAnswer{Code: code, Reason: why, Next: trace.NoProducer}
	if code == trace.None && q.Version >= 5 {
		a.Next = t.next()
	}
	return a
}

// next is the producer that goes on behind the end of the transaction.
func (t *Txn) next() trace.Producer {
	if t.State.isPrepare() && t.NextProducerID != -1 {
		return trace.Producer{ID: t.NextProducerID}
	}
	return trace.Producer{ID: t.ProducerID, Epoch: t.Epoch}
}

// endTV1 keeps the epoch. A commit that is repeated behind the end of its transaction is told NONE; if the next transaction has
// begun meanwhile, it commits that one, which is why TV2 exists.
func (t *Txn) endTV1(q EndTxnRequest, nowMs int64, r *Rules) (trace.Code, Reason) {
	switch {
	case !t.isOf(q.Producer.ID, r):
		return trace.InvalidProducerIDMapping, WrongProducerID
	case q.Producer.Epoch != t.Epoch:
		return trace.ProducerFenced, CoordinatorFenced
	case t.isPending(r):
		return trace.ConcurrentTransactions, TransactionEnding
	}
	prepare := prepareOf(q.IsCommit)
	switch t.State {
	case Ongoing:
		t.prepare(prepare, 0, -1, nowMs, r)
		return trace.None, EndPrepared
	case completionOf(prepare):
		return trace.None, EndRetried
	case prepare:
		return trace.ConcurrentTransactions, TransactionEnding
	default:
		if r.has(BugEndIgnoresState) {
			return trace.None, EndRetried
		}
		return trace.InvalidTxnState, EndWrongState
	}
}

// end is TV2: each end raises the epoch, so a retry is known by its epoch, and a late one cannot end the next transaction.
func (c *coordinator) end(t *Txn, q EndTxnRequest, nowMs int64, r *Rules) (trace.Code, Reason) {
	isRotated := (t.State == CompleteCommit || t.State == CompleteAbort) && q.Producer.ID == t.PrevProducerID &&
		q.Producer.Epoch == lastClientEpoch && t.Epoch == 0
	isRetry := (isRotated || int32(q.Producer.Epoch)+1 == int32(t.Epoch)) && !r.has(BugEndRetryFenced)
	switch {
	case t.isPending(r):
		return trace.ConcurrentTransactions, TransactionEnding
	case !t.isOf(q.Producer.ID, r) && !isRotated:
		return trace.InvalidProducerIDMapping, WrongProducerID
	case isRetry:
		return t.retryEnd(q)
	case q.Producer.Epoch != t.Epoch:
		return trace.ProducerFenced, CoordinatorFenced
	}
	switch {
	case t.State.isPrepare():
		return trace.ProducerFenced, CoordinatorFenced
	case t.State != Ongoing && q.IsCommit && !r.has(BugEndIgnoresState):
		return trace.InvalidTxnState, EndWrongState
	}
	if t.Epoch == maxMarkerEpoch && q.IsCommit { // behind a TV1 abort of the coordinator: it cannot count on, and says so
		return trace.UnknownServerError, EpochsExhausted
	}
	t.prepare(prepareOf(q.IsCommit), 2, c.nextIDIfExhausted(t, r), nowMs, r)
	return trace.None, EndPrepared
}

// retryEnd answers a request whose epoch is the one before the current: the end it asks for may be done already.
func (t *Txn) retryEnd(q EndTxnRequest) (trace.Code, Reason) {
	prepare := prepareOf(q.IsCommit)
	switch t.State {
	case Empty, Ongoing:
		return trace.ProducerFenced, CoordinatorFenced
	case completionOf(prepare):
		return trace.None, EndRetried
	case prepare:
		return trace.ConcurrentTransactions, TransactionEnding
	default:
		return trace.InvalidTxnState, EndWrongState
	}
}
