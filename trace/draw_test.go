package trace_test

import (
	"pgregory.net/rapid"

	"github.com/eos-pipe/eos-pipe/trace"
)

// drawEvent draws any event of any kind that can happen: behind a missing reply, the fields of the reply are zero.
func drawEvent(t *rapid.T) trace.Event {
	switch rapid.IntRange(0, 14).Draw(t, "kind") {
	case 0:
		e := trace.InitProducerID{Client: text(t), Version: number[int16](t), TxnID: null(t), TimeoutMs: number[int32](t), Expected: producer(t), Code: code(t)}
		if e.Code != trace.NoReply {
			e.Producer = producer(t)
		}
		return e
	case 1:
		e := trace.Produce{
			Client: text(t), Version: number[int16](t), TxnID: null(t), Partition: partition(t), Producer: producer(t), Transactional: rapid.Bool().Draw(t, "transactional"),
			BaseSequence: number[int32](t), Count: number[int32](t), TimeMs: number[int64](t), Digest: rapid.Uint64().Draw(t, "digest"), Acks: number[int16](t), Code: code(t),
		}
		if e.Code != trace.NoReply {
			e.BaseOffset = number[int64](t)
		}
		return e
	case 2:
		return trace.AddPartitions{Client: text(t), Version: number[int16](t), TxnID: text(t), Producer: producer(t), Partitions: slice(t, partition), Codes: slice(t, kafkaCode)}
	case 3:
		return trace.AddOffsets{Client: text(t), Version: number[int16](t), TxnID: text(t), Producer: producer(t), Group: text(t), Code: code(t)}
	case 4:
		return trace.OffsetCommit{
			Client: text(t), Version: number[int16](t), TxnID: null(t), Producer: producer(t), Group: text(t), Generation: number[int32](t),
			Member: text(t), Instance: null(t), Offsets: slice(t, partitionOffset), Codes: slice(t, kafkaCode),
		}
	case 5:
		e := trace.OffsetFetch{Client: text(t), Version: number[int16](t), Group: text(t), Partition: partition(t), IsStable: rapid.Bool().Draw(t, "stable"), Code: code(t)}
		if e.Code != trace.NoReply {
			e.Offset = number[int64](t)
		}
		return e
	case 6:
		e := trace.EndTxn{Client: text(t), Version: number[int16](t), TxnID: text(t), Producer: producer(t), Commit: rapid.Bool().Draw(t, "commit"), Code: code(t)}
		if e.Code != trace.NoReply {
			e.Next = producer(t)
		}
		return e
	default:
		return drawOther(t)
	}
}

// drawOther draws a kind that is not a producer's request.
func drawOther(t *rapid.T) trace.Event {
	switch rapid.IntRange(0, 7).Draw(t, "other kind") {
	case 0:
		e := trace.Marker{Partition: partition(t), Producer: producer(t), Commit: rapid.Bool().Draw(t, "commit"), CoordinatorEpoch: number[int32](t), Protocol: number[int8](t), Code: code(t)}
		if e.Code != trace.NoReply {
			e.Offset = number[int64](t)
		}
		return e
	case 1:
		return trace.Complete{TxnID: text(t)}
	case 2:
		return trace.Drop{TxnID: text(t), Partition: partition(t)}
	case 3:
		e := trace.Fetch{Client: text(t), Partition: partition(t), Offset: number[int64](t), ReadCommitted: rapid.Bool().Draw(t, "committed"), Code: code(t)}
		if e.Code != trace.NoReply {
			e.HighWatermark, e.LastStableOffset, e.Next = number[int64](t), number[int64](t), number[int64](t)
			e.Aborted, e.Delivered = slice(t, aborted), slice(t, number[int64])
		}
		return e
	case 4:
		return trace.Time{NowMs: number[int64](t)}
	case 5:
		return trace.Restart{Partition: partition(t)}
	case 6:
		return trace.Log{Partition: partition(t), StartOffset: number[int64](t), IsCompacted: rapid.Bool().Draw(t, "compacted")}
	default:
		return trace.Reload{}
	}
}

func number[T int8 | int16 | int32 | int64](t *rapid.T) T {
	return T(rapid.Int64().Draw(t, "number"))
}

// text draws strings of words, of signs that the format uses itself, and of bytes that are no UTF-8.
func text(t *rapid.T) string {
	return rapid.OneOf(rapid.StringMatching(`[a-z]{0,5}`), rapid.StringMatching(`[ ="\\,>?-]{0,6}`), rapid.String(),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 6), func(b []byte) string { return string(b) })).Draw(t, "text")
}

func null(t *rapid.T) trace.NullString {
	if rapid.Bool().Draw(t, "is null") {
		return trace.NullString{}
	}
	return trace.Some(text(t))
}

func producer(t *rapid.T) trace.Producer {
	return trace.Producer{ID: number[int64](t), Epoch: number[int16](t)}
}

func partition(t *rapid.T) trace.Partition {
	return trace.Partition{Topic: rapid.StringMatching(`[a-zA-Z0-9._-]{1,9}`).Draw(t, "topic"), Number: rapid.Int32Min(0).Draw(t, "number")}
}

func partitionOffset(t *rapid.T) trace.PartitionOffset {
	return trace.PartitionOffset{Partition: partition(t), Offset: number[int64](t)}
}

func aborted(t *rapid.T) trace.Aborted {
	return trace.Aborted{ProducerID: number[int64](t), FirstOffset: number[int64](t)}
}

func kafkaCode(t *rapid.T) trace.Code { return trace.Code(rapid.Int16Range(-1, 133).Draw(t, "code")) }

func code(t *rapid.T) trace.Code {
	if rapid.IntRange(0, 3).Draw(t, "dice") == 0 {
		return trace.NoReply
	}
	return kafkaCode(t)
}

// slice draws nil, an empty one, or a few elements.
func slice[E any](t *rapid.T, draw func(*rapid.T) E) []E {
	n := rapid.IntRange(-1, 3).Draw(t, "length")
	if n < 0 {
		return nil
	}
	s := make([]E, 0, n)
	for range n {
		s = append(s, draw(t))
	}
	return s
}
