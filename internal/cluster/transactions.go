package cluster

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// Transaction returns what its coordinator knows of a transactional id. Brokers before 3.0 cannot say it.
func (c *Client) Transaction(ctx context.Context, id string) (kadm.DescribedTransaction, error) {
	bounded, asked := c.Bound(ctx)
	described, err := c.adm.DescribeTransactions(bounded, id)
	asked(err)
	if err != nil {
		return kadm.DescribedTransaction{}, c.refresh(err)
	}
	return described[id], c.refresh(described[id].Err)
}

// TransactionOf returns the transaction of the producer with an id. It asks all coordinators for the transactional id. The
// caller limits the time.
func (c *Client) TransactionOf(ctx context.Context, producerID int64) (kadm.DescribedTransaction, error) {
	listed, err := c.adm.ListTransactions(ctx, []int64{producerID}, nil)
	if err != nil {
		return kadm.DescribedTransaction{}, err
	}
	for id, one := range listed {
		if one.ProducerID != producerID {
			continue
		}
		described, err := c.adm.DescribeTransactions(ctx, id)
		if err != nil {
			return kadm.DescribedTransaction{}, err
		}
		return described[id], described[id].Err
	}
	return kadm.DescribedTransaction{}, fmt.Errorf("no transactional id that this client may describe has producer id %d", producerID)
}

// Opener returns the producer whose open transaction begins at an offset of a partition. ok is false if there is none, or
// its leader could not be asked. It needs READ on the topic. The caller limits the time.
func (c *Client) Opener(ctx context.Context, p offsets.Partition, offset int64) (producer kadm.DescribedProducer, ok bool) {
	topics := kadm.TopicsSet{}
	topics.Add(p.Topic, p.Number)
	described, err := c.adm.DescribeProducers(ctx, topics)
	if err != nil {
		return kadm.DescribedProducer{}, false
	}
	for _, producer := range described[p.Topic].Partitions[p.Number].ActiveProducers {
		if producer.CurrentTxnStartOffset == offset {
			return producer, true
		}
	}
	return kadm.DescribedProducer{}, false
}

// Hanging returns the partitions of topics in which a transaction is still open that its coordinator takes for complete:
// there the marker is missing. complete is the coordinator's answer. The records of the transaction carry the epoch
// before that of its markers (transaction.version 2). Partitions whose leader cannot be asked are left out, and those of
// topics without READ. The caller limits the time.
func (c *Client) Hanging(ctx context.Context, topics []string, complete kadm.DescribedTransaction) (hanging []offsets.Partition) {
	set := kadm.TopicsSet{}
	for _, topic := range topics {
		set.Add(topic)
	}
	producers, _ := c.adm.DescribeProducers(ctx, set) // of what could be asked
	producers.EachProducer(func(p kadm.DescribedProducer) {
		if p.ProducerID == complete.ProducerID && p.ProducerEpoch == complete.ProducerEpoch-1 && p.CurrentTxnStartOffset >= 0 {
			hanging = append(hanging, offsets.Partition{Topic: p.Topic, Number: p.Partition})
		}
	})
	return hanging
}
