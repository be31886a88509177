package model_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/internal/broker/script"
)

// The scripts are worth something: for every bug that can be planted, at least one of them gets another answer. With no bug
// none does.
func TestScriptsFindPlantedBugs(t *testing.T) {
	t.Parallel()
	scripts := readScripts(t)
	require.Empty(t, differing(t, scripts, model.DefaultRules()))
	for _, bug := range model.Bugs() {
		found := differing(t, scripts, model.DefaultRules().WithBug(bug))
		require.NotEmpty(t, found, "no script notices %s", bug)
	}
}

// Every bug has a name of its own, by which it can be asked for.
func TestBugNames(t *testing.T) {
	t.Parallel()
	require.GreaterOrEqual(t, len(model.Bugs()), 15)
	for _, bug := range model.Bugs() {
		parsed, ok := model.ParseBug(bug.String())
		require.True(t, ok, bug)
		require.Equal(t, bug, parsed)
	}
	require.Equal(t, "window-of-four,no-wrap", (model.BugWindowOfFour | model.BugNoWrap).String())
}

// block is one block of a script with the answers in the file.
type block struct{ kind, input, want string }

// readScripts reads all scripts. Those that need epochs by the ten thousand are left out, to be quick; so bugs of exhaustion
// are looked for with the one that has them, once.
func readScripts(t *testing.T) map[string][]block {
	t.Helper()
	paths, err := filepath.Glob("testdata/t*/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	scripts := map[string][]block{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		scripts[path] = parseBlocks(string(text))
	}
	return scripts
}

func parseBlocks(text string) []block {
	var blocks []block
	for part := range strings.SplitSeq(text, "\n\n") {
		var lines []string
		for line := range strings.Lines(strings.TrimLeft(part, "\n")) {
			if !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
		if len(lines) < 2 {
			continue
		}
		input, want, _ := strings.Cut(strings.Join(lines[1:], ""), "----")
		blocks = append(blocks, block{strings.TrimSpace(lines[0]), input, strings.TrimSpace(want)})
	}
	return blocks
}

// differing returns the scripts that get another answer than the file has.
func differing(t *testing.T, scripts map[string][]block, rules model.Rules) []string {
	t.Helper()
	var found []string
	for path, blocks := range scripts {
		r := script.NewRunner(script.NewModel(rules, topic), topic)
		for _, b := range blocks {
			out, ok, err := r.Run(b.kind, b.input)
			if err != nil || !ok || strings.TrimSpace(out) != b.want {
				found = append(found, path)
				break
			}
		}
	}
	return found
}

// notByHistory lists the bugs that random histories do not meet, with what it would take; scripts find them.
var notByHistory = map[model.Bug]string{
	model.BugNoTimeout:                "a time-out that has not come yet cannot be told from one that never comes",
	model.BugMarkerEpochUnchecked:     "all markers come from the coordinator, whose epochs are right",
	model.BugMarkerCoordinatorIgnored: "likewise",
	model.BugStableBeforeReplicated:   "one replica: a marker is replicated as soon as it is written",
	model.BugEpochOverflow:            "32766 epochs",
	model.BugGenerationUnchecked:      "no group metadata",
	model.BugOpenProducerExpires:      "a day",
	model.BugExpiryByBrokerTime:       "a day",
}

// The validator is worth something: it judges histories of a broker with a planted bug by the rules without, and finds every
// bug that such histories can show.
func TestValidatorFindsPlantedBugs(t *testing.T) {
	t.Parallel()
	for _, bug := range model.Bugs() {
		if notByHistory[bug] != "" {
			continue
		}
		isFound := false
		for seed := 0; seed < 3000 && !isFound; seed++ {
			isFound = rapid.Custom(func(t *rapid.T) bool { return hasFinding(t, bug) }).Example(seed)
		}
		assert.True(t, isFound, "no history shows %s", bug)
	}
}

// hasFinding runs a history of a broker with the bug, without lost answers.
func hasFinding(t *rapid.T, bug model.Bug) bool {
	h := newHistory(model.DefaultRules().WithBug(bug))
	v := model.NewValidator(model.ValidatorConfig{Rules: model.DefaultRules(), HasSteps: true})
	for range 60 {
		for _, f := range v.Observe(h.next(t)) {
			if f.Class() != model.ClassSentTwice && f.Class() != model.ClassUndecided {
				return true
			}
		}
	}
	return false
}
