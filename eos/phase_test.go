package eos

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Every event in every phase: the legal transitions are exactly these, and any other event leaves the phase as it is.
func TestPhaseTransitions(t *testing.T) {
	t.Parallel()
	type step struct {
		from phase
		on   event
	}
	legal := map[step]phase{
		{phaseOpen, endSent}:                phaseEnding,
		{phaseOpen, coordinatorAborted}:     phaseAborted,
		{phaseOpen, clientAbandoned}:        phaseAbandoned,
		{phaseAbandoned, clientClosed}:      phaseSureToAbort,
		{phaseEnding, coordinatorCommitted}: phaseCommitted,
		{phaseEnding, coordinatorAborted}:   phaseAborted,
		{phaseEnding, offsetsCommitted}:     phaseFoundCommitted,
		{phaseEnding, offsetsAborted}:       phaseFoundAborted,
		{phaseEnding, offsetsUnclear}:       phaseUnclear,
	}
	for from := phaseOpen; from <= phaseUnclear; from++ {
		for on := endSent; on <= offsetsUnclear; on++ {
			want, ok := legal[step{from, on}]
			if !ok {
				want = from
			}
			require.Equal(t, want, from.after(on), "phase %d, event %d", from, on)
		}
	}
}

// What is known in each phase. No event changes an outcome that is certain, and only phaseEnding leads to a commit.
func TestPhaseOutcomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		phase        phase
		outcome      Outcome
		over, offset bool
	}{
		{phaseOpen, Unknown, false, true},
		{phaseEnding, Unknown, false, true},
		{phaseAbandoned, Unknown, false, true},
		{phaseSureToAbort, Aborted, false, false},
		{phaseCommitted, Committed, true, false},
		{phaseAborted, Aborted, true, false},
		{phaseFoundCommitted, Committed, false, false},
		{phaseFoundAborted, Aborted, false, false},
		{phaseUnclear, Unknown, false, false},
	} {
		require.Equal(t, c.outcome, c.phase.outcome(), "phase %d", c.phase)
		require.Equal(t, c.over, c.phase.isOver(), "phase %d", c.phase)
		require.Equal(t, c.offset, c.phase.needsOffsets(), "phase %d", c.phase)
		for on := endSent; on <= offsetsUnclear; on++ {
			next := c.phase.after(on)
			if c.outcome != Unknown {
				require.Equal(t, c.phase, next, "phase %d, event %d", c.phase, on)
			}
			if next.outcome() == Committed {
				require.Contains(t, []phase{phaseEnding, phaseCommitted, phaseFoundCommitted}, c.phase)
			}
		}
	}
}

// What the brokers say becomes the event of that name.
func TestPhaseEvents(t *testing.T) {
	t.Parallel()
	require.Equal(t, phaseCommitted, phaseEnding.after(coordinatorSays(Committed)))
	require.Equal(t, phaseAborted, phaseEnding.after(coordinatorSays(Aborted)))
	require.Equal(t, phaseFoundCommitted, phaseEnding.after(offsetsSay(Committed)))
	require.Equal(t, phaseFoundAborted, phaseEnding.after(offsetsSay(Aborted)))
	require.Equal(t, phaseUnclear, phaseEnding.after(offsetsSay(Unknown)))
}
