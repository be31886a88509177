package checker

import (
	"fmt"
	"maps"
	"slices"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// Writer is who has written a batch or a marker. ID is below 0 for a producer without one.
type Writer struct {
	ID    int64
	Epoch int16
}

// String is "producer 1000 epoch 7".
func (w Writer) String() string { return fmt.Sprintf("producer %d epoch %d", w.ID, w.Epoch) }

// Log judges one partition by all that stands in its log, as a read_uncommitted reader gets it with control records. It
// resolves by itself which records are committed, and so is independent of what brokers tell read_committed readers:
// of their last stable offsets and lists of aborted transactions.
//
// Tell it of all batches and markers in the order of their offsets, from the log's first one; then ask [Log.Report].
// The log must not be a compacted one. It belongs to one goroutine at a time.
type Log struct {
	partition offsets.Partition
	outcomes  *Outcomes // nil: transactions are not compared with other partitions

	next      int64              // where the next batch must begin
	open      map[int64]*logOpen // by producer id
	newest    map[int64]int16    // by producer id: the greatest epoch so far, of batches and markers
	committed spans
	aborted   spans
	markers   int64
	commits   int64 // transactions, as far as they wrote here
	aborts    int64

	gaps, zombies findings
}

// logOpen is a transaction that no marker has ended so far.
type logOpen struct {
	by   Writer
	runs spans
}

// NewLog returns a Log of p that begins at start. Outcomes, if not nil, is told how transactions ended.
func NewLog(p offsets.Partition, start int64, outcomes *Outcomes) *Log {
	return &Log{partition: p, outcomes: outcomes, next: start, open: map[int64]*logOpen{}, newest: map[int64]int16{}}
}

// Batch tells of the next batch of records.
func (l *Log) Batch(first, last int64, by Writer, transactional bool) {
	l.step(first, last)
	if by.ID >= 0 {
		l.fence(first, by)
	}
	if !transactional || by.ID < 0 {
		l.committed.add(first, last)
		return
	}
	txn := l.open[by.ID]
	if txn == nil {
		txn = &logOpen{by: by}
		l.open[by.ID] = txn
	}
	txn.runs.add(first, last)
}

// Marker tells of the next marker. One of a producer that has nothing open is no fault: its transaction wrote elsewhere.
func (l *Log) Marker(offset int64, by Writer, commit bool) {
	l.step(offset, offset)
	l.markers++
	l.newest[by.ID] = max(l.newest[by.ID], by.Epoch)
	txn := l.open[by.ID]
	if txn == nil {
		return
	}
	if l.outcomes != nil {
		l.outcomes.Ended(l.partition, offset, txn.by, by, commit)
	}
	delete(l.open, by.ID)
	if commit {
		l.commits++
		l.committed = append(l.committed, txn.runs...)
	} else {
		l.aborts++
		l.aborted = append(l.aborted, txn.runs...)
	}
}

// Other tells of a control batch that ends no transaction.
func (l *Log) Other(first, last int64) {
	l.step(first, last)
	l.markers += last - first + 1
}

// step requires that batches stand one after the other without a hole.
func (l *Log) step(first, last int64) {
	if first != l.next {
		l.gaps.add("%s@%d stands where @%d was to come", l.partition, first, l.next)
	}
	l.next = last + 1
}

// fence requires that no producer writes with an epoch below one that the log has seen of it: that is a zombie's write.
func (l *Log) fence(at int64, by Writer) {
	if newest, known := l.newest[by.ID]; known && by.Epoch < newest {
		l.zombies.add("%s@%d is of %v, behind epoch %d", l.partition, at, by, newest)
		return
	}
	l.newest[by.ID] = by.Epoch
}

// Next returns where the log that was told ends.
func (l *Log) Next() int64 { return l.next }

// LogReport is what a [Log] found.
type LogReport struct {
	Committed int64 // records
	Aborted   int64
	Open      int64
	Markers   int64
	Commits   int64 // transactions, counted in each partition that they wrote to
	Aborts    int64

	AbortedRead int64 // records that a read_committed reader got though their transaction was aborted
	OpenRead    int64 // or is open
	Invented    int64 // records that a reader got and the log does not have
	Hidden      int64 // committed records that a read_committed reader did not get
	Gaps        int64 // offsets that are missing in the log, or twice there
	Zombies     int64 // batches with an epoch below one that was there before
	Stuck       int64 // open transactions at the end
	Backward    int64 // records that a reader got behind a later one

	Examples []string
}

// OK reports whether there is no finding.
func (r LogReport) OK() bool {
	return r.AbortedRead+r.OpenRead+r.Invented+r.Hidden+r.Gaps+r.Zombies+r.Stuck+r.Backward == 0
}

// Add adds the counts and examples of another partition.
func (r *LogReport) Add(o LogReport) {
	for _, pair := range [][2]*int64{
		{&r.Committed, &o.Committed},
		{&r.Aborted, &o.Aborted},
		{&r.Open, &o.Open},
		{&r.Markers, &o.Markers},
		{&r.Commits, &o.Commits},
		{&r.Aborts, &o.Aborts},
		{&r.AbortedRead, &o.AbortedRead},
		{&r.OpenRead, &o.OpenRead},
		{&r.Invented, &o.Invented},
		{&r.Hidden, &o.Hidden},
		{&r.Gaps, &o.Gaps},
		{&r.Zombies, &o.Zombies},
		{&r.Stuck, &o.Stuck},
		{&r.Backward, &o.Backward},
	} {
		*pair[0] += *pair[1]
	}
	r.Examples = append(r.Examples, o.Examples...)
	r.Examples = r.Examples[:min(len(r.Examples), MaxExamples)]
}

// Report compares the log with what a read_committed reader got of all of it.
func (l *Log) Report(got *Reading) LogReport {
	committed, aborted, read := l.committed.sorted(), l.aborted.sorted(), got.runs.sorted()
	var open spans
	var stuck findings
	for _, id := range slices.Sorted(maps.Keys(l.open)) {
		open = append(open, l.open[id].runs...)
		stuck.add("%s: the transaction of %v is open since @%d", l.partition, l.open[id].by, l.open[id].runs[0].First)
	}
	open = open.sorted()
	extra, hidden := read.without(committed), committed.without(read)
	v := LogReport{
		Committed: committed.count(), Aborted: aborted.count(), Open: open.count(), Markers: l.markers, Commits: l.commits, Aborts: l.aborts,
		Gaps: l.gaps.count, Zombies: l.zombies.count, Stuck: stuck.count, Backward: got.backward.count,
	}
	v.AbortedRead = v.tell(l.partition, extra.within(aborted), "is of an aborted transaction, and was read as committed")
	v.OpenRead = v.tell(l.partition, extra.within(open), "is of an open transaction, and was read as committed")
	v.Invented = v.tell(l.partition, extra.without(aborted).without(open), "was read, and is not in the log")
	v.Hidden = v.tell(l.partition, hidden, "is committed, and was not read")
	for _, f := range []findings{l.gaps, l.zombies, stuck, got.backward} {
		v.Examples = append(v.Examples, f.examples...)
	}
	return v
}

// tell counts a set of records and names the first of them.
func (r *LogReport) tell(p offsets.Partition, set spans, what string) int64 {
	if len(set) > 0 {
		r.Examples = append(r.Examples, fmt.Sprintf("%s@%d %s", p, set[0].First, what))
	}
	return set.count()
}

// Outcomes compares how transactions ended in the partitions that they wrote to. It can do so for brokers of
// transaction.version 2, where each transaction has an epoch of its own, and where its markers carry the next one.
type Outcomes struct {
	known map[Writer]outcome
	torn  findings
}

// outcome is what the first marker of a transaction said.
type outcome struct {
	commit bool
	at     offsets.Partition
}

// NewOutcomes returns one that knows of no transaction.
func NewOutcomes() *Outcomes { return &Outcomes{known: map[Writer]outcome{}} }

// Ended tells of a marker, and of whom what it has ended was. Transactions of version 1 are passed over: many of them share
// an epoch, and their markers carry the same.
func (o *Outcomes) Ended(p offsets.Partition, offset int64, writer, marker Writer, commit bool) {
	if marker.Epoch <= writer.Epoch {
		return
	}
	first, known := o.known[writer]
	switch {
	case !known:
		o.known[writer] = outcome{commit, p}
	case first.commit != commit:
		o.torn.add("%s@%d ends the transaction of %v otherwise (commit: %t) than in %s", p, offset, writer, commit, first.at)
	}
}

// Producers returns how many producer ids had transactions.
func (o *Outcomes) Producers() int {
	ids := map[int64]bool{}
	for writer := range o.known {
		ids[writer.ID] = true
	}
	return len(ids)
}

// Commits returns how many transactions were committed.
func (o *Outcomes) Commits() (n int64) {
	for _, one := range o.known {
		if one.commit {
			n++
		}
	}
	return n
}

// Torn returns how many markers contradict another one of their transaction, and the first of them in words.
func (o *Outcomes) Torn() (count int64, examples []string) { return o.torn.count, o.torn.examples }
