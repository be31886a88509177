//go:build browser

package monitor_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/monitor"
)

// browse opens the page at address in the browser that EOS_TEST_BROWSER names, lets its clock run for so many milliseconds, and returns
// the document as it is then, and what the browser said. more are further flags.
func browse(t *testing.T, address string, millis int, more ...string) (dom, said string) {
	t.Helper()
	browser := os.Getenv("EOS_TEST_BROWSER")
	require.NotEmpty(t, browser, "EOS_TEST_BROWSER names the browser: a Chromium")
	args := append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--user-data-dir=" + t.TempDir(),
		"--enable-logging=stderr", fmt.Sprintf("--virtual-time-budget=%d", millis),
	}, more...)
	cmd := exec.CommandContext(t.Context(), browser, append(args, "http://"+address+"/")...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	return string(out), stderr.String()
}

// script serves the page of a monitor that knows nothing, and status as what its script is then told.
func script(t *testing.T, status http.Handler) string {
	t.Helper()
	empty := monitor.New(monitor.Config{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/status" {
			status.ServeHTTP(w, r)
			return
		}
		empty.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// A real browser shows the page. Its script makes of a page that knew nothing all that the server makes of the same state; when there is no
// answer any more, it says so. The console stays empty: no error of the script, nothing that the policy forbids. Pictures of
// the page, light, dark and narrow, are among the artifacts.
func TestPageInBrowser(t *testing.T) {
	b := setup(t)
	m := monitor.New(monitor.Config{Address: "127.0.0.1:0", LagInterval: 20 * time.Millisecond})
	b.produce(4000)
	w := b.run(m, b.config(), pipe)
	foreign, err := kgo.NewClient(kgo.SeedBrokers(b.servers...), kgo.TransactionalID("foreign"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer foreign.Close()
	require.NoError(t, foreign.BeginTransaction())
	require.NoError(t, foreign.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Partition: 1, Value: []byte("1")}).FirstErr())
	eventually(t, "all is processed, and the hanging transaction seen", func() bool {
		s := m.Status()
		return s.Totals.RecordsIn == 4000 && len(s.Partitions) == 4 && s.Partitions[1].HighLag == 1 && len(s.History) > 2 && s.Ready.OK
	})
	for name, address := range map[string]string{"as it is served": m.Addr().String(), "by its script": script(t, m.Handler())} {
		dom, said := browse(t, address, 5000, "--dump-dom")
		require.NotContains(t, said, "CONSOLE", name)
		for _, want := range []string{
			`data-total="records_in">4,000<`, `data-total="skipped">400<`, `data-total="dead_lettered">400<`, ">waits for an open transaction<",
			"<td>app-i-0</td><td>polling</td>", "<td>in-3</td>", `class="state good">ready<`, `class="state good">healthy<`,
		} {
			require.Contains(t, dom, want, name)
		}
		require.Regexp(t, `data-curve="records_in_per_second" points="[0-9.]+,[0-9.]+ [0-9., ]+"`, dom, name)
		require.Contains(t, dom, `<p id="stale" role="alert"></p>`, name)
	}
	for name, flags := range map[string][]string{
		"light": {"--window-size=1200,1300"}, "dark": {"--window-size=1200,1300", "--blink-settings=preferredColorScheme=0"}, "narrow": {"--window-size=500,1800"},
	} {
		file := filepath.Join(t.ArtifactDir(), name+".png")
		browse(t, m.Addr().String(), 3000, append(flags, "--screenshot="+file)...)
		require.FileExists(t, file)
	}
	require.NoError(t, w.end())
	dom, said := browse(t, script(t, m.Handler()), 5000, "--dump-dom")
	require.NotContains(t, said, "CONSOLE")
	require.Contains(t, dom, `class="state bad">not ready<`)
	require.Contains(t, dom, "<li>app-i-0 has stopped</li>")
	dom, _ = browse(t, script(t, http.NotFoundHandler()), 5000, "--dump-dom")
	require.Contains(t, dom, "what is shown is old")
}
