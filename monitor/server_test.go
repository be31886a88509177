package monitor_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/monitor"
	"github.com/eos-pipe/eos-pipe/processor"
)

// All paths answer GET and HEAD and nothing else; there is nothing else to be had, no profile and no variables of the process.
func TestServerIsReadOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := monitor.New(monitor.Config{Address: "127.0.0.1:0"})
	m.Observe(b.config())
	require.NoError(t, m.Start())
	defer m.Close()
	at := "http://" + m.Addr().String()
	ask := func(method, path string) (int, http.Header, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, at+path, strings.NewReader("x"))
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, resp.Header, string(body)
	}
	for path, want := range map[string]int{"/": 200, "/metrics": 200, "/api/status": 200, "/healthz": 200, "/readyz": 503} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			code, header, _ := ask(method, path)
			require.Equal(t, want, code, path)
			require.Equal(t, "no-store", header.Get("Cache-Control"))
			require.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
		}
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
			code, header, _ := ask(method, path)
			require.Equal(t, http.StatusMethodNotAllowed, code, "%s %s", method, path)
			require.Equal(t, "GET, HEAD", header.Get("Allow"))
		}
	}
	for _, path := range []string{"/debug/pprof/", "/debug/vars", "/api", "/api/status/x", "/index.html", "/../etc/passwd"} {
		code, _, _ := ask(http.MethodGet, path)
		require.Equal(t, http.StatusNotFound, code, path)
	}
}

// The server listens on loopback alone unless an address is named. An address that is taken is said at once, and after Close it is free.
func TestServerAddress(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := monitor.New(monitor.Config{Address: ":0"})
	require.ErrorContains(t, m.Start(), "call Observe before Start")
	m.Observe(b.config())
	require.NoError(t, m.Start())
	require.ErrorContains(t, m.Start(), "started already")
	address := m.Addr().(*net.TCPAddr)
	require.True(t, address.IP.IsLoopback())

	second := monitor.New(monitor.Config{Address: address.String()})
	second.Observe(b.config())
	require.ErrorContains(t, second.Start(), "cannot serve metrics and health: listen tcp "+address.String())
	m.Close()
	m.Close()
	require.Nil(t, m.Addr())
	require.NoError(t, second.Start())
	second.Close()
}

// A processor.Config that is observed tells its own observers as before.
func TestObserveComposes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.produce(4)
	cfg := b.config()
	cfg.UntilEnd = true
	var lanes int
	cfg.Observer.Lane = func(processor.LaneEvent) { lanes++ }
	m := quick()
	p, err := processor.New(m.Observe(cfg), pipe)
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.Equal(t, 2, lanes)
	require.Empty(t, cfg.Session.Client, "what was given is not changed")
	require.EqualValues(t, 4, m.Status().Totals.RecordsIn)
}

// The fields of /api/status are a contract: those below, and no others without a line here and in docs/monitoring.md.
func TestStatusContract(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.produce(8)
	w := b.run(quick(), b.config(), pipe)
	eventually(t, "all is processed, and seen", func() bool {
		s := w.Status()
		return s.Totals.RecordsIn == 8 && len(s.Partitions) == 4 && s.Partitions[3].Committed > 0 && len(s.History) > 0
	})
	_, body := get(t, w.Monitor, "/api/status")
	var status map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &status))
	require.Equal(t, []string{
		"draining", "group", "healthy.ok", "healthy.reasons", "history[].aborted_per_second", "history[].end_ms", "history[].flush_ms",
		"history[].high_watermark_lag", "history[].last_stable_offset_lag", "history[].records_in_per_second", "history[].time", "history[].transactions_per_second",
		"lag.error", "lag.time", "lanes[].aborted", "lanes[].committed", "lanes[].epoch", "lanes[].failure", "lanes[].last_commit", "lanes[].partitions",
		"lanes[].producer", "lanes[].since", "lanes[].state", "lanes[].transactional_id", "lanes[].txn",
		"partitions[].committed_offset", "partitions[].high_watermark", "partitions[].high_watermark_lag", "partitions[].last_stable_offset",
		"partitions[].last_stable_offset_lag", "partitions[].partition", "partitions[].topic", "partitions[].transactional_id",
		"ready.ok", "ready.reasons", "started", "time",
		"totals.aborted", "totals.begun", "totals.clients_replaced", "totals.committed", "totals.dead_lettered", "totals.in_bytes",
		"totals.in_doubt.aborted", "totals.in_doubt.committed", "totals.in_doubt.unknown", "totals.out_bytes", "totals.rebalances", "totals.records_in", "totals.records_out", "totals.skipped",
	}, fields("", status))
	require.NotContains(t, body, "secret-key")
	require.NoError(t, w.end())
}

// fields are the paths of all fields of a JSON value, in order.
func fields(path string, v any) []string {
	var all []string
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			all = append(all, fields(strings.TrimPrefix(path+"."+name, "."), inner)...)
		}
		if len(v) == 0 {
			all = []string{path}
		}
	case []any:
		if len(v) == 0 || !isObject(v[0]) {
			return []string{path}
		}
		return fields(path+"[]", v[0])
	default:
		all = []string{path}
	}
	slices.Sort(all)
	return all
}

func isObject(v any) bool { _, ok := v.(map[string]any); return ok }

// The page is whole as it is served: a browser without scripts sees the state. It asks for nothing outside, and what its script reads of
// /api/status is there.
func TestPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.produce(40)
	cfg := b.config()
	cfg.ApplicationID = "app<script>"
	w := b.run(quick(), cfg, pipe)
	eventually(t, "all is processed, and seen", func() bool {
		s := w.Status()
		return s.Totals.RecordsIn == 40 && len(s.Partitions) == 4 && s.Partitions[3].Committed > 0 && s.Partitions[0].StableLag == 0 && len(s.History) > 0 && s.Ready.OK
	})
	code, html := get(t, w.Monitor, "/")
	require.Equal(t, http.StatusOK, code)
	for _, want := range []string{
		"<h1>app&lt;script&gt;</h1>", `<html lang="en">`, `class="state good">ready`, `class="state good">healthy`,
		"<td>app&lt;script&gt;-i-0</td><td>polling</td>", "<td>in-3</td>", `data-total="records_in">40<`, `data-total="skipped">4<`, `data-total="dead_lettered">4<`,
		`<noscript><meta http-equiv="refresh" content="5"></noscript>`, "prefers-color-scheme: dark", `aria-label="The last five minutes"`,
	} {
		require.Contains(t, html, want)
	}
	require.Regexp(t, `data-curve="records_in_per_second" points="[0-9., ]+"`, html)
	require.NotContains(t, html, "ZgotmplZ", "html/template had to refuse something")
	require.NotRegexp(t, `(?i)(src|href)="(https?:)?//|@import|url\(`, html)
	require.Equal(t, 1, strings.Count(html, "<script"))

	var status any
	_, body := get(t, w.Monitor, "/api/status")
	require.NoError(t, json.Unmarshal([]byte(body), &status))
	known := strings.Join(fields("", status), " ") + " aborted in_doubt"
	for _, m := range regexp.MustCompile(`\b[slph]\.(?:totals\.|ready\.|healthy\.|lag\.)?([a-z_]{4,})`).FindAllStringSubmatch(html[strings.Index(html, "function show"):], -1) {
		if !slices.Contains([]string{"dataset", "history", "lanes", "partitions", "toLocaleString"}, m[1]) {
			require.Contains(t, known, m[1], "the script reads %s", m[0])
		}
	}
	for _, m := range regexp.MustCompile(`data-(?:last|curve|total)="([a-z_]+)"`).FindAllStringSubmatch(html, -1) {
		require.Contains(t, known, m[1])
	}
	require.NoError(t, w.end())
}
