package monitor

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/eos"
)

// documented are the rows of the tables in docs/monitoring.md whose first cell is code: the cells, without the code marks.
func documented(t *testing.T) [][]string {
	t.Helper()
	text, err := os.ReadFile("../docs/monitoring.md")
	require.NoError(t, err)
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(cells[i]), "`", "")
		}
		rows = append(rows, cells)
	}
	return rows
}

// clientMetrics are kprom's metrics as rows.
func clientMetrics(t *testing.T) [][]string {
	t.Helper()
	registry := prometheus.NewRegistry()
	newClientHooks(registry)
	ch := make(chan *prometheus.Desc, 100)
	registry.Describe(ch)
	close(ch)
	form := regexp.MustCompile(`fqName: "([^"]*)", help: "(.*)", unit: "[^"]*", constLabels: {}, variableLabels: {([^}]*)}`)
	var rows [][]string
	for desc := range ch {
		m := form.FindStringSubmatch(desc.String())
		require.NotNil(t, m, desc.String())
		kind := counter
		if strings.HasSuffix(m[1], "_seconds") {
			kind = histogram
		}
		labels := strings.Split(m[3], ",") // kprom makes them of a map
		slices.Sort(labels)
		rows = append(rows, []string{m[1], kind, strings.Join(labels, ", "), m[2]})
	}
	slices.SortFunc(rows, slices.Compare)
	return rows
}

// Every metric has its line in docs/monitoring.md, with type, labels and help, and there is no line for another one.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	var want [][]string
	for _, m := range metrics {
		want = append(want, []string{m.name, m.kind, strings.Join(m.labels, ", "), m.help})
	}
	want = append(want, clientMetrics(t)...)
	var got [][]string
	for _, row := range documented(t) {
		if strings.HasPrefix(row[0], "eos_pipe_") {
			got = append(got, row)
		}
	}
	for i := range min(len(want), len(got)) {
		require.Equal(t, strings.Join(want[i], " | "), strings.Join(got[i], " | "))
	}
	require.Len(t, got, len(want))
}

// The values of bounded labels stand in the documentation: causes, outcomes, phases and states.
func TestLabelsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/monitoring.md")
	require.NoError(t, err)
	rows := map[string]bool{}
	for _, row := range documented(t) {
		rows[row[0]] = true
	}
	for _, c := range eos.Causes() {
		require.True(t, rows[string(c)], "cause %s", c)
	}
	for s := eos.Starting; s <= eos.Stopped; s++ {
		require.Contains(t, string(text), "`"+s.String()+"`")
	}
}

// Names and helps follow Prometheus' conventions.
func TestMetricsLint(t *testing.T) {
	t.Parallel()
	m := New(Config{})
	m.state.lane(m.state.started, "a")
	problems, err := testutil.GatherAndLint(m.registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}

// Every metric that the dashboard asks for exists, its expressions name only labels that the metric has, and it asks for most of them.
func TestDashboard(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docker/grafana/eos-pipe.json")
	require.NoError(t, err)
	require.True(t, json.Valid(text))
	labels := map[string][]string{}
	for _, m := range metrics {
		labels[m.name] = m.labels
	}
	for _, row := range clientMetrics(t) {
		labels[row[0]] = strings.Split(row[2], ", ")
	}
	used := map[string]bool{}
	for _, expr := range expressions(t, text) {
		names := regexp.MustCompile(`\beos_pipe_[a-z0-9_]+`).FindAllString(expr, -1)
		require.NotEmpty(t, names, expr)
		allowed := []string{"job", "instance", "le"}
		for _, name := range names {
			base := name
			if _, ok := labels[base]; !ok {
				base = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			}
			require.Contains(t, labels, base, "%s in %s", name, expr)
			used[base] = true
			allowed = append(allowed, labels[base]...)
		}
		for _, m := range regexp.MustCompile(`\bby \(([^)]*)\)`).FindAllStringSubmatch(expr, -1) {
			for by := range strings.SplitSeq(m[1], ",") {
				require.Contains(t, allowed, strings.TrimSpace(by), expr)
			}
		}
		for _, m := range regexp.MustCompile(`[{,]\s*([a-z_]+)=`).FindAllStringSubmatch(expr, -1) {
			require.Contains(t, allowed, m[1], expr)
		}
	}
	for _, m := range metrics {
		require.True(t, used[m.name], "%s is on no panel", m.name)
	}
}

// expressions are what a dashboard asks Prometheus: the values of all fields "expr", however deep, and the queries of variables.
func expressions(t *testing.T, text []byte) []string {
	t.Helper()
	var root any
	require.NoError(t, json.Unmarshal(text, &root))
	var found []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				if expr, ok := inner.(string); ok && (name == "expr" || name == "query" && strings.HasPrefix(expr, "label_values(")) {
					found = append(found, expr)
				}
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(root)
	return found
}

// Every key of the log has its line in docs/monitoring.md, and there is no line for another one.
func TestLogKeysAreDocumented(t *testing.T) {
	t.Parallel()
	used := map[string]string{}
	for _, dir := range []string{"../eos", "../processor", "../security", "../internal/replay", ".", "../cmd/eos-pipe"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				maps.Copy(used, logKeys(t, file))
			}
		}
	}
	text, err := os.ReadFile("../docs/monitoring.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), "\n## The log\n")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n## ")
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").FindAllStringSubmatch(section, -1) {
		for key := range strings.SplitSeq(m[1], ", ") {
			listed[strings.Trim(key, "`")] = true
		}
	}
	for key, at := range used {
		require.True(t, listed[key], "%s logs the key %s, which is not documented", at, key)
	}
	for key := range listed {
		require.Contains(t, used, key, "documented, and logged by nobody")
	}
}

// logKeys are the keys in a file's calls of a logger, with where they are.
func logKeys(t *testing.T, file string) map[string]string {
	t.Helper()
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, 0)
	require.NoError(t, err)
	before := map[string]int{"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "Log": 3, "With": 0} // arguments before the first key
	keys := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		first, ok := before[method.Sel.Name]
		if from, isName := method.X.(*ast.Ident); !ok || isName && from.Name == "http" {
			return true
		}
		for i := first; i+1 < len(call.Args); i += 2 {
			if lit, ok := call.Args[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				key, _ := strconv.Unquote(lit.Value)
				keys[key] = set.Position(lit.Pos()).String()
			}
		}
		return true
	})
	return keys
}
