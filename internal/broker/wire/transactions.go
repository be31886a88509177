package wire

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// EndTxn asks the coordinator. Below v2 of the protocol it is not told of an end under way before the epoch was judged, so a
// history settles first.
func (b *Broker) EndTxn(q model.EndTxnRequest) (model.EndTxnAnswer, error) {
	if q.Version < 5 {
		if err := b.settleAll(); err != nil {
			return model.EndTxnAnswer{}, err
		}
	}
	req := kmsg.NewPtrEndTxnRequest()
	req.Version, req.TransactionalID, req.Commit = q.Version, b.txnID(q.TxnID), q.IsCommit
	req.ProducerID, req.ProducerEpoch = b.ids.broker(q.Producer.ID), q.Producer.Epoch
	a := model.EndTxnAnswer{Next: trace.NoProducer}
	err := b.repeatUnsettled(q.TxnID, func() (trace.Code, error) {
		resp, err := b.ask(req, func(r kmsg.Response) int16 { return r.(*kmsg.EndTxnResponse).ErrorCode })
		a.Code = trace.NoReply
		if r, ok := resp.(*kmsg.EndTxnResponse); ok {
			a.Code, a.Next = trace.Code(r.ErrorCode), trace.Producer{ID: r.ProducerID, Epoch: r.ProducerEpoch}
		}
		return a.Code, err
	})
	if a.Code == trace.None {
		b.unsettled[q.TxnID] = true
		a.Next.ID = b.handedOut(a.Next.ID)
	}
	return a, err
}

// repeatUnsettled asks, and in a history asks again once, after the markers of the end before are written, if the coordinator
// says that they are not. What it then says is the answer. The markers of other ids are awaited first: those of two ends would
// come to a partition in any order.
func (b *Broker) repeatUnsettled(txnID string, ask func() (trace.Code, error)) error {
	if err := b.settleAllBut(txnID); err != nil {
		return err
	}
	code, err := ask()
	switch {
	case err != nil:
		return err
	case code == trace.None: // as no request is answered before the markers are written
		delete(b.unsettled, txnID)
		return nil
	case code != trace.ConcurrentTransactions || !b.IsHistory || !b.unsettled[txnID]:
		return nil
	}
	if err := b.Settle(txnID); err != nil {
		return err
	}
	_, err = ask()
	return err
}

// settleAll makes a history wait for the markers of all ends before it asks for something that would show how far they are.
func (b *Broker) settleAll() error { return b.settleAllBut("") }

func (b *Broker) settleAllBut(txnID string) error {
	if !b.IsHistory {
		return nil
	}
	for id := range b.unsettled {
		if id == txnID {
			continue
		}
		if err := b.Settle(id); err != nil {
			return err
		}
	}
	return nil
}

// stuckAfter is how long an ending transaction may stand still before it is taken to be refused for good. That happens after
// markers that were written by hand, and in histories, where plain batches carry any epoch.
const stuckAfter = 2 * time.Second

// Settle looks at the transactional id until its state is none of an ending transaction.
func (b *Broker) Settle(txnID string) error {
	last, since := "", time.Now()
	err := b.until("the markers of "+txnID, func() (bool, error) {
		t, code, err := b.describe(txnID)
		if err != nil || code != trace.None || t.State != model.PrepareCommit && t.State != model.PrepareAbort {
			return true, err
		}
		if now := fmt.Sprint(t.State, t.Partitions); now != last {
			last, since = now, time.Now()
		}
		if b.stuck[txnID] {
			return true, nil
		}
		b.stuck[txnID] = (b.hasMarkers || b.IsHistory) && time.Since(since) > stuckAfter
		return b.stuck[txnID], nil
	})
	delete(b.unsettled, txnID)
	return err
}

// DescribeTransaction asks the coordinator.
func (b *Broker) DescribeTransaction(txnID string) (model.Txn, trace.Code, error) {
	if b.IsHistory && b.unsettled[txnID] {
		if err := b.Settle(txnID); err != nil {
			return model.Txn{}, 0, err
		}
	}
	return b.describe(txnID)
}

func (b *Broker) describe(txnID string) (model.Txn, trace.Code, error) {
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{b.txnID(txnID)}
	resp, err := b.ask(req, func(r kmsg.Response) int16 {
		states := r.(*kmsg.DescribeTransactionsResponse).TransactionStates
		if len(states) == 0 {
			return 0
		}
		return states[0].ErrorCode
	})
	r, ok := resp.(*kmsg.DescribeTransactionsResponse)
	switch {
	case err != nil:
		return model.Txn{}, 0, err
	case !ok:
		return model.Txn{}, trace.NoReply, nil
	case len(r.TransactionStates) != 1:
		return model.Txn{}, 0, errShort
	}
	s := r.TransactionStates[0]
	t := model.Txn{ID: txnID, ProducerID: b.handedOut(s.ProducerID), Epoch: s.ProducerEpoch}
	for _, topic := range s.Topics {
		for _, n := range topic.Partitions {
			t.Partitions = append(t.Partitions, trace.Partition{Topic: topic.Topic, Number: n})
		}
	}
	slices.SortFunc(t.Partitions, trace.Partition.Compare)
	if s.ErrorCode == 0 {
		t.State, err = parseState(s.State)
	}
	return t, trace.Code(s.ErrorCode), err
}

func parseState(name string) (model.TxnState, error) {
	for s := model.Empty; s <= model.PrepareEpochFence; s++ {
		if s.String() == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("a transactional id is in state %q", name)
}

// WriteTxnMarkers sends what brokers send to each other; without an authorizer everybody may.
func (b *Broker) WriteTxnMarkers(q model.WriteTxnMarkersRequest) ([]trace.Code, error) {
	b.hasMarkers = true
	marker := kmsg.NewWriteTxnMarkersRequestMarker()
	marker.ProducerID, marker.ProducerEpoch, marker.Committed = b.ids.broker(q.Marker.ProducerID), q.Marker.Epoch, q.Marker.IsCommit
	marker.CoordinatorEpoch, marker.TransactionVersion = q.Marker.CoordinatorEpoch, q.Marker.Protocol
	for _, p := range q.Partitions {
		marker.Topics = append(marker.Topics, kmsg.WriteTxnMarkersRequestMarkerTopic{Topic: p.Topic, Partitions: []int32{p.Number}})
	}
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	req.Version, req.Markers = q.Version, []kmsg.WriteTxnMarkersRequestMarker{marker}
	resp, err := b.ask(req, nil)
	r, ok := resp.(*kmsg.WriteTxnMarkersResponse)
	if err != nil || !ok {
		return nil, err
	}
	answers := newAnswers(q.Partitions)
	for _, m := range r.Markers {
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				answers.set(t.Topic, p.Partition, p.ErrorCode)
			}
		}
	}
	codes, err := answers.list()
	list := make([]trace.Code, len(codes))
	for i, c := range codes {
		list[i] = c.Code
	}
	return list, err
}
