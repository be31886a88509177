package wire

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// TxnOffsetCommit asks the coordinator of the group.
func (b *Broker) TxnOffsetCommit(q model.TxnOffsetCommitRequest) ([]model.PartitionAnswer, error) {
	if err := b.settleAll(); err != nil {
		return nil, err
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.Version, req.TransactionalID, req.Group = q.Version, b.txnID(q.TxnID), b.groupID(q.Group)
	req.ProducerID, req.ProducerEpoch = b.ids.broker(q.Producer.ID), q.Producer.Epoch
	req.Generation, req.MemberID, req.InstanceID = b.member(q.Group, q.Metadata)
	for _, o := range q.Offsets {
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = o.Partition.Number, o.Offset, metadata(o)
		req.Topics = append(req.Topics, kmsg.TxnOffsetCommitRequestTopic{
			Topic: o.Partition.Topic, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{p},
		})
	}
	names := map[[16]byte]string{}
	if q.Version >= 6 {
		ids, err := b.topicIDs(topicsOf(q.Offsets))
		if err != nil {
			return nil, err
		}
		for i := range req.Topics {
			t := &req.Topics[i]
			t.TopicID = ids[t.Topic]
			names[t.TopicID] = t.Topic
		}
	}
	answers := newAnswers(partitionsOf(q.Offsets))
	b.Verifying.Lock()
	defer b.Verifying.Unlock()
	resp, err := b.ask(req, func(r kmsg.Response) int16 {
		for _, t := range r.(*kmsg.TxnOffsetCommitResponse).Topics {
			for _, p := range t.Partitions {
				answers.set(t.Topic+names[t.TopicID], p.Partition, p.ErrorCode) // one of the two is empty
			}
		}
		return answers.first()
	})
	if err != nil || resp == nil {
		return nil, err
	}
	return answers.list()
}

// OffsetCommit asks the coordinator of the group, with the newest version that names topics.
func (b *Broker) OffsetCommit(q model.OffsetCommitRequest) ([]model.PartitionAnswer, error) {
	if err := b.settleAll(); err != nil {
		return nil, err
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group = 9, b.groupID(q.Group)
	req.Generation, req.MemberID, req.InstanceID = b.member(q.Group, q.Metadata)
	for _, o := range q.Offsets {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = o.Partition.Number, o.Offset, metadata(o)
		req.Topics = append(req.Topics, kmsg.OffsetCommitRequestTopic{
			Topic: o.Partition.Topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p},
		})
	}
	answers := newAnswers(partitionsOf(q.Offsets))
	resp, err := b.ask(req, func(r kmsg.Response) int16 {
		for _, t := range r.(*kmsg.OffsetCommitResponse).Topics {
			for _, p := range t.Partitions {
				answers.set(t.Topic, p.Partition, p.ErrorCode)
			}
		}
		return answers.first()
	})
	if err != nil || resp == nil {
		return nil, err
	}
	return answers.list()
}

func partitionsOf(offsets []model.OffsetToCommit) []trace.Partition {
	list := make([]trace.Partition, len(offsets))
	for i, o := range offsets {
		list[i] = o.Partition
	}
	return list
}

func topicsOf(offsets []model.OffsetToCommit) []string {
	var list []string
	for _, o := range offsets {
		if !slices.Contains(list, o.Partition.Topic) {
			list = append(list, o.Partition.Topic)
		}
	}
	return list
}

func metadata(o model.OffsetToCommit) *string {
	text := strings.Repeat("m", o.MetadataBytes)
	return &text
}

// OffsetFetch asks the coordinator of the group with v7, the last one for a single group.
func (b *Broker) OffsetFetch(q model.OffsetFetchRequest) (model.OffsetFetchAnswer, error) {
	if err := b.settleAll(); err != nil {
		return model.OffsetFetchAnswer{}, err
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.Group, req.RequireStable = 7, b.groupID(q.Group), q.IsStable
	req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: q.Partition.Topic, Partitions: []int32{q.Partition.Number}}}
	resp, err := b.ask(req, func(r kmsg.Response) int16 { return r.(*kmsg.OffsetFetchResponse).ErrorCode })
	r, ok := resp.(*kmsg.OffsetFetchResponse)
	switch {
	case err != nil:
		return model.OffsetFetchAnswer{}, err
	case !ok:
		return model.OffsetFetchAnswer{Code: trace.NoReply, Offset: -1}, nil
	case r.ErrorCode != 0:
		return model.OffsetFetchAnswer{Code: trace.Code(r.ErrorCode), Offset: -1}, nil
	case len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1:
		return model.OffsetFetchAnswer{}, errShort
	}
	p := r.Topics[0].Partitions[0]
	return model.OffsetFetchAnswer{Code: trace.Code(p.ErrorCode), Offset: p.Offset}, nil
}
