package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

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

// validateText judges a trace, and returns the lines that begin as findings and notes do.
func validateText(t *testing.T, text string, flags ...string) (code int, lines []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trace")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	code, stdout, stderr := call(t, append([]string{"validate", file, "--quiet"}, flags...)...)
	lines = strings.Split(strings.TrimSpace(stdout), "\n")
	require.Contains(t, lines[len(lines)-1], "findings=", stderr)
	return code, lines[:len(lines)-1]
}

func TestValidateAcceptsALog(t *testing.T) {
	t.Parallel()
	code, lines := validateText(t, cleanLog)
	require.Zero(t, code)
	require.Empty(t, lines)
}

// Every line that is taken out of a log, but for the time, is missed.
func TestValidateMissesEveryLine(t *testing.T) {
	t.Parallel()
	lines := strings.SplitAfter(cleanLog, "\n")
	for i := range lines {
		if i < 2 || lines[i] == "" || strings.HasPrefix(lines[i], "fetch") && !strings.Contains(lines[i], "lso=11") { // what a reader saw is not the log itself
			continue
		}
		code, found := validateText(t, strings.Join(lines[:i], "")+strings.Join(lines[i+1:], ""))
		require.Equal(t, exitFailure, code, "without line %d nothing is found: %s", i+1, lines[i])
		require.Regexp(t, "finding: (offset|delivered records|incomplete trace): expected ", found[0], lines[i])
	}
}

// Each kind of fault is found where it is, and told by its rule.
func TestValidateFindsPlantedFaults(t *testing.T) {
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
			code, found := validateText(t, strings.Replace(cleanLog, c.from, c.to, 1))
			require.Equal(t, exitFailure, code)
			first := found[slices.IndexFunc(found, func(s string) bool { return strings.Contains(s, ": finding: ") })]
			require.Contains(t, first, "line "+strconv.Itoa(c.line)+": finding: "+c.says)
			require.Regexp(t, `; seen: \w+ .*; rule: .+ \[.+\]$`, first)
		})
	}
}

// Content that is committed twice is a note, a finding if that is asked for, or nothing; an aborted one does not count.
func TestValidateDuplicates(t *testing.T) {
	t.Parallel()
	twice := strings.Replace(cleanLog, "digest=a3", "digest=b2", 1)
	for action, want := range map[string]int{"note": exitDone, "error": exitFailure, "ignore": exitDone} {
		code, found := validateText(t, twice, "--duplicates", action)
		require.Equal(t, want, code, action)
		if action == "ignore" {
			require.Empty(t, found)
			continue
		}
		require.Len(t, found, 1, action)
		require.Contains(t, found[0], "sent twice: expected content b2 once, but it is committed by 7/0 with sequence 1 in t-0, and by 8/1 with sequence 0 in t-0;")
	}
}

// A transaction that is open where the log ends is a note while it may be under way, and a finding when it hangs.
func TestValidateOpenTransactions(t *testing.T) {
	t.Parallel()
	open := strings.NewReplacer(
		"marker to=t-0 producer=7/3 commit=true coordinator=3 protocol=0 -> NONE offset=9\n", "produce v=0 to=t-0 producer=8/0 transactional=false seq=3 count=1 time_ms=1000 acks=0 -> NONE offset=9\n",
		"delivered=0,2,3,4,8 next=10", "delivered=0,2,3,4 next=8", "fetch of=t-0 from=10 committed=true -> NONE hw=-1 lso=-1 delivered=10 next=11\n", "",
		"hw=11 lso=11", "hw=11 lso=8",
	).Replace(cleanLog)
	code, found := validateText(t, open, "--hanging-after", "999001ms")
	require.Zero(t, code, found)
	require.Len(t, found, 1)
	require.Contains(t, found[0], "end: note: open transaction: expected a marker in t-0 for the transaction of producer 7/2 that is open since offset 8, 16m39s ago by the time of its last record;")
	code, found = validateText(t, open)
	require.Equal(t, exitFailure, code)
	require.Contains(t, found[0], "end: finding: hanging transaction: ")

	hidden := "time now_ms=5\nlog of=t-0 start=5 compacted=false\nproduce v=0 to=t-0 producer=-1/-1 transactional=false seq=-1 count=1 time_ms=1 acks=0 -> NONE offset=5\n" +
		"fetch of=t-0 from=6 committed=true -> NONE hw=6 lso=5 next=6\n"
	code, found = validateText(t, hidden)
	require.Equal(t, exitFailure, code)
	require.Contains(t, found[0], "hanging transaction: expected a marker in t-0 for a transaction that began before the log's start, offset 5;")
}

// A trace of requests is judged by the answers; whether it shows the brokers' own steps is seen from it. Older brokers had other rules.
func TestValidateRequests(t *testing.T) {
	t.Parallel()
	const fenced = `init client=a v=5 txn=x timeout_ms=1000 expected=-1/-1 -> NONE producer=7/0
produce client=a v=12 txn=x to=t-0 producer=7/0 transactional=true seq=0 count=1 time_ms=1 acks=-1 -> NONE offset=0
end client=a v=5 txn=x producer=7/0 commit=true -> NONE next=7/1
init client=b v=5 txn=x timeout_ms=1000 expected=-1/-1 -> NONE producer=7/2
produce client=a v=12 txn=x to=t-0 producer=7/1 transactional=true seq=0 count=1 time_ms=1 acks=-1 -> NONE offset=2
`
	code, found := validateText(t, fenced)
	require.Equal(t, exitFailure, code)
	require.Contains(t, found[0], "line 5: finding: epoch: expected INVALID_PRODUCER_EPOCH;")
	code, found = validateText(t, strings.Replace(fenced, "acks=-1 -> NONE offset=2", "acks=-1 -> INVALID_PRODUCER_EPOCH offset=-1", 1))
	require.Zero(t, code, found)

	steps := strings.Replace(fenced, "init client=b", "marker to=t-0 producer=7/1 commit=false coordinator=0 protocol=2 -> NONE offset=1\ninit client=b", 1)
	_, found = validateText(t, steps)
	require.Contains(t, found[0], "line 4: finding: transaction: expected COMMIT with epoch 1;")

	code, _ = validateText(t, "init v=5 timeout_ms=1 expected=-1/-1 -> NONE producer=7/0\n", "--kafka", "3.5")
	require.Equal(t, exitFailure, code, "3.5 does not know version 5")
}
