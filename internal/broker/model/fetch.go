package model

import (
	"math"
	"slices"

	"github.com/eos-pipe/eos-pipe/trace"
)

// This file mirrors what Fetch (API 1) and ListOffsets (API 2) tell of transactions, and org.apache.kafka.clients.consumer's
// CompletedFetch, which leaves aborted records out (KIP-98). The broker itself leaves nothing out.

// FetchRequest reads a partition from the batch that holds Offset on.
type FetchRequest struct {
	Partition       trace.Partition
	Offset          int64
	IsReadCommitted bool
	MaxBatches      int // 0: all
}

// FetchAnswer holds all batches below the last stable offset, or below the high watermark for read_uncommitted.
type FetchAnswer struct {
	Code             trace.Code
	Reason           Reason
	HighWatermark    int64
	LastStableOffset int64
	LogStartOffset   int64
	Aborted          []AbortedTxn // nil for read_uncommitted; else never nil. It may name transactions behind the batches
	Batches          []LogBatch
}

// Fetch answers the request.
func (b *Broker) Fetch(q FetchRequest) FetchAnswer {
	p := b.Partition(q.Partition)
	switch {
	case p == nil:
		return FetchAnswer{Code: trace.UnknownTopicOrPartition, Reason: UnknownPartition, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1}
	case p.IsLeaderless:
		return FetchAnswer{Code: trace.NotLeaderOrFollower, Reason: NoLeader, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1}
	case q.Offset < p.start || q.Offset > p.highWatermark:
		return FetchAnswer{Code: trace.OffsetOutOfRange, Reason: StableOffset, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1}
	}
	a := FetchAnswer{Reason: StableOffset, HighWatermark: p.highWatermark, LastStableOffset: p.LastStableOffset(&b.rules), LogStartOffset: p.start}
	limit := p.highWatermark
	if q.IsReadCommitted {
		limit = a.LastStableOffset
		a.Aborted = []AbortedTxn{} // nothing is looked up where there is nothing to read
		if q.Offset < limit {
			a.Aborted = p.abortedFrom(q.Offset)
		}
	}
	if q.MaxBatches == 0 {
		q.MaxBatches = math.MaxInt
	}
	a.Batches = p.batchesFrom(q.Offset, limit, q.MaxBatches)
	return a
}

// ListOffsetsRequest asks for the offset behind the last record that a reader can get.
type ListOffsetsRequest struct {
	Partition       trace.Partition
	IsReadCommitted bool
}

// ListOffsets answers -1 on an error.
func (b *Broker) ListOffsets(q ListOffsetsRequest) (int64, trace.Code) {
	p := b.Partition(q.Partition)
	switch {
	case p == nil:
		return -1, trace.UnknownTopicOrPartition
	case p.IsLeaderless:
		return -1, trace.NotLeaderOrFollower
	case q.IsReadCommitted:
		return p.LastStableOffset(&b.rules), trace.None
	}
	return p.highWatermark, trace.None
}

// Delivered is what a client hands to its application of the batches of a fetch: no markers, and for read_committed (aborted
// is not nil) no batch of an aborted transaction. It goes through both lists together, since a producer id is aborted from
// the first offset of its transaction to the next ABORT marker only.
func Delivered(batches []LogBatch, aborted []AbortedTxn) []LogBatch {
	waiting := slices.Clone(aborted)
	slices.SortFunc(waiting, func(a, b AbortedTxn) int { return int(min(max(a.FirstOffset-b.FirstOffset, -1), 1)) })
	var dropped []int64 // producer ids inside an aborted transaction
	var delivered []LogBatch
	for _, batch := range batches {
		for len(waiting) > 0 && waiting[0].FirstOffset <= batch.LastOffset {
			dropped = append(dropped, waiting[0].ProducerID)
			waiting = waiting[1:]
		}
		switch {
		case batch.Control == Abort:
			dropped = slices.DeleteFunc(dropped, func(id int64) bool { return id == batch.ProducerID })
		case batch.Control == Commit, batch.IsTransactional && slices.Contains(dropped, batch.ProducerID):
		default:
			delivered = append(delivered, batch)
		}
	}
	return delivered
}
