package monitor

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// life is a state that a test tells events, on a clock of its own.
type life struct {
	state
	now time.Time
}

func newLife() *life {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l := &life{now: at, state: state{started: at, stuckAfter: time.Minute, lanes: map[string]*lane{}}}
	l.laneEvent(l.now, processor.LaneEvent{TransactionalID: "a"})
	return l
}

// goes takes the lane through states; the first is where it comes from.
func (l *life) goes(why error, states ...eos.State) {
	for i := 1; i < len(states); i++ {
		l.transition(l.now, eos.Transition{From: states[i-1], To: states[i], TransactionalID: "a", Err: why})
	}
}

func (l *life) has(partitions ...offsets.Partition) {
	l.assigned(l.now, eos.Assignment{TransactionalID: "a", Partitions: partitions})
}

var p0 = offsets.Partition{Topic: "in"}

// tells has the brokers tell the lag.
func (l *life) tells(committed, stable, high int64) {
	l.looked(l.now, lag{at: l.now, of: map[offsets.Partition]partitionLag{p0: {committed, stable, high}}})
}

func (l *life) why() []string { return l.ready(l.now).Reasons }

// A lane that has input in front of it and commits nothing is stuck after a while; a commit, or no input, ends that. What waits behind a
// transaction of somebody else is not counted.
func TestReadyUnlessStuck(t *testing.T) {
	t.Parallel()
	l := newLife()
	require.Equal(t, []string{"a is starting"}, l.why())
	l.goes(nil, eos.Starting, eos.Polling)
	require.Equal(t, []string{"a waits for the group to assign partitions"}, l.why())
	l.has(p0)
	require.Empty(t, l.why())
	l.tells(10, 12, 12)
	l.now = l.now.Add(time.Minute)
	l.tells(10, 13, 13)
	require.Empty(t, l.why(), "not yet")
	l.now = l.now.Add(time.Second)
	l.tells(10, 13, 13)
	require.Equal(t, []string{"a has committed nothing for 1m1s, and 3 offsets are in front of it"}, l.why())
	l.transaction(l.now, eos.Transaction{TransactionalID: "a", Outcome: eos.Aborted, Err: kerr.RebalanceInProgress})
	require.Len(t, l.why(), 1, "an abort gets nothing on")
	l.transaction(l.now, eos.Transaction{TransactionalID: "a", Outcome: eos.Committed})
	require.Empty(t, l.why())
	l.tells(13, 13, 13)
	l.now = l.now.Add(time.Hour)
	l.tells(13, 13, 50)
	require.Empty(t, l.why(), "an idle lane is ready, also behind a transaction of somebody else")
}

// A lane is stuck from when it has input: an idle hour before does not count. A rebalance that gives it partitions begins anew.
func TestStuckSinceThereIsInput(t *testing.T) {
	t.Parallel()
	l := newLife()
	l.goes(nil, eos.Starting, eos.Polling)
	l.has(p0)
	l.tells(5, 5, 5)
	l.now = l.now.Add(time.Hour)
	l.tells(5, 5, 5)
	l.now = l.now.Add(30 * time.Second)
	l.tells(5, 6, 6)
	require.Empty(t, l.why())
	l.goes(errors.New("x"), eos.Polling, eos.Replacing)
	require.Equal(t, []string{"a is replacing"}, l.why())
	l.goes(nil, eos.Replacing, eos.Polling)
	l.now = l.now.Add(time.Hour)
	l.has(p0)
	l.tells(5, 6, 6)
	require.Empty(t, l.why())
}

// Brokers that do not tell the lag make it unknown whether the lanes get on: not ready, after a while. An old figure stays.
func TestReadyUnlessTheLagIsUnknown(t *testing.T) {
	t.Parallel()
	l := newLife()
	l.goes(nil, eos.Starting, eos.Polling)
	l.has(p0)
	l.tells(5, 5, 5)
	l.now = l.now.Add(30 * time.Second)
	l.looked(l.now, lag{err: "no broker"})
	require.Empty(t, l.why())
	require.Len(t, l.lag.of, 1)
	l.now = l.now.Add(31 * time.Second)
	require.Equal(t, []string{"the brokers have not told the lag for 1m1s: no broker"}, l.why())
	l.tells(5, 5, 5)
	require.Empty(t, l.why())
}

// The lag of a partition is not told any more once the group has given it to another process, which tells it from then on.
func TestLagOfWhatIsOwned(t *testing.T) {
	t.Parallel()
	l := newLife()
	l.has(p0)
	l.tells(1, 2, 3)
	require.Equal(t, map[offsets.Partition]partitionLag{p0: {1, 2, 3}}, l.owned())
	l.has(offsets.Partition{Topic: "in", Number: 1})
	require.Empty(t, l.owned(), "the other one is not asked for yet")
}

// A transaction is in doubt if its end was not answered, and not if it was aborted before or by a rebalance.
func TestInDoubt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what   string
		way    []eos.State
		result eos.Transaction
		want   map[eos.Outcome]int64
	}{
		{"committed at once", []eos.State{eos.InTxn, eos.Flushing, eos.Committing}, eos.Transaction{Outcome: eos.Committed}, map[eos.Outcome]int64{}},
		{"a produce failed", []eos.State{eos.InTxn, eos.Flushing, eos.Aborting}, eos.Transaction{Outcome: eos.Aborted, Err: eos.ErrProduce}, map[eos.Outcome]int64{}},
		{"and the client with it", []eos.State{eos.InTxn, eos.Flushing, eos.Aborting, eos.Replacing, eos.Polling}, eos.Transaction{Outcome: eos.Aborted, Err: eos.ErrProduce}, map[eos.Outcome]int64{}},
		{"a rebalance", []eos.State{eos.InTxn, eos.Flushing, eos.Committing, eos.Resolving}, eos.Transaction{Outcome: eos.Aborted, Err: kerr.RebalanceInProgress}, map[eos.Outcome]int64{}},
		{"answer lost, committed", []eos.State{eos.InTxn, eos.Flushing, eos.Committing, eos.Replacing, eos.Resolving, eos.Polling}, eos.Transaction{Outcome: eos.Committed, Err: context.DeadlineExceeded}, map[eos.Outcome]int64{eos.Committed: 1}},
		{"request lost, aborted", []eos.State{eos.InTxn, eos.Flushing, eos.Committing, eos.Replacing, eos.Resolving, eos.Polling}, eos.Transaction{Outcome: eos.Aborted, Err: context.DeadlineExceeded}, map[eos.Outcome]int64{eos.Aborted: 1}},
		{"stopped meanwhile", []eos.State{eos.InTxn, eos.Flushing, eos.Committing, eos.Replacing, eos.Stopped}, eos.Transaction{Outcome: eos.Unknown, Err: context.Canceled}, map[eos.Outcome]int64{eos.Unknown: 1}},
		{"the next one is not", []eos.State{eos.InTxn, eos.Flushing, eos.Committing, eos.Replacing, eos.Polling, eos.Preparing, eos.InTxn, eos.Aborting}, eos.Transaction{Outcome: eos.Aborted, Err: eos.ErrProduce}, map[eos.Outcome]int64{}},
	} {
		l := newLife()
		l.goes(nil, append([]eos.State{eos.Starting, eos.Polling, eos.Preparing}, c.way...)...)
		c.result.TransactionalID = "a"
		l.transaction(l.now, c.result)
		require.Equal(t, c.want, l.lanes["a"].resolved, c.what)
	}
}

// Whether a stopped session is a failure: not if it was closed or its context ended; and a failure is over when a new session opens.
func TestFailure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why  error
		want bool
	}{
		{eos.ErrClosed, false},
		{context.Canceled, false},
		{context.DeadlineExceeded, false},
		{kerr.TopicAuthorizationFailed, true},
		{eos.ErrFenced, true},
		{&eos.LostOffsetsError{Partition: p0, From: 1, To: 2}, true},
	} {
		l := newLife()
		l.goes(nil, eos.Starting, eos.Polling)
		l.goes(c.why, eos.Polling, eos.Stopped)
		l.goes(eos.ErrClosed, eos.Stopped, eos.Stopped)
		require.Equal(t, !c.want, l.healthy().OK, c.why)
		l.goes(nil, eos.Starting, eos.Polling)
		require.True(t, l.healthy().OK, c.why)
	}
}

// The history has the rates of each interval, not of all time, and no more than five minutes of it.
func TestHistory(t *testing.T) {
	t.Parallel()
	l := newLife()
	commit := func(n int, flush, end time.Duration) {
		for range n {
			l.transaction(l.now, eos.Transaction{TransactionalID: "a", Outcome: eos.Committed, In: 10, Flush: flush, End: end})
		}
	}
	l.has(p0)
	commit(8, 10*time.Millisecond, 2*time.Millisecond)
	l.tells(1, 4, 6)
	l.now = l.now.Add(2 * time.Second)
	l.sample(l.now)
	commit(2, 20*time.Millisecond, 4*time.Millisecond)
	l.transaction(l.now, eos.Transaction{TransactionalID: "a", Outcome: eos.Aborted, Flush: 50 * time.Millisecond})
	l.now = l.now.Add(2 * time.Second)
	l.sample(l.now)
	require.Equal(t, Sample{Time: l.now.Add(-2 * time.Second), TransactionsPerSec: 4, RecordsPerSec: 40, FlushMillis: 10, EndMillis: 2, StableLag: 3, HighLag: 5}, l.history.samples[0])
	require.Equal(t, Sample{Time: l.now, TransactionsPerSec: 1, AbortedPerSec: .5, RecordsPerSec: 10, FlushMillis: 30, EndMillis: 8.0 / 3, StableLag: 3, HighLag: 5}, l.history.samples[1])
	for range 2 * samples {
		l.now = l.now.Add(sampleInterval)
		l.sample(l.now)
	}
	require.Len(t, l.history.samples, samples)
	require.Equal(t, l.now, l.history.samples[samples-1].Time)
	require.Zero(t, l.history.samples[0].TransactionsPerSec)
}
