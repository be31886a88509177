package logtrace

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// cleanLog is a log in which nothing is wrong: an idempotent producer (8), a transactional one (7) with a commit, an abort and a
// commit, and what a read_committed reader saw.
const cleanLog = `time now_ms=1000000
log of=t-0 start=0 compacted=false
produce v=0 to=t-0 producer=8/0 transactional=false seq=0 count=2 time_ms=1000 digest=a1 acks=0 -> NONE offset=0
produce v=0 to=t-0 producer=7/0 transactional=true seq=0 count=1 time_ms=1000 digest=b1 acks=0 -> NONE offset=2
produce v=0 to=t-0 producer=8/0 transactional=false seq=2 count=1 time_ms=1000 digest=a2 acks=0 -> NONE offset=3
produce v=0 to=t-0 producer=7/0 transactional=true seq=1 count=1 time_ms=1000 digest=b2 acks=0 -> NONE offset=4
marker to=t-0 producer=7/1 commit=true coordinator=3 protocol=0 -> NONE offset=5
produce v=0 to=t-0 producer=7/1 transactional=true seq=0 count=1 time_ms=1000 digest=c1 acks=0 -> NONE offset=6
marker to=t-0 producer=7/2 commit=false coordinator=3 protocol=0 -> NONE offset=7
produce v=0 to=t-0 producer=7/2 transactional=true seq=0 count=1 time_ms=1000 digest=c1 acks=0 -> NONE offset=8
marker to=t-0 producer=7/3 commit=true coordinator=3 protocol=0 -> NONE offset=9
fetch of=t-0 from=0 committed=true -> NONE hw=-1 lso=-1 aborted=7@6 delivered=0,2,3,4,8 next=10
produce v=0 to=t-0 producer=8/1 transactional=false seq=0 count=1 time_ms=1000 digest=a3 acks=0 -> NONE offset=10
fetch of=t-0 from=10 committed=true -> NONE hw=-1 lso=-1 delivered=10 next=11
fetch of=t-0 from=11 committed=true -> NONE hw=11 lso=11 next=11
`

// judgeText judges a trace by the rules of Kafka 4.4, and returns the text of what was found.
func judgeText(t *testing.T, text string, change ...func(*JudgeConfig)) (summary Summary, lines []string) {
	t.Helper()
	c := JudgeConfig{Kafka: "4.4", Duplicates: DuplicatesNote, HangingAfter: 15 * time.Minute, Found: func(f Finding) error {
		lines = append(lines, f.String())
		return nil
	}}
	for _, f := range change {
		f(&c)
	}
	summary, err := Judge(t.Context(), strings.NewReader(text), c)
	require.NoError(t, err)
	return summary, lines
}

func TestJudgeAcceptsALog(t *testing.T) {
	t.Parallel()
	summary, lines := judgeText(t, cleanLog)
	require.Empty(t, lines)
	require.Equal(t, "findings=0 notes=0 events=15 partitions=1 producers=2 open=0", summary.String())
}

// Every line that is taken out of a log, but for the time, is missed.
func TestJudgeMissesEveryLine(t *testing.T) {
	t.Parallel()
	lines := strings.SplitAfter(cleanLog, "\n")
	for i := range lines {
		if i < 2 || lines[i] == "" || strings.HasPrefix(lines[i], "fetch") && !strings.Contains(lines[i], "lso=11") { // what a reader saw is not the log itself
			continue
		}
		summary, found := judgeText(t, strings.Join(lines[:i], "")+strings.Join(lines[i+1:], ""))
		require.Positive(t, summary.Findings, "without line %d nothing is found: %s", i+1, lines[i])
		require.Regexp(t, "finding: (offset|delivered records|incomplete trace): expected ", found[0], lines[i])
	}
}

// Each kind of fault is found where it is, and told by its rule.
func TestJudgeFindsPlantedFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, from, to string
		line           int
		says           string
	}{
		{"a gap in the sequence", "seq=2 count=1", "seq=3 count=1", 5, "sequence: expected sequence 2;"},
		{"a sequence that goes back", "seq=2 count=1", "seq=1 count=1", 5, "sequence: expected sequence 2;"},
		{"a batch that was written twice", "producer=8/0 transactional=false seq=2 count=1", "producer=8/0 transactional=false seq=0 count=2", 5, "duplicate: expected no second batch, but the answer offset=0;"},
		{"a producer that was fenced", "producer=8/1 transactional=false seq=0", "producer=7/2 transactional=false seq=1", 13, "epoch: expected no batch of an epoch below 3;"},
		{"a new epoch that goes on with the old sequence", "producer=8/1 transactional=false seq=0", "producer=8/1 transactional=false seq=3", 13, "sequence: expected sequence 0;"},
		{"a transaction that goes on with the old sequence", "producer=7/1 transactional=true seq=0", "producer=7/1 transactional=true seq=2", 8, "sequence: expected sequence 0;"},
		{"a batch outside of the open transaction", "producer=7/0 transactional=true seq=1", "producer=7/0 transactional=false seq=1", 6, "transaction: expected INVALID_TXN_STATE;"},
		{"a transaction in the one before", "marker to=t-0 producer=7/1 commit=true", "marker to=t-0 producer=99/1 commit=true", 8, "marker: expected first the marker of the transaction that producer 7/0 has open since offset 2;"},
		{"a marker of another transaction", "producer=7/1 commit=true", "producer=7/4 commit=true", 7, "marker: expected epoch 0 or 1 for the transaction that is open since offset 2;"},
		{"a marker of an old epoch", "producer=7/2 commit=false", "producer=7/0 commit=false", 9, "marker: expected no marker of an epoch below 1;"},
		{"a marker of an old coordinator", "commit=false coordinator=3", "commit=false coordinator=2", 9, "marker: expected no marker of a coordinator before 3;"},
		{"an abort that was a commit", "producer=7/2 commit=false", "producer=7/2 commit=true", 12, "aborted list: expected aborted=[];"},
		{"a commit that was an abort", "producer=7/1 commit=true", "producer=7/1 commit=false", 12, "aborted list: expected aborted=[7@2 7@6];"},
		{"an aborted transaction that is not listed", "aborted=7@6", "aborted=[]", 12, "aborted list: expected aborted=[7@6];"},
		{"a transaction that is listed and was not aborted", "aborted=7@6", "aborted=7@6,7@8", 12, "aborted list: expected aborted=[7@6];"},
		{"aborted records that are delivered", "delivered=0,2,3,4,8", "delivered=0,2,3,4,6,8", 12, "delivered records: expected delivered=[0 2 3 4 8];"},
		{"committed records that are not delivered", "delivered=0,2,3,4,8", "delivered=0,3,4,8", 12, "delivered records: expected delivered=[0 2 3 4 8];"},
		{"a last stable offset that waits for nothing", "hw=11 lso=11", "hw=11 lso=10", 15, "last stable offset: expected lso=11;"},
		{"a high watermark that is not the end", "hw=11 lso=11", "hw=12 lso=11", 15, "offset: expected hw=11;"},
		{"an offset that goes back", "acks=0 -> NONE offset=3", "acks=0 -> NONE offset=1", 5, "offset: expected an offset from 3 on;"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, 1, strings.Count(cleanLog, c.from), "the fault must be planted once")
			summary, found := judgeText(t, strings.Replace(cleanLog, c.from, c.to, 1))
			require.Positive(t, summary.Findings)
			first := found[slices.IndexFunc(found, func(s string) bool { return strings.Contains(s, ": finding: ") })]
			require.Contains(t, first, "line "+strconv.Itoa(c.line)+": finding: "+c.says)
			require.Regexp(t, `; seen: \w+ .*; rule: .+ \[.+\]$`, first)
		})
	}
}

// Content that is committed twice is a note, a finding if that is asked for, or nothing; an aborted one does not count.
func TestJudgeDuplicates(t *testing.T) {
	t.Parallel()
	twice := strings.Replace(cleanLog, "digest=a3", "digest=b2", 1)
	for action, want := range map[string]int{DuplicatesNote: 0, DuplicatesError: 1, DuplicatesIgnore: 0} {
		summary, found := judgeText(t, twice, func(c *JudgeConfig) { c.Duplicates = action })
		require.Equal(t, want, summary.Findings, action)
		if action == DuplicatesIgnore {
			require.Empty(t, found)
			continue
		}
		require.Len(t, found, 1, action)
		require.Contains(t, found[0], "sent twice: expected content b2 once, but it is committed by 7/0 with sequence 1 in t-0, and by 8/1 with sequence 0 in t-0;")
	}
}

// A transaction that is open where the log ends is a note while it may be under way, and a finding when it hangs.
func TestJudgeOpenTransactions(t *testing.T) {
	t.Parallel()
	open := strings.NewReplacer(
		"marker to=t-0 producer=7/3 commit=true coordinator=3 protocol=0 -> NONE offset=9\n", "produce v=0 to=t-0 producer=8/0 transactional=false seq=3 count=1 time_ms=1000 acks=0 -> NONE offset=9\n",
		"delivered=0,2,3,4,8 next=10", "delivered=0,2,3,4 next=8", "fetch of=t-0 from=10 committed=true -> NONE hw=-1 lso=-1 delivered=10 next=11\n", "",
		"hw=11 lso=11", "hw=11 lso=8",
	).Replace(cleanLog)
	summary, found := judgeText(t, open, func(c *JudgeConfig) { c.HangingAfter = 999_001 * time.Millisecond })
	require.Zero(t, summary.Findings, found)
	require.Len(t, found, 1)
	require.Contains(t, found[0], "end: note: open transaction: expected a marker in t-0 for the transaction of producer 7/2 that is open since offset 8, 16m39s ago by the time of its last record;")
	summary, found = judgeText(t, open)
	require.Positive(t, summary.Findings)
	require.Contains(t, found[0], "end: finding: hanging transaction: ")

	hidden := "time now_ms=5\nlog of=t-0 start=5 compacted=false\nproduce v=0 to=t-0 producer=-1/-1 transactional=false seq=-1 count=1 time_ms=1 acks=0 -> NONE offset=5\n" +
		"fetch of=t-0 from=6 committed=true -> NONE hw=6 lso=5 next=6\n"
	summary, found = judgeText(t, hidden)
	require.Positive(t, summary.Findings)
	require.Contains(t, found[0], "hanging transaction: expected a marker in t-0 for a transaction that began before the log's start, offset 5;")
}

// A trace of requests is judged by the answers; whether it shows the brokers' own steps is seen from it. Older brokers had other rules.
func TestJudgeRequests(t *testing.T) {
	t.Parallel()
	const fenced = `init client=a v=5 txn=x timeout_ms=1000 expected=-1/-1 -> NONE producer=7/0
produce client=a v=12 txn=x to=t-0 producer=7/0 transactional=true seq=0 count=1 time_ms=1 acks=-1 -> NONE offset=0
end client=a v=5 txn=x producer=7/0 commit=true -> NONE next=7/1
init client=b v=5 txn=x timeout_ms=1000 expected=-1/-1 -> NONE producer=7/2
produce client=a v=12 txn=x to=t-0 producer=7/1 transactional=true seq=0 count=1 time_ms=1 acks=-1 -> NONE offset=2
`
	summary, found := judgeText(t, fenced)
	require.Positive(t, summary.Findings)
	require.Contains(t, found[0], "line 5: finding: epoch: expected INVALID_PRODUCER_EPOCH;")
	summary, found = judgeText(t, strings.Replace(fenced, "acks=-1 -> NONE offset=2", "acks=-1 -> INVALID_PRODUCER_EPOCH offset=-1", 1))
	require.Zero(t, summary.Findings, found)

	steps := strings.Replace(fenced, "init client=b", "marker to=t-0 producer=7/1 commit=false coordinator=0 protocol=2 -> NONE offset=1\ninit client=b", 1)
	_, found = judgeText(t, steps)
	require.Contains(t, found[0], "line 4: finding: transaction: expected COMMIT with epoch 1;")

	summary, _ = judgeText(t, "init v=5 timeout_ms=1 expected=-1/-1 -> NONE producer=7/0\n", func(c *JudgeConfig) { c.Kafka = "3.5" })
	require.Positive(t, summary.Findings, "3.5 does not know version 5")
}

// What is no trace is told with its line; what the caller returns, and the end of its context, end the judging.
func TestJudgeStops(t *testing.T) {
	t.Parallel()
	c := JudgeConfig{Duplicates: DuplicatesNote, Found: func(Finding) error { return nil }}
	_, err := Judge(t.Context(), strings.NewReader("# a comment\n\nsmash of=t-0\n"), c)
	e, ok := errors.AsType[*UnreadableError](err)
	require.True(t, ok)
	require.Equal(t, 3, e.Line)
	require.ErrorContains(t, err, "line 3 of the trace cannot be read: ")
	require.ErrorContains(t, err, "smash")

	full := errors.New("the disk is full")
	c.Found = func(Finding) error { return full }
	_, err = Judge(t.Context(), strings.NewReader(strings.Replace(cleanLog, "seq=2 count=1", "seq=3 count=1", 1)), c)
	require.ErrorIs(t, err, full)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Judge(ctx, strings.NewReader(cleanLog), c)
	require.ErrorIs(t, err, context.Canceled)

	c.Kafka = "2.8"
	_, err = Judge(t.Context(), strings.NewReader(cleanLog), c)
	require.ErrorContains(t, err, "2.8")
}

// Whatever the text is, judging it ends without a panic, and its counts are those of what was told.
func FuzzJudge(f *testing.F) {
	f.Add(cleanLog)
	f.Add(strings.ReplaceAll(cleanLog, "log of=t-0 start=0 compacted=false\n", ""))
	f.Add("init v=5 txn=x timeout_ms=1000 expected=-1/-1 -> ?\nproduce v=12 txn=x to=t-0 producer=7/0 transactional=true seq=0 count=1 time_ms=1 acks=-1 -> ?\nend v=5 txn=x producer=7/0 commit=true -> ?\n")
	f.Add("offset-commit v=5 txn=x producer=7/0 group=g generation=-1 member=\"\" offsets=in-0:5 -> NONE\noffset-fetch v=7 group=g of=in-0 stable=true -> NONE offset=5\n")
	f.Add("marker to=t-0 producer=7/1 commit=true coordinator=0 protocol=2 -> NONE offset=1\ncomplete txn=x\ndrop txn=x of=t-0\nreload\nrestart of=t-0\n")
	f.Fuzz(func(t *testing.T, text string) {
		told := 0
		summary, err := Judge(t.Context(), strings.NewReader(text), JudgeConfig{Duplicates: DuplicatesNote, Found: func(Finding) error {
			told++
			return nil
		}})
		if err == nil {
			require.Equal(t, told, summary.Findings+summary.Notes)
		}
	})
}
