package layers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the folder of the module.
func root(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// allTests are the names of all tests and fuzz tests of the module.
func allTests(t *testing.T) map[string]bool {
	t.Helper()
	tests := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(root(t), func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, m := range function.FindAllSubmatch(code, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	require.NoError(t, err)
	return tests
}

var namedTest = regexp.MustCompile("`((?:Test|Fuzz)\\w+)(?:/[^`]*)?`")

// Every test that docs/guarantees.md, docs/faults.md, docs/franz-go.md and docs/neighbours.md name as the proof of a claim exists.
func TestClaimsNameTests(t *testing.T) {
	tests := allTests(t)
	for _, doc := range []string{"guarantees.md", "faults.md", "franz-go.md", "neighbours.md"} {
		text, err := os.ReadFile(filepath.Join(root(t), "docs", doc))
		require.NoError(t, err)
		named := namedTest.FindAllSubmatch(text, -1)
		require.NotEmpty(t, named)
		for _, m := range named {
			require.True(t, tests[string(m[1])], "docs/%s names %s, which does not exist", doc, m[1])
		}
	}
}

// The map of faults is complete.
func TestFaultMap(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "faults.md"))
	require.NoError(t, err)
	require.Empty(t, flawsOfFaultMap(string(text)))
}

// What is wrong with a map of faults is found: a line that is missing, twice, shows nothing, or is open without a reason.
func TestFaultMapFinds(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "faults.md"))
	require.NoError(t, err)
	lines := strings.SplitAfter(string(text), "\n")
	changed := func(change func(line string) string) string {
		var b strings.Builder
		for _, line := range lines {
			if strings.HasPrefix(line, "| F07 ") {
				line = change(line)
			}
			b.WriteString(line)
		}
		return b.String()
	}
	for _, c := range []struct {
		want   string
		change func(string) string
	}{
		{"F07 is there 0 times", func(string) string { return "" }},
		{"F07 is there 2 times", func(line string) string { return line + line }},
		{"F07 has neither a test nor a reason", func(string) string { return "| F07 | lost | goes on | K | T3 |\n" }},
		{"F07 is open without a reason", func(string) string { return "| F07 | lost | open: | | |\n" }},
		{"F07 has no tier", func(string) string { return "| F07 | lost | goes on | K `TestX` | |\n" }},
		{"F07 has 4 cells", func(string) string { return "| F07 | lost | K `TestX` | T3 |\n" }},
	} {
		require.Contains(t, flawsOfFaultMap(changed(c.change)), c.want)
	}
}

// flawsOfFaultMap says what is wrong with the map: each of F01 to F48 has one row, of five cells, with a test and its tier,
// or with "open:" and a reason.
func flawsOfFaultMap(text string) (flaws []string) {
	const faults = 48
	rows := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (F\d\d) (\|.*)\|$`).FindAllStringSubmatch(text, -1) {
		rows[m[1]] = append(rows[m[1]], m[2])
	}
	open, tier := regexp.MustCompile(`open:([^|;]*)`), regexp.MustCompile(`T[123]`)
	for n := 1; n <= faults; n++ {
		id := fmt.Sprintf("F%02d", n)
		if len(rows[id]) != 1 {
			flaws = append(flaws, fmt.Sprintf("%s is there %d times", id, len(rows[id])))
			continue
		}
		row := rows[id][0]
		cells := strings.Split(row, "|")
		reasons := open.FindAllStringSubmatch(row, -1)
		switch tested := namedTest.MatchString(row); {
		case len(cells) != 5: // the first is empty: fault, then what happens, what the pipe does, tests, tier
			flaws = append(flaws, fmt.Sprintf("%s has %d cells", id, len(cells)))
		case !tested && len(reasons) == 0:
			flaws = append(flaws, id+" has neither a test nor a reason")
		case tested && !tier.MatchString(cells[4]):
			flaws = append(flaws, id+" has no tier")
		}
		for _, r := range reasons {
			if len(strings.Fields(r[1])) < 2 {
				flaws = append(flaws, id+" is open without a reason")
			}
		}
	}
	if len(rows) > faults {
		flaws = append(flaws, fmt.Sprintf("there are %d faults", len(rows)))
	}
	return flaws
}
