package model_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// The files in testdata/validator are traces with what the validator finds in them. A block "validate" is one trace; its
// arguments are "log" (the trace is of logs), "steps" (markers are in it), "midway" (the cluster is in use) and worlds=N. Under the findings stands how many
// worlds are left. For each class of findings there is a trace that has it and one that just does not.
func TestValidator(t *testing.T) {
	t.Parallel()
	seen := map[model.Class]bool{}
	datadriven.Walk(t, "testdata/validator", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			v := model.NewValidator(configOf(t, d))
			var out strings.Builder
			for e, err := range trace.Read(strings.NewReader(d.Input)) {
				require.NoError(t, err, d.Pos)
				for _, f := range v.Observe(e) {
					seen[f.Class()] = true
					fmt.Fprintln(&out, findingText(f))
				}
			}
			fmt.Fprintf(&out, "worlds: %d\n", v.Worlds())
			return out.String()
		})
	})
	for _, c := range model.Classes() {
		require.True(t, seen[c], "no trace has a finding of class %q", c)
	}
}

func configOf(t *testing.T, d *datadriven.TestData) model.ValidatorConfig {
	require.Equal(t, "validate", d.Cmd, d.Pos)
	c := model.ValidatorConfig{Rules: model.DefaultRules(), HasSteps: d.HasArg("steps"), IsMidway: d.HasArg("midway")}
	if d.HasArg("log") {
		c.Scope = model.ScopeLog
	}
	d.MaybeScanArgs(t, "worlds", &c.MaxWorlds)
	return c
}

func findingText(f model.Finding) string {
	doubt := ""
	if !f.IsCertain {
		doubt = " (in doubt)"
	}
	return fmt.Sprintf("%d: %s%s: expected %s\n   rule: %s [%s]", f.Index, f.Class(), doubt, f.Expected, f.Reason, f.Reason.Source())
}
