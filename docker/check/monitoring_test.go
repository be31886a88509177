package check

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/stretchr/testify/require"
)

const rulesFile = "../prometheus/eos-pipe.rules.yaml"

var promQL = parser.NewParser(parser.Options{})

// alerts are the alerting rules, read by Prometheus' own code.
func alerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(rulesFile, false, model.UTF8Validation, promQL, slog.New(slog.DiscardHandler))
	require.Empty(t, errs)
	require.Len(t, groups.Groups, 1)
	return groups.Groups[0].Rules
}

// monitoring is the text of docs/monitoring.md.
func monitoring(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/monitoring.md")
	require.NoError(t, err)
	return string(text)
}

// requireMetrics requires that an expression is one, and that docs/monitoring.md has each metric that it asks for.
func requireMetrics(t *testing.T, expr string) {
	t.Helper()
	parsed, err := promQL.ParseExpr(expr)
	require.NoError(t, err, expr)
	parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok && v.Name != "up" {
			base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(v.Name, "")
			if !strings.Contains(monitoring(t), "| `"+v.Name+"` |") {
				require.Contains(t, monitoring(t), "| `"+base+"` |", expr)
			}
		}
		return nil
	})
}

// Every alert asks for metrics that there are, says what it means, and has its line in docs/monitoring.md, which has no others.
func TestAlertsAreDocumented(t *testing.T) {
	var names []string
	for _, r := range alerts(t) {
		requireMetrics(t, r.Expr)
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		require.NotEmpty(t, r.Annotations["description"], r.Alert)
		require.Contains(t, []string{"critical", "warning"}, r.Labels["severity"], r.Alert)
		names = append(names, r.Alert)
	}
	var listed []string
	for _, m := range regexp.MustCompile(`(?m)^\| (EosPipe\w+) \|`).FindAllStringSubmatch(monitoring(t), -1) {
		listed = append(listed, m[1])
	}
	require.Equal(t, names, listed)
}

// What each alert sees of an hour in which it should be quiet and one in which it should not.
func TestAlertsFire(t *testing.T) {
	const lag = `{topic="orders", partition="3", instance="a"}`
	for _, c := range []struct{ alert, quiet, loud string }{
		{"EosPipeDown", `up{job="eos-pipe", instance="a"} 1x60`, `up{job="eos-pipe", instance="a"} 0x60`},
		{"EosPipeDown", `up{job="eos-pipe", instance="a"} 1x60`, `up{job="other", instance="a"} 1x60`},
		{"EosPipeStopped", `eos_pipe_healthy{instance="a"} 1x60`, `eos_pipe_healthy{instance="a"} 0x60`},
		{"EosPipeNotReady", `eos_pipe_ready{instance="a"} 1x60`, `eos_pipe_ready{instance="a"} 0x60`},
		// What can be read is being read, and nothing can be read though there is something.
		{
			"EosPipeInputHeldByATransaction",
			"eos_pipe_high_watermark_lag_records" + lag + " 900x60\n  eos_pipe_last_stable_offset_lag_records" + lag + " 900x60",
			"eos_pipe_high_watermark_lag_records" + lag + " 900x60\n  eos_pipe_last_stable_offset_lag_records" + lag + " 0x60",
		},
	} {
		at := slices.IndexFunc(alerts(t), func(r rulefmt.Rule) bool { return r.Alert == c.alert })
		require.GreaterOrEqual(t, at, 0, c.alert)
		expr := alerts(t)[at].Expr
		require.Empty(t, evaluate(t, expr, c.quiet), c.alert)
		require.Len(t, evaluate(t, expr, c.loud), 1, c.alert)
	}
}

// evaluate asks Prometheus' engine what an expression is half an hour into series of an hour, given in its own notation.
func evaluate(t *testing.T, expr, series string) promql.Vector {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 1m\n  "+series+"\n")
	defer storage.Close()
	engine := promqltest.NewTestEngine(t, false, 0, 10_000)
	query, err := engine.NewInstantQuery(context.Background(), storage, nil, expr, time.Unix(0, 0).Add(30*time.Minute))
	require.NoError(t, err)
	defer query.Close()
	vector, err := query.Exec(t.Context()).Vector()
	require.NoError(t, err)
	return vector
}

// Prometheus scrapes the instances that compose.yaml starts, under the job that the alerts ask for, and loads the alerts.
func TestPrometheusConfig(t *testing.T) {
	var config struct {
		Global struct {
			ScrapeInterval     model.Duration `json:"scrape_interval"`
			EvaluationInterval model.Duration `json:"evaluation_interval"`
		} `json:"global"`
		RuleFiles     []string `json:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string `json:"job_name"`
			StaticConfigs []struct {
				Targets []string `json:"targets"`
			} `json:"static_configs"`
		} `json:"scrape_configs"`
	}
	read(t, "../prometheus/prometheus.yaml", &config)
	require.Equal(t, []string{filepath.Base(rulesFile)}, config.RuleFiles)
	require.Len(t, config.ScrapeConfigs, 1)
	require.Equal(t, "eos-pipe", config.ScrapeConfigs[0].JobName)
	var targets []string
	for name := range pipes(project(t)) {
		targets = append(targets, name+":9404")
	}
	require.ElementsMatch(t, targets, config.ScrapeConfigs[0].StaticConfigs[0].Targets)

	prometheus := project(t).Services["prometheus"]
	require.Equal(t, []string{"--config.file=" + prometheus.Volumes[0].Target + "/prometheus.yaml"}, []string(prometheus.Command))
}

// Grafana finds Prometheus and the dashboard where compose.yaml puts them.
func TestGrafanaConfig(t *testing.T) {
	var sources struct {
		APIVersion  int `json:"apiVersion"`
		Datasources []struct {
			Name, Type, Access, URL string
			IsDefault               bool
		} `json:"datasources"`
	}
	read(t, "../grafana/provisioning/datasources/prometheus.yaml", &sources)
	require.Len(t, sources.Datasources, 1)
	source := sources.Datasources[0]
	require.Equal(t, []any{"prometheus", "proxy", "http://prometheus:9090", true}, []any{source.Type, source.Access, source.URL, source.IsDefault})

	var dashboards struct {
		APIVersion int `json:"apiVersion"`
		Providers  []struct {
			Name, Type string
			Options    struct{ Path string }
		} `json:"providers"`
	}
	read(t, "../grafana/provisioning/dashboards/eos-pipe.yaml", &dashboards)
	require.Len(t, dashboards.Providers, 1)
	grafana := project(t).Services["grafana"]
	home := env(grafana)["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	require.Equal(t, dashboards.Providers[0].Options.Path, filepath.Dir(home))
	var targets []string
	for _, v := range grafana.Volumes {
		targets = append(targets, v.Target)
	}
	require.ElementsMatch(t, []string{"/etc/grafana/provisioning", home}, targets)
}

// Every expression of the dashboard is one for Prometheus.
func TestDashboardExpressions(t *testing.T) {
	text, err := os.ReadFile("../grafana/eos-pipe.json")
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &dashboard))
	count := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			requireMetrics(t, strings.NewReplacer("$__rate_interval", "1m", "$job", "a", "$instance", "b").Replace(target.Expr))
			count++
		}
	}
	require.Greater(t, count, 10)
}
