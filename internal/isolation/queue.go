// Package isolation holds the fetched records of a partition back until a marker in the log has said how their transaction ended.
//
// A read_committed reader gets the records of every transaction that has ended, and beside them a list of those that were aborted, by which the
// client leaves them out. That list may be incomplete. The broker takes it from an index, each entry of which says behind which offset
// nothing is undecided, so that a search may stop there. A broker that has copied several transactions from its leader at once writes too
// large an offset where a producer has more than one among them (ProducerStateManager.lastStableOffset passes over all transactions of the
// producer, and so over its next one; TransactionIndex.collectAbortedTxns ends there; seen on Kafka 3.9.1, 4.3.1 and 4.4.0). When such a
// broker becomes the leader, or serves reads as a follower, every client is given aborted records as committed ones.
//
// The markers themselves are right, and the last stable offset is: what a reader is given has its marker before that offset.
package isolation

import (
	"math"
	"slices"
	"sort"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Queue is the records of one partition, in the order of the log, with its markers among them (kgo.KeepControlRecords). The zero value is
// ready. It belongs to one goroutine at a time.
type Queue struct {
	records []*kgo.Record
	bytes   int64
	open    map[int64]transaction // by producer id: those of records whose end has not been seen
}

// transaction is one whose end has not been seen.
type transaction struct {
	first int64 // offset of its first record
	limit int64 // the last stable offset that came with it: its end stands before that
}

// Aborted are records that were fetched as committed ones, and are of a transaction that was aborted.
type Aborted struct {
	ProducerID  int64
	First, Last int64 // offsets, both included; other producers' may lie between them
	Records     int
}

// Push puts fetched records behind those that are there, and takes out what is seen now to have been aborted. lastStableOffset is the one
// that came with them. When everything before it has been fetched without a marker that ends a transaction, there is none, and the broker's
// list is trusted; it is as well where there is no such offset (less than 0).
//
// The queue keeps the slice.
func (q *Queue) Push(records []*kgo.Record, lastStableOffset int64) (aborted []Aborted) {
	if len(records) == 0 {
		return nil
	}
	known := int64(math.MinInt64) // a producer whose transaction is known to be open
	for _, r := range records {
		q.bytes += sizeOf(r)
		switch {
		case !r.Attrs.IsTransactional():
		case r.Attrs.IsControl():
			known = math.MinInt64
			t, open := q.open[r.ProducerID]
			end, ok := endOf(r)
			if !open || !ok {
				continue
			}
			delete(q.open, r.ProducerID)
			if end == abort {
				aborted = append(aborted, Aborted{ProducerID: r.ProducerID, First: t.first, Last: r.Offset - 1})
			}
		case r.ProducerID != known:
			known = r.ProducerID
			if _, open := q.open[known]; !open {
				if q.open == nil {
					q.open = map[int64]transaction{}
				}
				q.open[known] = transaction{first: r.Offset, limit: lastStableOffset}
			}
		}
	}
	if len(q.records) == 0 {
		q.records = slices.Clip(records)
	} else {
		q.records = append(q.records, records...)
	}
	for id, t := range q.open {
		if q.End() >= t.limit {
			delete(q.open, id)
		}
	}
	for i := range aborted {
		q.takeOut(&aborted[i])
	}
	return aborted
}

// How a marker ends its transaction (Kafka's ControlRecordType).
const (
	abort  kmsg.ControlRecordKeyType = 0
	commit kmsg.ControlRecordKeyType = 1
)

// endOf says how a marker ends its transaction; not ok: it is another control record.
func endOf(r *kgo.Record) (end kmsg.ControlRecordKeyType, ok bool) {
	var key kmsg.ControlRecordKey
	if key.ReadFrom(r.Key) != nil {
		return 0, false
	}
	return key.Type, key.Type == abort || key.Type == commit
}

// takeOut removes the records of an aborted transaction, and notes in it which they were.
func (q *Queue) takeOut(a *Aborted) {
	before := q.records
	first, end := a.First, a.Last
	q.records = nil
	for _, r := range before {
		if r.ProducerID != a.ProducerID || r.Offset < first || r.Offset > end || r.Attrs.IsControl() || !r.Attrs.IsTransactional() {
			q.records = append(q.records, r)
			continue
		}
		a.Last = r.Offset
		a.Records++
		q.bytes -= sizeOf(r)
	}
}

// Trust takes the broker's word for everything that is there: it is too much to wait for its end.
func (q *Queue) Trust() { clear(q.open) }

// Len returns how many records are there, markers included.
func (q *Queue) Len() int { return len(q.records) }

// Bytes returns how much memory they take: their keys, values and what the client makes of each.
func (q *Queue) Bytes() int64 { return q.bytes }

// Waiting returns how many records wait for the end of a transaction, and how much memory they take: those that may not be taken yet.
func (q *Queue) Waiting() (records int, bytes int64) {
	for _, r := range q.records[q.Decided():] {
		records++
		bytes += sizeOf(r)
	}
	return records, bytes
}

func sizeOf(r *kgo.Record) int64 {
	return RecordBytes + int64(len(r.Key)+len(r.Value)) + HeadersBytes(r.Headers)
}

// RecordBytes is what the client makes of a fetched record beside its bytes.
const RecordBytes = int64(unsafe.Sizeof(kgo.Record{}) + unsafe.Sizeof(uintptr(0)))

// HeaderBytes is what the client makes of a header beside its bytes: two of these may be all that is fetched.
const HeaderBytes = int64(unsafe.Sizeof(kgo.RecordHeader{}))

// HeadersBytes returns how much memory headers take.
func HeadersBytes(headers []kgo.RecordHeader) (n int64) {
	for _, h := range headers {
		n += HeaderBytes + int64(len(h.Key)+len(h.Value))
	}
	return n
}

// First returns the first record that is there; nil: none.
func (q *Queue) First() *kgo.Record {
	if len(q.records) == 0 {
		return nil
	}
	return q.records[0]
}

// End returns the offset behind the last record that is there; 0 if there is none.
func (q *Queue) End() int64 {
	if len(q.records) == 0 {
		return 0
	}
	return q.records[len(q.records)-1].Offset + 1
}

// Decided returns how many records may be taken: all before the first one whose transaction's end has not been seen.
func (q *Queue) Decided() int {
	if len(q.open) == 0 {
		return len(q.records)
	}
	until := int64(math.MaxInt64)
	for _, t := range q.open {
		until = min(until, t.first)
	}
	return sort.Search(len(q.records), func(i int) bool { return q.records[i].Offset >= until })
}

// Take takes at most so many of them. They are the caller's.
func (q *Queue) Take(most int) []*kgo.Record {
	n := min(most, q.Decided())
	if n == len(q.records) {
		all := q.records
		q.records, q.bytes = nil, 0
		return all
	}
	for _, r := range q.records[:n] {
		q.bytes -= sizeOf(r)
	}
	taken := slices.Clone(q.records[:n])
	clear(q.records[:n]) // what stays must not keep them
	q.records = q.records[n:]
	return taken
}
