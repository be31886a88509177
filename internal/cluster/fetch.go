package cluster

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// Bounds of Fetch. A broker gives the first batch whatever its size.
const (
	fetchBytes      = 1 << 20
	fetchWaitMillis = 100
)

// Fetch reads once, as read_committed, from an offset of a partition on. It returns what came and the offset behind that;
// markers are among the records. An error of the partition is in fetched; err says that its leader was not asked.
func (c *Client) Fetch(ctx context.Context, p offsets.Partition, from int64, decompressor kgo.Decompressor) (fetched kgo.FetchPartition, next int64, err error) {
	bounded, asked := c.Bound(ctx)
	defer func() { asked(err) }()
	topics, err := c.adm.ListTopics(bounded, p.Topic)
	if err != nil {
		return fetched, from, fmt.Errorf("ask for the leader of %s: %w", p, err)
	}
	detail, ok := topics[p.Topic].Partitions[p.Number]
	if !ok || detail.Leader < 0 {
		return fetched, from, fmt.Errorf("ask for the leader of %s: %w", p, kerr.LeaderNotAvailable)
	}
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = p.Number, from, fetchBytes
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = p.Topic, topics[p.Topic].ID, append(topic.Partitions, part)
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel, req.Topics = fetchWaitMillis, 1, fetchBytes, 1, append(req.Topics, topic)
	answer, err := c.cl.Broker(int(detail.Leader)).Request(bounded, req)
	if err == nil {
		err = kerr.ErrorForCode(answer.(*kmsg.FetchResponse).ErrorCode)
	}
	if err != nil {
		return fetched, from, fmt.Errorf("fetch of %s beside the client: %w", p, err)
	}
	as := kgo.ProcessFetchPartitionOpts{KeepControlRecords: true, Offset: from, IsolationLevel: kgo.ReadCommitted(), Topic: p.Topic, Partition: p.Number}
	for _, t := range answer.(*kmsg.FetchResponse).Topics {
		for i := range t.Partitions {
			fetched, next = kgo.ProcessFetchPartition(as, &t.Partitions[i], decompressor, nil)
			return fetched, next, nil
		}
	}
	return fetched, from, nil
}
