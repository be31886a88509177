package wire

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// Produce sends all batches in one request.
func (b *Broker) Produce(q model.ProduceRequest) ([]model.ProduceAnswer, error) {
	if err := b.settleAll(); err != nil {
		return nil, err
	}
	req := &kmsg.ProduceRequest{Version: q.Version, TransactionID: b.nullTxnID(q.TxnID), Acks: q.Acks, TimeoutMillis: 10_000}
	for _, pb := range q.Batches {
		if !canEncode(pb.Batch.Flaw) {
			return nil, &LeftOut{"no batch is made with the flaw " + pb.Batch.Flaw.String()}
		}
		pb.Batch.ProducerID = b.ids.broker(pb.Batch.ProducerID)
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = pb.Partition.Number, encodeBatch(pb.Batch)
		t := b.produceTopic(req, pb.Partition.Topic)
		t.Partitions = append(t.Partitions, p)
	}
	answers := make([]model.ProduceAnswer, len(q.Batches))
	if q.Acks == 0 && q.Version >= 3 {
		return answers, b.produceUnanswered(req)
	}
	if q.Version >= 13 {
		var topics []string
		for _, t := range req.Topics {
			topics = append(topics, t.Topic)
		}
		ids, err := b.topicIDs(topics)
		if err != nil {
			return nil, err
		}
		for i := range req.Topics {
			req.Topics[i].TopicID = ids[req.Topics[i].Topic]
		}
	}
	b.Verifying.Lock()
	resp, err := b.ask(req, nil)
	b.Verifying.Unlock()
	if err != nil {
		return nil, err
	}
	for i, pb := range q.Batches {
		answers[i] = model.ProduceAnswer{Code: trace.NoReply}
		if r, ok := resp.(*kmsg.ProduceResponse); ok {
			answers[i] = produceAnswer(r, req, pb.Partition)
		}
	}
	return answers, nil
}

func (b *Broker) produceTopic(req *kmsg.ProduceRequest, topic string) *kmsg.ProduceRequestTopic {
	for i := range req.Topics {
		if req.Topics[i].Topic == topic {
			return &req.Topics[i]
		}
	}
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	req.Topics = append(req.Topics, t)
	return &req.Topics[len(req.Topics)-1]
}

// produceUnanswered sends with acks=0. Requests of one connection are handled in order, so an answer to the next one tells that this
// one was handled; if it failed, the broker has closed the connection.
func (b *Broker) produceUnanswered(req *kmsg.ProduceRequest) error {
	if err := b.conn.send(b.ctx, req); err != nil {
		return b.conn.broken(req, err)
	}
	_, err := b.conn.ask(b.ctx, kmsg.NewPtrApiVersionsRequest())
	return again(err)
}

// produceAnswer finds the answer for a partition. From v13 on topics are told by their ids.
func produceAnswer(r *kmsg.ProduceResponse, req *kmsg.ProduceRequest, p trace.Partition) model.ProduceAnswer {
	for _, t := range r.Topics {
		isIt := t.Topic == p.Topic
		if r.Version >= 13 {
			isIt = slices.ContainsFunc(req.Topics, func(q kmsg.ProduceRequestTopic) bool { return q.Topic == p.Topic && q.TopicID == t.TopicID })
		}
		for _, a := range t.Partitions {
			if isIt && a.Partition == p.Number {
				return model.ProduceAnswer{
					Code: trace.Code(a.ErrorCode), BaseOffset: a.BaseOffset, LogAppendTime: a.LogAppendTime, LogStartOffset: a.LogStartOffset,
					Message: text(a.ErrorMessage),
				}
			}
		}
	}
	return model.ProduceAnswer{Code: trace.NoReply}
}

// topicIDs asks for the ids of topics. One that does not exist is given an id that no topic has.
func (b *Broker) topicIDs(topics []string) (map[string][16]byte, error) {
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version, metadata.AllowAutoTopicCreation = 12, false
	for _, topic := range topics {
		metadata.Topics = append(metadata.Topics, kmsg.MetadataRequestTopic{Topic: new(topic)})
	}
	resp, err := b.conn.ask(b.ctx, metadata)
	if err != nil {
		return nil, err
	}
	ids := map[string][16]byte{}
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		id := t.TopicID
		if id == [16]byte{} {
			copy(id[:], text(t.Topic))
		}
		ids[text(t.Topic)] = id
	}
	return ids, nil
}
