package session

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
)

// Every partition has a committed offset before any of its records is handed out: the log's start, which need not be 0.
// Going back before the first commit goes there, and no further.
func TestSessionCommitsWhereItStarts(t *testing.T) {
	b := bench.New(t)
	b.Write(30)
	deleteRecords(b, 1, 4)
	for number := range int64(4) {
		b.Dropped[bench.Record{Partition: 1, Number: number}] = true
	}
	s := b.Open(b.Config("a"))
	b.Poll(s)
	require.Equal(t, b.Inputs(0, 4, 0), b.Committed())
	require.Empty(t, b.Copy(s, 26), "what was polled is given back, and comes again from the log's start")
	b.RequireOnce()
}

// A group that starts at the latest offset never sees an older record, not even after an abort before its first commit.
func TestSessionStartLatest(t *testing.T) {
	b := bench.New(t)
	b.Write(30)
	for p := range int32(bench.Partitions) {
		for number := range int64(10) {
			b.Dropped[bench.Record{Partition: p, Number: number}] = true
		}
	}
	cfg := b.Config("a")
	cfg.Start = eos.StartLatest
	s := b.Open(cfg)
	polled := make(chan eos.Batch, 1)
	go func() {
		batch, _ := s.Poll(t.Context())
		polled <- batch
	}()
	b.Eventually("every partition has a committed offset", func() bool { return len(b.Committed()) == bench.Partitions })
	require.Equal(t, b.Inputs(10, 10, 10), b.Committed())
	b.Write(30)
	batch := <-polled
	tooBig := &kgo.Record{Topic: b.Out, Value: make([]byte, 4<<20)}
	var e *eos.Error
	require.ErrorAs(t, s.Commit(t.Context(), batch, slices.Values([]*kgo.Record{tooBig})), &e)
	require.Equal(t, eos.Aborted, e.Outcome)
	require.Empty(t, b.Copy(s, 30))
	b.RequireOnce()
}

// Records of aborted transactions on the input are not processed, and those of an open one wait until it is decided. The
// group's offsets pass over the markers, so that nothing lags.
func TestSessionAbortedInput(t *testing.T) {
	b := bench.New(t)
	upstream := b.Producer("-upstream")
	transact := func(commit bool) {
		require.NoError(t, upstream.BeginTransaction())
		for p := range int32(bench.Partitions) {
			r := b.Next(p, 0)
			if !commit {
				r.Value = fmt.Append(nil, "aborted ", string(r.Value))
				b.Written[p]--
			}
			require.NoError(t, upstream.ProduceSync(t.Context(), r).FirstErr())
		}
		require.NoError(t, upstream.EndTransaction(t.Context(), kgo.TransactionEndTry(commit)))
	}
	for i := range 10 {
		transact(i%2 == 0)
	}
	w := b.Work(b.Open(b.Config("a")))
	b.RequireOnce()

	transact(false) // markers alone, while it runs
	b.RequireOnce()

	require.NoError(t, upstream.BeginTransaction())
	require.NoError(t, upstream.ProduceSync(t.Context(), b.Next(0, 0)).FirstErr())
	b.Write(30)
	open := b.Stable(b.In)
	require.False(t, open.Equal(b.Ends(b.In)))
	b.Eventually("what is before the open transaction is processed", func() bool { return b.Committed().Equal(open) })
	require.NoError(t, upstream.EndTransaction(t.Context(), kgo.TryCommit))
	b.RequireOnce()
	require.Empty(t, w.Stop(t))
}
