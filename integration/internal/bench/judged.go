package bench

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/trace"
	"github.com/eos-pipe/eos-pipe/validator"
)

// RequireJudged requires that the validator of that version of Kafka ("": the newest) finds nothing in the trace, and that a fault anywhere in it would have been: a gap in a sequence, and a
// commit or a batch of an epoch that is past. On a busy machine so many answers may be missing at once that a trace cannot be
// followed to its end; then a fault need not be found in it.
func RequireJudged(t *testing.T, kafka string, events []trace.Event) {
	t.Helper()
	judge := func(events []trace.Event) (findings []validator.Finding) {
		v, err := validator.New(validator.Config{Kafka: kafka, IgnoresContents: true})
		require.NoError(t, err)
		for _, e := range events {
			findings = append(findings, v.Observe(e)...)
		}
		return findings
	}
	for _, f := range judge(events) {
		require.Equal(t, validator.Undecided, f.Class, "%v", f)
		t.Logf("more answers were missing at once than can be followed; nothing is planted: %v", f)
		return
	}
	planted := 0
	for i := len(events) - 1; i >= 0; i -= max(5, len(events)/4) { // some of them, from the end, where it is hardest
		for ; i >= 0; i-- {
			if changed := plant(events, i); changed != nil {
				require.NotEmpty(t, judge(changed), "a fault is not found in event %d: %s", i, changed[i])
				planted++
				break
			}
		}
	}
	require.Greater(t, planted, 2)
}

// plant returns the events with a fault in that one; nil if it is not of a kind that can have one.
func plant(events []trace.Event, at int) []trace.Event {
	changed := slices.Clone(events)
	switch e := events[at].(type) {
	case trace.Produce:
		if e.Code != trace.None {
			return nil
		}
		e.BaseSequence++
		changed[at] = e
		return changed
	case trace.EndTxn:
		if e.Code != trace.None || e.Producer.Epoch < 2 {
			return nil
		}
		e.Producer.Epoch -= 2
		changed[at] = e
		return changed
	}
	return nil
}
