package schedules

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// edit is one change of a source file: old must be there exactly once. The file is one of this module, or kgo/… of franz-go.
type edit struct{ file, old, text string }

// ofClient says that the file is one of franz-go's.
func (e edit) ofClient() bool { return strings.HasPrefix(e.file, "kgo/") }

// clientModule returns the directory of franz-go's module.
func clientModule(t *testing.T) string {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", clientPath).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(dir))
}

const clientPath = "github.com/twmb/franz-go"

// copyClient copies franz-go's module into dir, since an overlay cannot change files of the module cache, and returns the copy and
// a go.mod with which it is used.
func copyClient(t *testing.T, dir string) (module, modfile string) {
	t.Helper()
	module, modfile = filepath.Join(dir, "client"), filepath.Join(dir, "go.mod")
	require.NoError(t, os.CopyFS(module, os.DirFS(clientModule(t))))
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile("../../" + name)
		require.NoError(t, err)
		write(t, dir, name, string(text))
	}
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-replace", clientPath+"="+module, modfile).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return module, modfile
}

// bubble gives eos a mutex that virtual time understands: it is held while a broker is asked, and time stands still in a bubble
// while a goroutine waits for a sync.Mutex. What it guards is not changed.
var bubble = edit{"eos/markers.go", "check sync.Mutex // one check at a time", "check bubbleMutex"}

const bubbleMutex = `package eos

import "sync"

type bubbleMutex struct {
	once sync.Once
	held chan struct{}
}

func (m *bubbleMutex) Lock() {
	m.once.Do(func() { m.held = make(chan struct{}, 1) })
	m.held <- struct{}{}
}

func (m *bubbleMutex) Unlock() { <-m.held }
`

// buildWorker builds the binary that runs schedules, from this module's sources with some edits.
func buildWorker(t *testing.T, flags []string, edits ...edit) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	client := ""
	if slices.ContainsFunc(edits, edit.ofClient) {
		var modfile string
		client, modfile = copyClient(t, dir)
		flags = append(flags, "-modfile", modfile)
	}
	replace := map[string]string{filepath.Join(root, "eos/bubble_mutex.go"): write(t, dir, "bubble_mutex.go", bubbleMutex)}
	texts := map[string]string{}
	for _, e := range append([]edit{bubble}, edits...) {
		path := filepath.Join(root, e.file)
		if e.ofClient() {
			path = filepath.Join(client, "pkg", e.file)
		}
		if _, read := texts[path]; !read {
			source, err := os.ReadFile(path)
			require.NoError(t, err)
			texts[path] = string(source)
		}
		require.Equal(t, 1, strings.Count(texts[path], e.old), "%s must have this text once: %s", e.file, e.old)
		texts[path] = strings.Replace(texts[path], e.old, e.text, 1)
	}
	for path, text := range texts {
		replace[path] = write(t, dir, fmt.Sprintf("%d_%s", len(replace), filepath.Base(path)), text)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	binary := filepath.Join(dir, "worker")
	args := append([]string{"test", "-c", "-tags", "synctests", "-overlay", write(t, dir, "overlay.json", string(overlay)), "-o", binary}, flags...)
	out, err := exec.CommandContext(t.Context(), "go", append(args, ".")...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// batch is what one worker is to run: count seeds from first, step apart.
type batch struct {
	first, step, count int
	focus              Focus
	log                bool
	untilFound         bool // it ends at the first finding
}

// silence is how long a worker may take for one schedule: a bubble whose time stands still says nothing.
const silence = 2 * time.Minute

// work runs a batch in a worker and hands out the results as they come. A worker that dies or falls silent gives a result
// with a finding for the seed it was at.
func (b batch) work(t *testing.T, binary string, each func(Result)) {
	cmd := exec.CommandContext(t.Context(), binary, "-test.run", "^TestWork$", "-test.timeout", "0")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", envFirst, b.first), fmt.Sprintf("%s=%d", envStep, b.step),
		fmt.Sprintf("%s=%d", envCount, b.count), envFocus+"="+string(b.focus), "GOMAXPROCS=1")
	if b.log {
		cmd.Env = append(cmd.Env, envLog+"=1")
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		each(Result{Findings: []string{"harness: " + err.Error()}})
		return
	}
	if err := cmd.Start(); err != nil {
		each(Result{Findings: []string{"harness: " + err.Error()}})
		return
	}
	quiet := time.AfterFunc(silence, func() { _ = cmd.Process.Kill() })
	defer quiet.Stop()
	at := Result{Focus: b.focus}
	found, other := false, ""
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		line := lines.Text()
		if text, ok := strings.CutPrefix(line, beginLine); ok {
			quiet.Reset(silence)
			fmt.Sscan(text, &at.Seed)
		} else if text, ok := strings.CutPrefix(line, resultLine); ok {
			var r Result
			if err := json.Unmarshal([]byte(text), &r); err != nil {
				r = Result{Seed: at.Seed, Findings: []string{"harness: " + err.Error()}}
			}
			each(r)
			if found = len(r.Findings) > 0; found && b.untilFound {
				_ = cmd.Process.Kill()
				break
			}
		} else if b.log {
			t.Log(line)
		} else if len(other) < 4000 {
			other += line + "\n"
		}
	}
	if err := cmd.Wait(); err != nil && (!found || !b.untilFound) {
		at.Findings = []string{fmt.Sprintf("bubble: the schedule did not end, or a race was found: %v\n%s%s", err, other, tail(said.String()))}
		each(at)
	}
}

// tail returns the start of what a dead worker said, where the reason stands.
func tail(text string) string { return text[:min(len(text), 4000)] }

// repeat is the command that runs one seed again, with a log.
func repeat(r Result) string {
	focus := ""
	if r.Focus != "" {
		focus = "EOS_TEST_FOCUS=" + string(r.Focus) + " "
	}
	return fmt.Sprintf("EOS_TEST_SEED=%d %sgo test ./internal/schedules -run '^TestSchedules$' -count=1 -v", r.Seed, focus)
}
