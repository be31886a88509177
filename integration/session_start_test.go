package integration

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
)

// Every partition has a committed offset before any of its records is handed out: the log's start, which need not be 0.
// Going back before the first commit goes there, and no further.
func TestSessionCommitsWhereItStarts(t *testing.T) {
	b := newSessionBench(t)
	b.write(30)
	b.deleteRecords(1, 4)
	for number := range int64(4) {
		b.dropped[sessionRecord{1, number}] = true
	}
	s := b.open(b.config("a"))
	b.poll(s)
	require.Equal(t, b.inputs(0, 4, 0), b.committed())
	require.Empty(t, b.copy(s, 26), "what was polled is given back, and comes again from the log's start")
	b.requireOnce()
}

// A group that starts at the latest offset never sees an older record, not even after an abort before its first commit.
func TestSessionStartLatest(t *testing.T) {
	b := newSessionBench(t)
	b.write(30)
	for p := range int32(sessionPartitions) {
		for number := range int64(10) {
			b.dropped[sessionRecord{p, number}] = true
		}
	}
	cfg := b.config("a")
	cfg.Start = eos.StartLatest
	s := b.open(cfg)
	polled := make(chan eos.Batch, 1)
	go func() {
		batch, _ := s.Poll(t.Context())
		polled <- batch
	}()
	b.eventually("every partition has a committed offset", func() bool { return len(b.committed()) == sessionPartitions })
	require.Equal(t, b.inputs(10, 10, 10), b.committed())
	b.write(30)
	batch := <-polled
	tooBig := &kgo.Record{Topic: b.out, Value: make([]byte, 4<<20)}
	var e *eos.Error
	require.ErrorAs(t, s.Commit(t.Context(), batch, slices.Values([]*kgo.Record{tooBig})), &e)
	require.Equal(t, eos.Aborted, e.Outcome)
	require.Empty(t, b.copy(s, 30))
	b.requireOnce()
}

// Records of aborted transactions on the input are not processed, and those of an open one wait until it is decided. The
// group's offsets pass over the markers, so that nothing lags.
func TestSessionAbortedInput(t *testing.T) {
	b := newSessionBench(t)
	upstream := b.producer("-upstream")
	transact := func(commit bool) {
		require.NoError(t, upstream.BeginTransaction())
		for p := range int32(sessionPartitions) {
			r := b.next(p, 0)
			if !commit {
				r.Value = fmt.Append(nil, "aborted ", string(r.Value))
				b.written[p]--
			}
			require.NoError(t, upstream.ProduceSync(t.Context(), r).FirstErr())
		}
		require.NoError(t, upstream.EndTransaction(t.Context(), kgo.TransactionEndTry(commit)))
	}
	for i := range 10 {
		transact(i%2 == 0)
	}
	w := b.work(b.open(b.config("a")))
	b.requireOnce()

	transact(false) // markers alone, while it runs
	b.requireOnce()

	require.NoError(t, upstream.BeginTransaction())
	require.NoError(t, upstream.ProduceSync(t.Context(), b.next(0, 0)).FirstErr())
	b.write(30)
	open := b.stable(b.in)
	require.False(t, open.Equal(b.ends(b.in)))
	b.eventually("what is before the open transaction is processed", func() bool { return b.committed().Equal(open) })
	require.NoError(t, upstream.EndTransaction(t.Context(), kgo.TryCommit))
	b.requireOnce()
	require.Empty(t, w.stop(t))
}
