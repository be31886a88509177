package generate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/internal/broker/script/generate"
)

// The same seed gives the same history, and the model answers it as it did while it was drawn.
func TestHistoryRepeats(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		lines := generate.History(seed, model.DefaultRules())
		require.Equal(t, lines, generate.History(seed, model.DefaultRules()))
		answers := generate.Expect(model.DefaultRules(), lines)
		require.Len(t, answers, len(lines))
		require.NotContains(t, answers[len(answers)-1], "failed")
		require.Equal(t, -1, generate.Diverge(answers, answers))
	}
}

// unseen are the planted bugs that no history can show, and why.
var unseen = map[model.Bug]string{
	model.BugMarkerCoordinatorIgnored: "there is one coordinator, and no markers written by hand",
	model.BugStableBeforeReplicated:   "a broker without followers replicates at once",
	model.BugNoTimeout:                "histories do not wait",
	model.BugReloadForgets:            "nothing is restarted",
	model.BugOpenProducerExpires:      "histories do not wait",
	model.BugExpiryByBrokerTime:       "histories do not wait",
}

// A check that finds nothing is checked: 200 histories show each rule that is switched off in the broker that is asked,
// but for those that need what histories do not do.
func TestHistoriesShowBugs(t *testing.T) {
	t.Parallel()
	const histories = 200
	rules := model.DefaultRules()
	var lines, answers [histories][]string
	for seed := range lines {
		lines[seed] = generate.History(uint64(seed), rules)
		answers[seed] = generate.Expect(rules, lines[seed])
	}
	for _, bug := range model.Bugs() {
		if _, isUnseen := unseen[bug]; isUnseen {
			continue
		}
		seen := false
		for seed := range lines {
			if seen = generate.Diverge(answers[seed], generate.Expect(rules.WithBug(bug), lines[seed])) >= 0; seen {
				break
			}
		}
		require.True(t, seen, "%v is planted, and %d histories do not show it", bug, histories)
	}
}

// A history that diverges is cut down to what makes it diverge.
func TestShrink(t *testing.T) {
	t.Parallel()
	rules := model.DefaultRules()
	diverges := func(lines []string) bool {
		return generate.Diverge(generate.Expect(rules, lines), generate.Expect(rules.WithBug(model.BugDuplicateOffset), lines)) >= 0
	}
	seed := uint64(0)
	for !diverges(generate.History(seed, rules)) {
		seed++
	}
	short := generate.Shrink(generate.History(seed, rules), 1000, diverges)
	require.True(t, diverges(short))
	require.LessOrEqual(t, len(short), 6, "%q", short)
	require.False(t, diverges(short[1:]), "no line is too much")
}
