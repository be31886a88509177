package eostest

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/batches"
	"github.com/eos-pipe/eos-pipe/trace"
)

// This file turns requests into events without an answer, and puts answers into them.

// isWatched lists the requests that change producers, transactions, logs and offsets; and those for metadata, which tell topics' ids.
func isWatched(key kmsg.Key) bool {
	return slices.Contains(watched, key)
}

var watched = []kmsg.Key{
	kmsg.Produce, kmsg.Metadata, kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.EndTxn, kmsg.TxnOffsetCommit, kmsg.OffsetCommit,
}

// known is the version whose rules hold for a version of a request: the newest one of Kafka 4.4 for what came later.
func known(req kmsg.Request) int16 {
	newest := map[kmsg.Key]int16{kmsg.Produce: 13, kmsg.InitProducerID: 5, kmsg.AddPartitionsToTxn: 5, kmsg.AddOffsetsToTxn: 4, kmsg.EndTxn: 5, kmsg.TxnOffsetCommit: 6}
	if n, ok := newest[kmsg.Key(req.Key())]; ok {
		return min(req.GetVersion(), n)
	}
	return req.GetVersion()
}

// eventsOf gives the events of a request: one for each batch of a produce request, one for any other.
func (w *Watcher) eventsOf(req kmsg.Request, client string) ([]trace.Event, error) {
	switch q := req.(type) {
	case *kmsg.ProduceRequest:
		return w.produceEvents(q, client)
	case *kmsg.InitProducerIDRequest:
		return []trace.Event{trace.InitProducerID{
			Client: client, Version: known(q), TxnID: null(q.TransactionalID), TimeoutMs: q.TransactionTimeoutMillis,
			Expected: trace.Producer{ID: q.ProducerID, Epoch: q.ProducerEpoch}, Code: trace.NoReply,
		}}, nil
	case *kmsg.AddPartitionsToTxnRequest:
		return []trace.Event{trace.AddPartitions{
			Client: client, Version: known(q), TxnID: q.TransactionalID, Producer: trace.Producer{ID: q.ProducerID, Epoch: q.ProducerEpoch}, Partitions: addedBy(q),
		}}, nil
	case *kmsg.AddOffsetsToTxnRequest:
		return []trace.Event{trace.AddOffsets{
			Client: client, Version: known(q), TxnID: q.TransactionalID, Producer: trace.Producer{ID: q.ProducerID, Epoch: q.ProducerEpoch}, Group: q.Group, Code: trace.NoReply,
		}}, nil
	case *kmsg.EndTxnRequest:
		return []trace.Event{trace.EndTxn{
			Client: client, Version: known(q), TxnID: q.TransactionalID, Producer: trace.Producer{ID: q.ProducerID, Epoch: q.ProducerEpoch}, Commit: q.Commit, Code: trace.NoReply,
		}}, nil
	case *kmsg.TxnOffsetCommitRequest:
		e := trace.OffsetCommit{
			Client: client, Version: known(q), TxnID: trace.Some(q.TransactionalID), Producer: trace.Producer{ID: q.ProducerID, Epoch: q.ProducerEpoch}, Group: q.Group,
			Generation: q.Generation, Member: q.MemberID, Instance: null(q.InstanceID),
		}
		for _, t := range q.Topics {
			for _, p := range t.Partitions {
				e.Offsets = append(e.Offsets, trace.PartitionOffset{Partition: trace.Partition{Topic: w.name(t.Topic, t.TopicID), Number: p.Partition}, Offset: p.Offset})
			}
		}
		return []trace.Event{e}, nil
	case *kmsg.OffsetCommitRequest:
		e := trace.OffsetCommit{
			Client: client, Version: known(q), Producer: trace.NoProducer, Group: q.Group, Generation: q.Generation, Member: q.MemberID, Instance: null(q.InstanceID),
		}
		for _, t := range q.Topics {
			for _, p := range t.Partitions {
				e.Offsets = append(e.Offsets, trace.PartitionOffset{Partition: trace.Partition{Topic: w.name(t.Topic, t.TopicID), Number: p.Partition}, Offset: p.Offset})
			}
		}
		return []trace.Event{e}, nil
	}
	return nil, nil
}

func null(s *string) trace.NullString {
	if s == nil {
		return trace.NullString{}
	}
	return trace.Some(*s)
}

func addedBy(q *kmsg.AddPartitionsToTxnRequest) []trace.Partition {
	added := []trace.Partition{}
	for _, t := range q.Topics {
		for _, n := range t.Partitions {
			added = append(added, trace.Partition{Topic: t.Topic, Number: n})
		}
	}
	return added
}

func (w *Watcher) produceEvents(q *kmsg.ProduceRequest, client string) ([]trace.Event, error) {
	var events []trace.Event
	for _, t := range q.Topics {
		for _, p := range t.Partitions {
			for b, err := range batches.All(p.Records) {
				if err != nil {
					return nil, err
				}
				digest, err := w.digest(&b)
				if err != nil {
					return nil, err
				}
				events = append(events, trace.Produce{
					Client: client, Version: known(q), TxnID: null(q.TransactionID), Partition: trace.Partition{Topic: w.name(t.Topic, t.TopicID), Number: p.Partition},
					Producer: trace.Producer{ID: b.ProducerID, Epoch: b.Epoch}, Transactional: b.Transactional, BaseSequence: b.BaseSequence, Count: b.Count(),
					TimeMs: b.MaxTimestamp, Digest: digest, Acks: q.Acks, Code: trace.NoReply,
				})
			}
		}
	}
	return events, nil
}

func (w *Watcher) digest(b *batches.Batch) (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.digester.Digest(b)
}

// answer returns the events with what was answered.
func (w *Watcher) answer(events []trace.Event, resp kmsg.Response) []trace.Event {
	switch r := resp.(type) {
	case *kmsg.MetadataResponse:
		for _, t := range r.Topics {
			if t.Topic != nil && t.TopicID != [16]byte{} {
				w.named(t.TopicID, *t.Topic)
			}
		}
		return events
	case *kmsg.ProduceResponse:
		return w.answerProduce(events, r)
	}
	if len(events) != 1 {
		return events
	}
	return []trace.Event{w.answerOne(events[0], resp)}
}

func (w *Watcher) answerOne(e trace.Event, resp kmsg.Response) trace.Event {
	switch e := e.(type) {
	case trace.InitProducerID:
		r := resp.(*kmsg.InitProducerIDResponse)
		e.Code, e.Producer = trace.Code(r.ErrorCode), trace.Producer{ID: r.ProducerID, Epoch: r.ProducerEpoch}
		return e
	case trace.AddOffsets:
		e.Code = trace.Code(resp.(*kmsg.AddOffsetsToTxnResponse).ErrorCode)
		return e
	case trace.EndTxn:
		r := resp.(*kmsg.EndTxnResponse)
		e.Code, e.Next = trace.Code(r.ErrorCode), trace.NoProducer
		if e.Version >= 5 {
			e.Next = trace.Producer{ID: r.ProducerID, Epoch: r.ProducerEpoch}
		}
		return e
	case trace.AddPartitions:
		codes := codesOf{}
		for _, t := range resp.(*kmsg.AddPartitionsToTxnResponse).Topics {
			for _, p := range t.Partitions {
				codes[trace.Partition{Topic: t.Topic, Number: p.Partition}] = trace.Code(p.ErrorCode)
			}
		}
		for _, p := range e.Partitions {
			e.Codes = append(e.Codes, codes[p])
		}
		return e
	case trace.OffsetCommit:
		codes := w.commitCodes(resp)
		for _, o := range e.Offsets {
			e.Codes = append(e.Codes, codes[o.Partition])
		}
		return e
	}
	return e
}

// codesOf holds the codes of an answer, whose partitions may stand in another order than in the request.
type codesOf map[trace.Partition]trace.Code

func (w *Watcher) commitCodes(resp kmsg.Response) codesOf {
	codes := codesOf{}
	switch r := resp.(type) {
	case *kmsg.TxnOffsetCommitResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				codes[trace.Partition{Topic: w.name(t.Topic, t.TopicID), Number: p.Partition}] = trace.Code(p.ErrorCode)
			}
		}
	case *kmsg.OffsetCommitResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				codes[trace.Partition{Topic: w.name(t.Topic, t.TopicID), Number: p.Partition}] = trace.Code(p.ErrorCode)
			}
		}
	}
	return codes
}

// answerProduce gives each batch the answer of its partition. Of several batches in one partition, which brokers refuse, only the first
// one's offset is told.
func (w *Watcher) answerProduce(events []trace.Event, r *kmsg.ProduceResponse) []trace.Event {
	answers := map[trace.Partition]*kmsg.ProduceResponseTopicPartition{}
	for i := range r.Topics {
		t := &r.Topics[i]
		for j := range t.Partitions {
			answers[trace.Partition{Topic: w.name(t.Topic, t.TopicID), Number: t.Partitions[j].Partition}] = &t.Partitions[j]
		}
	}
	told := map[trace.Partition]bool{}
	answered := make([]trace.Event, 0, len(events))
	for _, event := range events {
		e, _ := event.(trace.Produce)
		if a := answers[e.Partition]; a != nil {
			e.Code, e.BaseOffset = trace.Code(a.ErrorCode), a.BaseOffset
			if told[e.Partition] || a.ErrorCode != 0 {
				e.BaseOffset = -1
			}
			told[e.Partition] = true
		}
		answered = append(answered, e)
	}
	return answered
}
