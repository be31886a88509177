package eostest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/eos/eostest"
	"github.com/eos-pipe/eos-pipe/trace"
	"github.com/eos-pipe/eos-pipe/validator"
)

// What a watcher writes down of a session is enough to find a fault in every answer: each event is changed into one that no broker
// would have answered so, and each time the validator notices.
func TestEveryAnswerMatters(t *testing.T) {
	t.Parallel()
	_, addr := fake(t)
	s := &spy{TB: t}
	watch := eostest.Watch(s)
	copyAll(t, addr, watch, func() {})
	require.Empty(t, s.end())
	events := watch.Trace()
	require.Empty(t, judged(t, events))
	planted := map[string]int{}
	for i, e := range events {
		for what, wrong := range faultsIn(e) {
			changed := append(append(append([]trace.Event{}, events[:i]...), wrong), events[i+1:]...)
			require.NotEmpty(t, judged(t, changed), "%s is not found: %s", what, wrong)
			planted[what]++
		}
	}
	for _, what := range []string{"gap", "old epoch", "other epoch told", "refused", "commit of a fenced producer"} {
		require.Positive(t, planted[what], what)
	}
}

// faultsIn changes an event in all ways that must be noticed.
func faultsIn(e trace.Event) map[string]trace.Event {
	faults := map[string]trace.Event{}
	switch e := e.(type) {
	case trace.Produce:
		gap, old := e, e
		gap.BaseSequence++
		faults["gap"] = gap
		if old.Producer.Epoch > 0 {
			old.Producer.Epoch--
			faults["old epoch"] = old
		}
	case trace.EndTxn:
		told, refused, fenced := e, e, e
		told.Next.Epoch++
		faults["other epoch told"] = told
		refused.Code, refused.Next = trace.ProducerFenced, trace.NoProducer
		faults["refused"] = refused
		if fenced.Producer.Epoch > 0 {
			fenced.Producer.Epoch--
			faults["commit of a fenced producer"] = fenced
		}
	}
	return faults
}

func judged(t *testing.T, events []trace.Event) (findings []validator.Finding) {
	v, err := validator.New(validator.Config{IgnoresContents: true})
	require.NoError(t, err)
	for _, e := range events {
		findings = append(findings, v.Observe(e)...)
	}
	return findings
}
