package logtrace

import (
	"cmp"
	"errors"
	"slices"

	"github.com/eos-pipe/eos-pipe/internal/broker/batches"
	"github.com/eos-pipe/eos-pipe/trace"
)

// logTrace turns what was fetched of one partition into events: its batches in their order, and what a read_committed reader saw of
// them.
//
// A reader's view can only be judged when the transactions in it have ended in the trace too, and their markers may stand far behind
// them. So each view waits until no transaction below its end is open. If the log ends before that, the view is cut where the first
// transaction is open: the broker may have told more, since it goes on while we read.
type logTrace struct {
	partition trace.Partition
	emit      func(trace.Event) error
	digest    func(*batches.Batch) (uint64, error) // nil: none

	next   int64           // where the next batch may begin
	open   map[int64]int64 // producer id → first offset of its open transaction
	views  []trace.Fetch   // that wait, in the order of their offsets
	counts Counts
}

// Counts say how much was read.
type Counts struct {
	Batches int64 `json:"batches"`
	Markers int64 `json:"markers"`
	Open    int   `json:"open"` // transactions without a marker so far
}

func (c *Counts) add(d Counts) {
	c.Batches, c.Markers, c.Open = c.Batches+d.Batches, c.Markers+d.Markers, c.Open+d.Open
}

// begin writes where the log begins.
func (l *logTrace) begin(start int64, isCompacted bool) error {
	l.next, l.open = start, map[int64]int64{}
	return l.emit(trace.Log{Partition: l.partition, StartOffset: start, IsCompacted: isCompacted})
}

// take writes the batches of one fetch from l.next on, up to the offset end. For a read_committed fetch aborted is the list in its
// answer; for any other it is nil.
func (l *logTrace) take(raw []byte, end int64, isCommitted bool, aborted []trace.Aborted) error {
	view := trace.Fetch{Partition: l.partition, Offset: l.next, ReadCommitted: true, HighWatermark: -1, LastStableOffset: -1, Aborted: slices.Clone(aborted)}
	reader := newReader(aborted)
	for b, err := range batches.All(raw) {
		if err != nil {
			return err
		}
		if b.LastOffset < l.next { // a broker may begin a fetch with batches before the offset
			continue
		}
		if b.BaseOffset >= end {
			break
		}
		if reader.delivers(&b) {
			view.Delivered = append(view.Delivered, b.BaseOffset)
		}
		l.next = b.LastOffset + 1
		if err := l.write(&b); err != nil {
			return err
		}
	}
	if view.Next = l.next; isCommitted && view.Next > view.Offset {
		l.views = append(l.views, view)
	}
	return l.release()
}

// write writes one batch.
func (l *logTrace) write(b *batches.Batch) error {
	producer := trace.Producer{ID: b.ProducerID, Epoch: b.Epoch}
	if b.Control {
		m, err := b.Marker()
		if errors.Is(err, batches.ErrNoMarker) {
			return nil
		}
		if err != nil {
			return err
		}
		delete(l.open, b.ProducerID)
		l.counts.Markers++
		return l.emit(trace.Marker{Partition: l.partition, Producer: producer, Commit: m.Commit, CoordinatorEpoch: m.CoordinatorEpoch, Offset: b.BaseOffset})
	}
	if _, isOpen := l.open[b.ProducerID]; b.Transactional && b.ProducerID >= 0 && !isOpen {
		l.open[b.ProducerID] = b.BaseOffset
	}
	e := trace.Produce{
		Partition: l.partition, Producer: producer, Transactional: b.Transactional, BaseSequence: b.BaseSequence, Count: b.Count(), TimeMs: b.MaxTimestamp,
		BaseOffset: b.BaseOffset,
	}
	if l.digest != nil {
		var err error
		if e.Digest, err = l.digest(b); err != nil {
			return err
		}
	}
	l.counts.Batches++
	return l.emit(e)
}

// stable is where the first open transaction begins, or where the log ends.
func (l *logTrace) stable() int64 {
	stable := l.next
	for _, first := range l.open {
		stable = min(stable, first)
	}
	return stable
}

// release writes the views that can be judged now.
func (l *logTrace) release() error {
	stable := l.stable()
	for len(l.views) > 0 && l.views[0].Next <= stable {
		view := l.views[0]
		l.views = l.views[1:]
		if err := l.emit(cut(view, view.Next)); err != nil {
			return err
		}
	}
	return nil
}

// finish writes what is left: views cut where the log is open, and the end of the log. The offsets are those of the answer with
// which the reading came to the end, or -1 if the log had gone on by then.
func (l *logTrace) finish(highWatermark, lastStable int64) error {
	stable := l.stable()
	for _, view := range l.views {
		if view.Offset < stable {
			if err := l.emit(cut(view, min(stable, view.Next))); err != nil {
				return err
			}
		}
	}
	l.views, l.counts.Open = nil, len(l.open)
	return l.emit(trace.Fetch{
		Partition: l.partition, Offset: l.next, ReadCommitted: true, HighWatermark: highWatermark, LastStableOffset: lastStable, Next: l.next,
	})
}

// cut leaves of a view what lies below end. A broker's list of aborted transactions goes on behind the batches of the answer.
func cut(view trace.Fetch, end int64) trace.Fetch {
	view.Next = end
	view.Delivered = slices.DeleteFunc(view.Delivered, func(o int64) bool { return o >= end })
	view.Aborted = slices.DeleteFunc(view.Aborted, func(a trace.Aborted) bool { return a.FirstOffset >= end })
	return view
}

// reader is a read_committed reader of one fetch, as org.apache.kafka.clients.consumer.internals.CompletedFetch is one.
type reader struct {
	waiting []trace.Aborted // by first offset
	dropped map[int64]bool  // producer ids inside of an aborted transaction
}

func newReader(aborted []trace.Aborted) *reader {
	waiting := slices.Clone(aborted)
	slices.SortFunc(waiting, func(a, b trace.Aborted) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	return &reader{waiting: waiting, dropped: map[int64]bool{}}
}

// delivers reports whether the application gets the records of the batch. It wants to be asked about each batch, in order.
func (r *reader) delivers(b *batches.Batch) bool {
	for len(r.waiting) > 0 && r.waiting[0].FirstOffset <= b.LastOffset {
		r.dropped[r.waiting[0].ProducerID] = true
		r.waiting = r.waiting[1:]
	}
	if b.Control {
		if m, err := b.Marker(); err == nil && !m.Commit {
			delete(r.dropped, b.ProducerID)
		}
		return false
	}
	return !b.Transactional || !r.dropped[b.ProducerID]
}
