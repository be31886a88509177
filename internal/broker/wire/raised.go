package wire

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// RaisedIDs are transactional ids that a cluster holds at an epoch that would take a script 32 thousand requests to reach. They
// are handed out once each, to several scripts at the same time.
type RaisedIDs struct {
	mu    sync.Mutex
	name  string
	next  int
	count int
}

const (
	// raisedEpoch is the epoch of these ids. Scripts that raise an id go at least one further, which is asked of the broker.
	raisedEpoch = 32763
	// firstRaisedID is above the producer ids that a broker hands out in a test, and below those that scripts make up.
	firstRaisedID = 500_000_000
)

// WriteRaisedIDs writes count transactional ids into the log of the coordinator, as it would do itself; a client of this name
// may. The coordinator knows of them when it has read its log, that is after a restart of the broker.
func WriteRaisedIDs(ctx context.Context, address, name string, count int) (*RaisedIDs, error) {
	b := &Broker{Config: Config{Address: address, Name: name}, ctx: ctx, conn: newConn(address, "__admin_client")}
	defer b.Close()
	if err := b.await(); err != nil {
		return nil, err
	}
	partitions, err := b.txnPartitions()
	if err != nil {
		return nil, err
	}
	ids := &RaisedIDs{name: name, count: count}
	for n := range partitions {
		if err := ids.write(b, n, partitions); err != nil {
			return nil, fmt.Errorf("write transactional ids: %w", err)
		}
	}
	return ids, nil
}

func (b *Broker) txnPartitions() (int32, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 9
	req.Topics = []kmsg.MetadataRequestTopic{{Topic: new(txnTopic)}}
	resp, err := b.conn.ask(b.ctx, req)
	if err != nil {
		return 0, err
	}
	return int32(len(resp.(*kmsg.MetadataResponse).Topics[0].Partitions)), nil
}

const txnTopic = "__transaction_state"

// write writes those ids that belong to one partition, as one batch.
func (r *RaisedIDs) write(b *Broker, partition, partitions int32) error {
	var entries []entry
	now := time.Now().UnixMilli()
	for i := range r.count {
		txnID, producerID := r.at(i)
		if javaHash(txnID)%partitions != partition {
			continue
		}
		key := kmsg.TxnMetadataKey{TransactionalID: txnID}
		value := kmsg.TxnMetadataValue{
			ProducerID: producerID, ProducerEpoch: raisedEpoch, TimeoutMillis: 60_000, State: kmsg.TransactionStateEmpty,
			LastUpdateTimestamp: now, StartTimestamp: -1,
		}
		entries = append(entries, entry{key.AppendTo(nil), value.AppendTo(nil)})
	}
	if len(entries) == 0 {
		return nil
	}
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, encodeEntries(entries, now)
	req := &kmsg.ProduceRequest{
		Version: 9, Acks: -1, TimeoutMillis: 10_000,
		Topics: []kmsg.ProduceRequestTopic{{Topic: txnTopic, Partitions: []kmsg.ProduceRequestTopicPartition{p}}},
	}
	return b.until("the leader of "+txnTopic, func() (bool, error) {
		resp, err := b.conn.ask(b.ctx, req)
		if err != nil {
			return false, err
		}
		code := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode
		if trace.Code(code) == trace.NotLeaderOrFollower {
			return false, nil
		}
		return true, kerr.ErrorForCode(code)
	})
}

func (r *RaisedIDs) at(i int) (txnID string, producerID int64) {
	return fmt.Sprintf("%s-raised-%d", r.name, i), firstRaisedID + int64(i)
}

func (r *RaisedIDs) take() (txnID string, producerID int64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == r.count {
		return "", 0, false
	}
	r.next++
	txnID, producerID = r.at(r.next - 1)
	return txnID, producerID, true
}

// raising is a transactional id of the script that is one of [RaisedIDs] on the broker.
type raising struct {
	txnID string
	id    int64
	epoch int16 // as the script has it; up to raisedEpoch the broker is not asked
}

// answerRaised answers for the epochs that the broker has been spared: a script that will raise an id is given one that is high
// up already, and its requests up to there are answered as any broker answers them, one epoch more each.
func (b *Broker) answerRaised(q model.InitProducerIDRequest) (model.InitProducerIDAnswer, bool) {
	name := q.TxnID.Value
	r := b.raising[name]
	if r == nil {
		if b.Raised == nil || !slices.Contains(b.RaisesIDs, name) || q.Expected != trace.NoProducer {
			return model.InitProducerIDAnswer{}, false
		}
		txnID, id, ok := b.Raised.take()
		if !ok {
			return model.InitProducerIDAnswer{}, false
		}
		r = &raising{txnID: txnID, id: id, epoch: -1}
		b.raising[name] = r
	}
	if r.epoch >= raisedEpoch {
		return model.InitProducerIDAnswer{}, false
	}
	r.epoch++
	return model.InitProducerIDAnswer{Producer: trace.Producer{ID: r.id, Epoch: r.epoch}}, true
}
