package eos_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// requireOutcome fails unless err is an *eos.Error with that outcome, whose cause is that.
func requireOutcome(t *testing.T, want eos.Outcome, cause, err error) {
	t.Helper()
	require.ErrorIs(t, err, cause)
	var e *eos.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, want, e.Outcome, "%v", err)
	if want == eos.NotAttempted && e.Op == "commit" {
		require.ErrorContains(t, err, "nothing was done, and the batch is what it was")
	}
}

// A call that is refused says that nothing was done, and never that a batch is aborted: a second Commit of a batch, a Commit of one that
// was given back, or that Poll has not handed out. The batch that is out stays so, and every record comes out once.
func TestMisuseChangesNothing(t *testing.T) {
	b := setup(t)
	b.produce(90)
	cfg := b.config()
	cfg.MaxRecords = 30
	s := b.open(cfg)
	commit := func(batch eos.Batch) error { return s.Commit(t.Context(), batch, copyOf(batch)) }
	requireOutcome(t, eos.NotAttempted, eos.ErrMisuse, commit(eos.Batch{}))
	first, err := s.Poll(t.Context())
	require.NoError(t, err)
	second, err := s.Poll(t.Context()) // gives the first back
	require.NoError(t, err)
	requireOutcome(t, eos.NotAttempted, eos.ErrMisuse, commit(first))
	requireOutcome(t, eos.NotAttempted, eos.ErrMisuse, commit(eos.Batch{}))
	require.NoError(t, commit(second), "it was out all the while")
	requireOutcome(t, eos.NotAttempted, eos.ErrMisuse, commit(second)) // it is committed, and not aborted
	ctx, cancel := context.WithCancel(t.Context())
	third, err := s.Poll(ctx)
	require.NoError(t, err)
	requireOutcome(t, eos.NotAttempted, eos.ErrMisuse, commit(second))
	cancel()
	_, err = s.Poll(ctx) // gives the third back
	require.ErrorIs(t, err, context.Canceled)
	requireOutcome(t, eos.NotAttempted, eos.ErrMisuse, commit(third))
	require.Empty(t, run(t, s, 90-len(second.Records)))
	b.requireOnce(90)
}

// Calls that overlap a Commit are refused, and say nothing of its batch: what becomes of that, the Commit says.
func TestOverlappingCallsChangeNothing(t *testing.T) {
	b := setup(t)
	b.produce(30)
	cfg, tap := b.tapped()
	s := b.open(cfg)
	batch, err := s.Poll(t.Context())
	require.NoError(t, err)
	held := tap.Hold(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.HoldReply})
	done := make(chan error)
	go func() { done <- s.Commit(t.Context(), batch, copyOf(batch)) }()
	<-held.Reached() // it is committed, and the answer on its way
	_, err = s.Poll(t.Context())
	requireOutcome(t, eos.NotAttempted, eos.ErrMisuse, err)
	requireOutcome(t, eos.NotAttempted, eos.ErrMisuse, s.Commit(t.Context(), batch, copyOf(batch)))
	requireOutcome(t, eos.NotAttempted, eos.ErrMisuse, s.Close(t.Context()))
	held.Release()
	require.NoError(t, <-done)
	requireOutcome(t, eos.NotAttempted, eos.ErrMisuse, s.Commit(t.Context(), batch, copyOf(batch)))
	require.Empty(t, run(t, s, 30-len(batch.Records)))
	b.requireOnce(30)
}

// After Close, the batch that was out is aborted, and one that was committed is not.
func TestCommitAfterClose(t *testing.T) {
	b := setup(t)
	b.produce(90)
	cfg := b.config()
	cfg.MaxRecords = 30
	s := b.open(cfg)
	committed, err := s.Poll(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), committed, copyOf(committed)))
	out, err := s.Poll(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Close(t.Context()))
	requireOutcome(t, eos.NotAttempted, eos.ErrClosed, s.Commit(t.Context(), committed, copyOf(committed)))
	requireOutcome(t, eos.Aborted, eos.ErrClosed, s.Commit(t.Context(), out, copyOf(out)))
	s = b.open(cfg)
	require.Empty(t, run(t, s, 90-len(committed.Records)))
	require.NoError(t, s.Close(t.Context()))
	_, err = s.Poll(t.Context())
	requireOutcome(t, eos.NotAttempted, eos.ErrClosed, err) // no batch was out
	b.requireOnce(90)
}
