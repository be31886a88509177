package checker_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// logEntry is one entry of a log: a batch of count records, or a marker.
type logEntry struct {
	by     checker.Writer
	count  int64
	marker bool
	commit bool
	hole   int64 // offsets left out before it
}

// logged is a log and what a read_committed reader got of it. The readers of the tests get what they should, but for a plant.
type logged struct {
	entries []logEntry
	got     []int64
}

var (
	w1, w1next = checker.Writer{ID: 1, Epoch: 4}, checker.Writer{ID: 1, Epoch: 5}
	w2, w2next = checker.Writer{ID: 2, Epoch: 0}, checker.Writer{ID: 2, Epoch: 1}
	out0       = partition("copies", 0)
	out1       = partition("copies", 1)
)

// cleanLog has two producers whose transactions overlap, one of them aborted. Markers carry the next epoch, as in
// transaction.version 2. Its offsets: 0-2 committed, 3-4 aborted, 5 committed, 6 commit, 7 abort, 8-9 committed, 10 commit.
func cleanLog() *logged {
	return &logged{
		entries: []logEntry{
			{by: w1, count: 3},
			{by: w2, count: 2},
			{by: w1, count: 1},
			{by: w1next, marker: true, commit: true},
			{by: w2next, marker: true},
			{by: w1next, count: 2},
			{by: checker.Writer{ID: 1, Epoch: 6}, marker: true, commit: true},
		},
		got: []int64{0, 1, 2, 5, 8, 9},
	}
}

func (h *logged) log(p offsets.Partition, outcomes *checker.Outcomes) *checker.Log {
	l := checker.NewLog(p, 0, outcomes)
	at := int64(0)
	for _, e := range h.entries {
		at += e.hole
		if e.marker {
			l.Marker(at, e.by, e.commit)
			at++
			continue
		}
		l.Batch(at, at+e.count-1, e.by, true)
		at += e.count
	}
	return l
}

func (h *logged) report() checker.LogReport {
	return h.log(out0, nil).Report(reading(h.got))
}

func reading(list []int64) *checker.Reading {
	r := checker.NewReading(out0)
	for _, at := range list {
		r.Record(at, uint64(at)*7)
	}
	return r
}

// A log without a fault gives no alarm, and its records are all accounted for.
func TestLogClean(t *testing.T) {
	t.Parallel()
	got := cleanLog().report()
	require.True(t, got.OK(), got.Examples)
	require.Equal(t, checker.LogReport{Committed: 6, Aborted: 2, Markers: 3, Commits: 2, Aborts: 1}, got)
	l := cleanLog().log(out0, nil)
	require.EqualValues(t, 11, l.Next())
	require.Equal(t, l.Next(), got.Committed+got.Aborted+got.Open+got.Markers)
}

// Each planted fault of a log, or of what a reader got of it, is found as what it is, and named.
func TestLogPlants(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plant   func(h *logged)
		want    func(r *checker.LogReport) *int64
		count   int64
		example string
	}{
		"an aborted record leaks": {
			func(h *logged) { h.got = slices.Insert(h.got, 3, 4) },
			func(r *checker.LogReport) *int64 { return &r.AbortedRead }, 1, "copies-0@4 is of an aborted transaction, and was read as committed",
		},
		"a committed record is not read, head": {
			func(h *logged) { h.got = h.got[1:] },
			func(r *checker.LogReport) *int64 { return &r.Hidden }, 1, "copies-0@0 is committed, and was not read",
		},
		"a committed record is not read, middle": {
			func(h *logged) { h.got = slices.Delete(h.got, 3, 4) },
			func(r *checker.LogReport) *int64 { return &r.Hidden }, 1, "copies-0@5 is committed, and was not read",
		},
		"a committed record is not read, tail": {
			func(h *logged) { h.got = h.got[:5] },
			func(r *checker.LogReport) *int64 { return &r.Hidden }, 1, "copies-0@9 is committed, and was not read",
		},
		"a record that the log does not have": {
			func(h *logged) { h.got = append(h.got, 11) },
			func(r *checker.LogReport) *int64 { return &r.Invented }, 1, "copies-0@11 was read, and is not in the log",
		},
		"a record is read twice": {
			func(h *logged) { h.got = slices.Insert(h.got, 1, 0) },
			func(r *checker.LogReport) *int64 { return &r.Backward }, 1, "copies-0@0 comes after @0",
		},
		"the marker of the last transaction is missing": {
			func(h *logged) { h.entries, h.got = h.entries[:6], h.got[:4] },
			func(r *checker.LogReport) *int64 { return &r.Stuck }, 1, "copies-0: the transaction of producer 1 epoch 5 is open since @8",
		},
		"an open transaction is read": {
			func(h *logged) { h.entries = h.entries[:6] },
			func(r *checker.LogReport) *int64 { return &r.OpenRead }, 2, "copies-0@8 is of an open transaction, and was read as committed",
		},
		"a batch is missing in the log": {
			func(h *logged) { h.entries[6].hole = 1 },
			func(r *checker.LogReport) *int64 { return &r.Gaps }, 1, "copies-0@11 stands where @10 was to come",
		},
		"a zombie writes behind its marker": {
			func(h *logged) {
				h.entries = append(h.entries, logEntry{by: w2, count: 1}, logEntry{by: w2next, marker: true})
			},
			func(r *checker.LogReport) *int64 { return &r.Zombies }, 1, "copies-0@11 is of producer 2 epoch 0, behind epoch 1",
		},
		"a zombie writes behind its successor": {
			func(h *logged) { h.entries[5].by = w1 },
			func(r *checker.LogReport) *int64 { return &r.Zombies }, 1, "copies-0@8 is of producer 1 epoch 4, behind epoch 5",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := cleanLog()
			c.plant(h)
			got := h.report()
			require.Equal(t, c.count, *c.want(&got), "%+v", got)
			require.False(t, got.OK())
			require.Contains(t, got.Examples, c.example)
			if *c.want(&got) = 0; c.want(&got) != &got.OpenRead { // what is open and was read is stuck too
				require.True(t, got.OK(), "nothing else is found: %+v", got)
			}
		})
	}
}

// Reports of several partitions are added up.
func TestLogReportAdd(t *testing.T) {
	t.Parallel()
	one := cleanLog().report()
	var all checker.LogReport
	all.Add(one)
	all.Add(one)
	require.Equal(t, 2*one.Committed, all.Committed)
	require.Equal(t, 2*one.Aborts, all.Aborts)
	require.True(t, all.OK())
}

// A transaction whose marker says commit in one partition and abort in another is torn.
func TestOutcomesTorn(t *testing.T) {
	t.Parallel()
	outcomes := checker.NewOutcomes()
	h := cleanLog()
	h.log(out0, outcomes)
	h.log(out1, outcomes)
	count, _ := outcomes.Torn()
	require.Zero(t, count)
	require.EqualValues(t, 2, outcomes.Commits())
	require.Equal(t, 2, outcomes.Producers())
	h.entries[3].commit = false
	h.log(partition("copies", 2), outcomes)
	count, examples := outcomes.Torn()
	require.EqualValues(t, 1, count)
	require.Equal(t, []string{"copies-2@6 ends the transaction of producer 1 epoch 4 otherwise (commit: false) than in copies-0"}, examples)
}

// Two readers of the same records agree; whatever one of them got otherwise is a difference, also far behind the start.
func TestReadingDiff(t *testing.T) {
	t.Parallel()
	var list []int64
	for i := range int64(2000) {
		if i%10 != 9 { // markers
			list = append(list, i)
		}
	}
	require.Empty(t, reading(list).Diff(reading(list)))
	require.EqualValues(t, 1800, reading(list).Count())
	for name, c := range map[string]struct {
		second []int64
		want   string
	}{
		"one more":  {slices.Insert(slices.Clone(list), 900, 999), "copies-0@999 was not there for the first reader, and was for the second"},
		"one less":  {slices.Delete(slices.Clone(list), 900, 901), "copies-0@1000 was there for the first reader, and not for the second"},
		"swapped":   {slices.Insert(slices.Delete(slices.Clone(list), 900, 901), 901, 1000), "copies-0@1000 comes after @1001"},
		"stops":     {list[:900], "copies-0@1000 was there for the first reader, and not for the second"},
		"goes back": {append(slices.Clone(list), list[0]), "copies-0@0 comes after @1998"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, reading(list).Diff(reading(c.second)))
		})
	}
	for _, at := range []int64{3, 1000, 1998} {
		other := checker.NewReading(out0)
		for _, offset := range list {
			other.Record(offset, uint64(offset)*7+map[bool]uint64{true: 1}[offset == at])
		}
		require.Contains(t, reading(list).Diff(other), "one was another for the first reader", "a changed record at %d", at)
	}
}
