package sim_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/internal/sim"
)

// planted lists the bugs that the simulator finds, with the first seed under the default faults that does, and by what: by a promise that
// is broken, or, where the application is safe all the same, by the validator that looks at every answer.
var planted = []struct {
	bug  model.Bug
	seed uint64
	kind sim.FindingKind
}{
	{model.BugWindowOfFour, 9, sim.Refused},
	{model.BugNoDuplicateCheck, 0, sim.Refused},
	{model.BugDuplicateAppended, 0, sim.Doubled},
	{model.BugGapAccepted, 0, sim.Doubled},
	{model.BugImplicitAddForgotten, 0, sim.Lost},
	{model.BugMarkerIgnored, 0, sim.Lost},
	{model.BugStableOffsetAhead, 0, sim.Torn},
	{model.BugAbortNotListed, 0, sim.Doubled},
	{model.BugAbortListedAsCommit, 0, sim.Lost},
	{model.BugEndWithoutBump, 0, sim.Lost},
	{model.BugInitKeepsTransaction, 0, sim.Lost},
	{model.BugPendingIgnored, 117, sim.Lost},
	{model.BugReloadForgets, 0, sim.Lost},
	{model.BugOffsetsVisibleEarly, 0, sim.Lost},
	{model.BugUnstableIgnored, 8, sim.Doubled},
	{model.BugAbortCommitsOffsets, 0, sim.Lost},
	{model.BugGenerationUnchecked, 0, sim.Doubled},
	{model.BugDuplicateOffset, 0, sim.Protocol},
	{model.BugNoEpochCheck, 0, sim.Protocol},
	{model.BugMarkerKeepsEpoch, 8, sim.Protocol},
	{model.BugEndRetryFenced, 0, sim.Protocol},
	{model.BugInitWithoutBump, 0, sim.Protocol},
}

func withBug(seed uint64, bug model.Bug, isValidated bool) sim.Config {
	return sim.Config{Seed: seed, Faults: sim.DefaultFaults(), IsValidated: isValidated, Rules: model.DefaultRules().WithBug(bug)}
}

// The simulator is worth something: it finds planted bugs. Each is looked for at the seed that is known to show it;
// TestPlantedBugsFromTheFirstSeed looks for that seed.
func TestPlantedBugs(t *testing.T) {
	t.Parallel()
	require.GreaterOrEqual(t, len(planted), 15)
	for _, p := range planted {
		r := run(t, withBug(p.seed, p.bug, p.kind == sim.Protocol))
		require.True(t, r.Has(p.kind), "%s, seed %d: %v", p.bug, p.seed, r.Findings)
	}
}

// The table of docs/simulation.md has these bugs, seeds and findings.
func TestTableOfPlantedBugs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/simulation.md")
	require.NoError(t, err)
	for _, p := range planted {
		require.Contains(t, string(text), fmt.Sprintf("| `%s` | %d | %s |", p.bug, p.seed, p.kind))
	}
}

// With EOS_SIM_BUGS=1 every bug of the model is looked for from seed 0 to 999, which takes ten minutes, and the table is
// printed. Without, only whether the seeds before the known one find nothing, for the bugs that are found late.
func TestPlantedBugsFromTheFirstSeed(t *testing.T) {
	t.Parallel()
	if os.Getenv("EOS_SIM_BUGS") == "" {
		for _, p := range planted {
			for seed := range min(p.seed, 20) {
				require.Empty(t, run(t, withBug(seed, p.bug, p.kind == sim.Protocol)).Findings, "%s, seed %d", p.bug, seed)
			}
		}
		return
	}
	var table strings.Builder
	for _, bug := range model.Bugs() {
		r := firstFinding(t, bug, 1000, false)
		if r == nil {
			r = firstFinding(t, bug, 100, true)
		}
		if r != nil {
			fmt.Fprintf(&table, "| `%s` | %d | %s |\n", bug, r.Config.Seed, r.Findings[0].Kind)
		} else {
			fmt.Fprintf(&table, "| `%s` | – | – |\n", bug)
		}
	}
	t.Logf("\n%s", table.String())
	for _, p := range planted {
		require.Contains(t, table.String(), fmt.Sprintf("| `%s` | %d | %s |", p.bug, p.seed, p.kind))
	}
}

func firstFinding(t *testing.T, bug model.Bug, seeds uint64, isValidated bool) *sim.Result {
	t.Helper()
	for seed := range seeds {
		if r := run(t, withBug(seed, bug, isValidated)); len(r.Findings) > 0 {
			return r
		}
	}
	return nil
}
