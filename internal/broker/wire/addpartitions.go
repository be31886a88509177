package wire

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// AddPartitions asks the coordinator. A verification is answered by a look at the transaction as it is, so a history settles
// first.
func (b *Broker) AddPartitions(q model.AddPartitionsRequest) ([]model.PartitionAnswer, error) {
	if q.Version >= 4 {
		if err := b.settleAll(); err != nil {
			return nil, err
		}
	}
	var answers *answers
	err := b.repeatUnsettled(q.TxnID, func() (trace.Code, error) {
		answers = newAnswers(q.Partitions)
		resp, err := b.ask(b.addPartitions(q), func(r kmsg.Response) int16 {
			fillPartitions(answers, r.(*kmsg.AddPartitionsToTxnResponse))
			return answers.first()
		})
		if resp == nil {
			answers = nil
			return trace.NoReply, err
		}
		return trace.Code(answers.first()), err
	})
	if answers == nil {
		return nil, err
	}
	list, short := answers.list()
	if err == nil {
		err = short
	}
	return list, err
}

func (b *Broker) addPartitions(q model.AddPartitionsRequest) *kmsg.AddPartitionsToTxnRequest {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version = q.Version
	if q.Version < 4 {
		req.TransactionalID, req.ProducerID, req.ProducerEpoch = b.txnID(q.TxnID), b.ids.broker(q.Producer.ID), q.Producer.Epoch
		for _, p := range q.Partitions {
			req.Topics = append(req.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: p.Topic, Partitions: []int32{p.Number}})
		}
		return req
	}
	txn := kmsg.NewAddPartitionsToTxnRequestTransaction()
	txn.TransactionalID, txn.ProducerID, txn.ProducerEpoch = b.txnID(q.TxnID), b.ids.broker(q.Producer.ID), q.Producer.Epoch
	txn.VerifyOnly = q.IsVerifyOnly
	for _, p := range q.Partitions {
		txn.Topics = append(txn.Topics, kmsg.AddPartitionsToTxnRequestTransactionTopic{Topic: p.Topic, Partitions: []int32{p.Number}})
	}
	req.Transactions = append(req.Transactions, txn)
	return req
}

func fillPartitions(a *answers, r *kmsg.AddPartitionsToTxnResponse) {
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			a.set(t.Topic, p.Partition, p.ErrorCode)
		}
	}
	for _, txn := range r.Transactions {
		for _, t := range txn.Topics {
			for _, p := range t.Partitions {
				a.set(t.Topic, p.Partition, p.ErrorCode)
			}
		}
	}
}

// AddOffsets asks the coordinator.
func (b *Broker) AddOffsets(q model.AddOffsetsRequest) (model.PartitionAnswer, error) {
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.Version, req.TransactionalID, req.Group = q.Version, b.txnID(q.TxnID), b.groupID(q.Group)
	req.ProducerID, req.ProducerEpoch = b.ids.broker(q.Producer.ID), q.Producer.Epoch
	var a model.PartitionAnswer
	err := b.repeatUnsettled(q.TxnID, func() (trace.Code, error) {
		resp, err := b.ask(req, func(r kmsg.Response) int16 { return r.(*kmsg.AddOffsetsToTxnResponse).ErrorCode })
		a.Code = trace.NoReply
		if r, ok := resp.(*kmsg.AddOffsetsToTxnResponse); ok {
			a.Code = trace.Code(r.ErrorCode)
		}
		return a.Code, err
	})
	return a, err
}

// answers collects a code for each partition that was asked for, in their order.
type answers struct {
	partitions []trace.Partition
	codes      []model.PartitionAnswer
	isSet      []bool
}

func newAnswers(partitions []trace.Partition) *answers {
	return &answers{partitions: partitions, codes: make([]model.PartitionAnswer, len(partitions)), isSet: make([]bool, len(partitions))}
}

func (a *answers) set(topic string, number int32, code int16) {
	for i, p := range a.partitions {
		if p.Topic == topic && p.Number == number {
			a.codes[i].Code, a.isSet[i] = trace.Code(code), true
		}
	}
}

// first is the first code that is an error of the coordinator, or the first code.
func (a *answers) first() int16 {
	for _, c := range a.codes {
		if isStarting(c.Code) || c.Code == trace.ConcurrentTransactions {
			return int16(c.Code)
		}
	}
	if len(a.codes) == 0 {
		return 0
	}
	return int16(a.codes[0].Code)
}

// list returns the codes; nothing, but not nil, if the broker has answered for no partition.
func (a *answers) list() ([]model.PartitionAnswer, error) {
	count := 0
	for _, isSet := range a.isSet {
		if isSet {
			count++
		}
	}
	switch count {
	case 0:
		return []model.PartitionAnswer{}, nil
	case len(a.codes):
		return a.codes, nil
	}
	return nil, errShort
}
