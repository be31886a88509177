package wire

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/internal/broker/script"
	"github.com/eos-pipe/eos-pipe/trace"
)

// Fetch reads all that fits into 16 MiB.
func (b *Broker) Fetch(q model.FetchRequest) (model.FetchAnswer, error) {
	if err := b.settleAll(); err != nil {
		return model.FetchAnswer{}, err
	}
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 12, 0, 0, 16<<20
	if q.IsReadCommitted {
		req.IsolationLevel = 1
	}
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = q.Partition.Number, q.Offset, 16<<20
	req.Topics = []kmsg.FetchRequestTopic{{Topic: q.Partition.Topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	resp, err := b.ask(req, nil)
	if err != nil {
		return model.FetchAnswer{}, err
	}
	r, ok := resp.(*kmsg.FetchResponse)
	switch {
	case !ok:
		return model.FetchAnswer{Code: trace.NoReply}, nil
	case r.ErrorCode != 0:
		return model.FetchAnswer{Code: trace.Code(r.ErrorCode)}, nil
	case len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1:
		return model.FetchAnswer{}, errShort
	}
	return b.fetchAnswer(r.Topics[0].Partitions[0])
}

func (b *Broker) fetchAnswer(p kmsg.FetchResponseTopicPartition) (model.FetchAnswer, error) {
	a := model.FetchAnswer{
		Code: trace.Code(p.ErrorCode), HighWatermark: p.HighWatermark, LastStableOffset: p.LastStableOffset, LogStartOffset: p.LogStartOffset,
	}
	if p.AbortedTransactions != nil {
		a.Aborted = []model.AbortedTxn{}
	}
	for _, t := range p.AbortedTransactions {
		a.Aborted = append(a.Aborted, model.AbortedTxn{ProducerID: b.ids.script(t.ProducerID), FirstOffset: t.FirstOffset})
	}
	var err error
	a.Batches, err = decodeBatches(p.RecordBatches)
	for i := range a.Batches {
		a.Batches[i].ProducerID = b.ids.script(a.Batches[i].ProducerID)
	}
	return a, err
}

// ListOffsets asks for the latest offset.
func (b *Broker) ListOffsets(q model.ListOffsetsRequest) (int64, trace.Code, error) {
	if err := b.settleAll(); err != nil {
		return 0, 0, err
	}
	return b.latestOffset(q.Partition, q.IsReadCommitted)
}

func (b *Broker) latestOffset(p trace.Partition, isReadCommitted bool) (int64, trace.Code, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version = 6
	if isReadCommitted {
		req.IsolationLevel = 1
	}
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp = p.Number, -1
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: p.Topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{rp}}}
	resp, err := b.conn.ask(b.ctx, req)
	if err != nil {
		return -1, trace.NoReply, err
	}
	r := resp.(*kmsg.ListOffsetsResponse)
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		return -1, 0, errShort
	}
	a := r.Topics[0].Partitions[0]
	return a.Offset, trace.Code(a.ErrorCode), nil
}

// DescribeProducers asks the leader of the partition.
func (b *Broker) DescribeProducers(p trace.Partition) ([]script.Producer, trace.Code, error) {
	if err := b.settleAll(); err != nil {
		return nil, 0, err
	}
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: p.Topic, Partitions: []int32{p.Number}}}
	resp, err := b.ask(req, nil)
	if err != nil {
		return nil, 0, err
	}
	r, ok := resp.(*kmsg.DescribeProducersResponse)
	switch {
	case !ok:
		return nil, trace.NoReply, nil
	case len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1:
		return nil, 0, errShort
	}
	a := r.Topics[0].Partitions[0]
	var list []script.Producer
	for _, e := range a.ActiveProducers {
		list = append(list, script.Producer{
			ID: b.ids.script(e.ProducerID), Epoch: int16(e.ProducerEpoch), LastSequence: e.LastSequence, TxnFirstOffset: e.CurrentTxnStartOffset,
		})
	}
	return list, trace.Code(a.ErrorCode), nil
}

// DeleteRecords moves the start of the log.
func (b *Broker) DeleteRecords(p trace.Partition, offset int64) (trace.Code, error) {
	if err := b.settleAll(); err != nil {
		return 0, err
	}
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Version, req.TimeoutMillis = 2, 10_000
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Partition, rp.Offset = p.Number, offset
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: p.Topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{rp}}}
	resp, err := b.ask(req, nil)
	if err != nil {
		return 0, err
	}
	r, ok := resp.(*kmsg.DeleteRecordsResponse)
	switch {
	case !ok:
		return trace.NoReply, nil
	case len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1:
		return 0, errShort
	}
	return trace.Code(r.Topics[0].Partitions[0].ErrorCode), nil
}
