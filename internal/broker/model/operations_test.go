package model_test

import (
	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// Each of these makes an operation of an event without answer: it asks the broker and fills the answer in.

func opInit(e trace.InitProducerID) operation {
	return func(b *model.Broker) trace.Event {
		a := b.InitProducerID(model.InitProducerIDRequest{Version: e.Version, TxnID: e.TxnID, TimeoutMs: e.TimeoutMs, Expected: e.Expected})
		e.Code, e.Producer = a.Code, a.Producer
		return e
	}
}

func opProduce(e trace.Produce) operation {
	return func(b *model.Broker) trace.Event {
		batch := model.Batch{
			ProducerID: e.Producer.ID, Epoch: e.Producer.Epoch, BaseSequence: e.BaseSequence, Count: e.Count, IsTransactional: e.Transactional,
			TimeMs: e.TimeMs, Digest: e.Digest,
		}
		q := model.ProduceRequest{Version: e.Version, TxnID: e.TxnID, Acks: e.Acks, Batches: []model.ProduceBatch{{Partition: e.Partition, Batch: batch}}}
		a := b.Produce(&q, nil)[0]
		e.Code, e.BaseOffset = a.Code, a.BaseOffset
		return e
	}
}

func opAddPartitions(e trace.AddPartitions) operation {
	return func(b *model.Broker) trace.Event {
		e.Codes = nil
		for _, a := range b.AddPartitions(model.AddPartitionsRequest{Version: e.Version, TxnID: e.TxnID, Producer: e.Producer, Partitions: e.Partitions}) {
			e.Codes = append(e.Codes, a.Code)
		}
		return e
	}
}

func opOffsets(e trace.OffsetCommit) operation {
	return func(b *model.Broker) trace.Event {
		e.Codes = nil
		q := model.TxnOffsetCommitRequest{Version: e.Version, TxnID: e.TxnID.Value, Producer: e.Producer, Group: e.Group, Metadata: model.GroupMetadata{Generation: -1}}
		for _, o := range e.Offsets {
			q.Offsets = append(q.Offsets, model.OffsetToCommit{Partition: o.Partition, Offset: o.Offset})
		}
		var answers []model.PartitionAnswer
		if e.TxnID.Valid {
			answers = b.TxnOffsetCommit(q)
		} else {
			answers = b.OffsetCommit(model.OffsetCommitRequest{Group: q.Group, Metadata: q.Metadata, Offsets: q.Offsets})
		}
		for _, a := range answers {
			e.Codes = append(e.Codes, a.Code)
		}
		return e
	}
}

func opOffsetFetch(e trace.OffsetFetch) operation {
	return func(b *model.Broker) trace.Event {
		a := b.OffsetFetch(model.OffsetFetchRequest{Group: e.Group, Partition: e.Partition, IsStable: e.IsStable})
		e.Code, e.Offset = a.Code, a.Offset
		return e
	}
}

func opEnd(e trace.EndTxn) operation {
	return func(b *model.Broker) trace.Event {
		a := b.EndTxn(model.EndTxnRequest{Version: e.Version, TxnID: e.TxnID, Producer: e.Producer, IsCommit: e.Commit})
		e.Code, e.Next = a.Code, a.Next
		return e
	}
}

func opFetch(e trace.Fetch) operation {
	return func(b *model.Broker) trace.Event {
		a := b.Fetch(model.FetchRequest{Partition: e.Partition, Offset: e.Offset, IsReadCommitted: e.ReadCommitted})
		e.Code, e.HighWatermark, e.LastStableOffset, e.Aborted, e.Delivered, e.Next = a.Code, a.HighWatermark, a.LastStableOffset, nil, nil, e.Offset
		for _, t := range a.Aborted {
			e.Aborted = append(e.Aborted, trace.Aborted{ProducerID: t.ProducerID, FirstOffset: t.FirstOffset})
		}
		for _, batch := range model.Delivered(a.Batches, a.Aborted) {
			e.Delivered = append(e.Delivered, batch.BaseOffset)
		}
		for _, batch := range a.Batches {
			e.Next = batch.LastOffset + 1
		}
		return e
	}
}

// opStep takes a step. A time-out and an expiry are not shown by an event of their own: the time stands for them.
func opStep(s model.Step) operation {
	return func(b *model.Broker) trace.Event {
		var m trace.Marker
		if t := b.Txn(s.TxnID); t != nil {
			m = trace.Marker{Partition: s.Partition, Producer: trace.Producer{ID: t.ProducerID, Epoch: t.Epoch}, Commit: t.State == model.PrepareCommit, Protocol: t.Protocol}
		}
		a, _ := b.Take(s)
		switch s.Kind {
		case model.StepMarker:
			m.Code, m.Offset = a.Code, a.BaseOffset
			return m
		case model.StepComplete:
			return trace.Complete{TxnID: s.TxnID}
		default:
			return trace.Time{NowMs: b.NowMs()}
		}
	}
}

func opReload() operation {
	return func(b *model.Broker) trace.Event {
		b.ReloadCoordinator()
		return trace.Reload{}
	}
}

func opRestart(p trace.Partition) operation {
	return func(b *model.Broker) trace.Event {
		rules := b.Rules()
		b.Partition(p).RestartLeader(b.NowMs(), &rules)
		return trace.Restart{Partition: p}
	}
}

func opTime(nowMs int64) operation {
	return func(b *model.Broker) trace.Event {
		b.SetTime(nowMs)
		return trace.Time{NowMs: nowMs}
	}
}
