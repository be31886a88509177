package eostest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/eos-pipe/eos-pipe/trace"
)

// maxReported is how many findings are told; what follows the first ones mostly comes of them.
const maxReported = 5

// report judges what was seen and fails the test with what is wrong, each with the events around it.
func (w *Watcher) report() {
	w.t.Helper()
	items, verdict := arrange(w.items(), w.config)
	findings := verdict.findings
	if verdict.undecided != "" {
		w.t.Logf("eostest: what comes after this is not judged, since too many answers are missing: %s", verdict.undecided)
	}
	if len(findings) == 0 {
		return
	}
	w.keep(withTime(items))
	for _, f := range findings[:min(len(findings), maxReported)] {
		w.t.Errorf("eostest: %s: expected %s; rule: %s [%s]\n%s", f.finding.Class, f.finding.Expected, f.finding.Rule, f.finding.Source,
			excerpt(items, f.item, w.config.around))
	}
	if more := len(findings) - maxReported; more > 0 {
		w.t.Logf("eostest: %d more findings follow, which may come of these", more)
	}
}

// keep writes the trace to a file among the test's artifacts.
func (w *Watcher) keep(events []trace.Event) {
	w.t.Helper()
	path := filepath.Join(w.t.ArtifactDir(), "eostest.trace")
	var text strings.Builder
	for _, e := range events {
		text.WriteString(e.String())
		text.WriteByte('\n')
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		w.t.Logf("eostest: the trace is not kept: %v", err)
		return
	}
	w.t.Logf("eostest: all %d events are in %s, which go test -artifacts keeps and eos-pipe validate reads", len(events), path)
}

// excerpt shows the events around one of them, which has a mark.
func excerpt(items []item, at, around int) string {
	var text strings.Builder
	for i := max(at-around, 0); i < min(at+around+1, len(items)); i++ {
		mark := "   "
		if i == at {
			mark = "-> "
		}
		fmt.Fprintf(&text, "\t%s%s\n", mark, items[i].event)
	}
	return strings.TrimSuffix(text.String(), "\n")
}
