package proc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Binary builds eos-pipe, once for this test process. It is put beside the test binary, whose folder the go command
// removes.
var Binary = sync.OnceValues(func() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), "eos-pipe-under-test")
	out, err := exec.Command("go", "build", "-o", path, "github.com/eos-pipe/eos-pipe/cmd/eos-pipe").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build eos-pipe: %w\n%s", err, out)
	}
	return path, nil
})

// Process is one process of eos-pipe.
type Process struct {
	t       *testing.T
	Name    string // its instance id
	Cmd     *exec.Cmd
	Stdout  bytes.Buffer
	errPath string        // its stderr is written there
	Exited  chan struct{} // closed when it has ended; code and stdout are final then
	Code    int           // exit code; -1 after a signal
	Doomed  bool          // its end with another code than 0 is what the test is about
}

// Spawn starts eos-pipe with any arguments. It is killed when the test ends, if it lives.
func Spawn(t *testing.T, name string, args []string) *Process {
	t.Helper()
	path, err := Binary()
	require.NoError(t, err)
	return Launch(t, name, exec.Command(path, args...))
}

// Launch starts a command that is eos-pipe, or passes on its output, its exit code and the signals that it gets.
func Launch(t *testing.T, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	pr := &Process{t: t, Name: name, Cmd: cmd, Exited: make(chan struct{}), errPath: filepath.Join(t.ArtifactDir(), name+".stderr")}
	stderr, err := os.Create(pr.errPath)
	require.NoError(t, err)
	pr.Cmd.Stdout, pr.Cmd.Stderr = &pr.Stdout, stderr
	require.NoError(t, pr.Cmd.Start())
	go func() {
		_ = pr.Cmd.Wait()  // the exit code says it
		_ = stderr.Close() // what was written is read from the file
		pr.Code = pr.Cmd.ProcessState.ExitCode()
		close(pr.Exited)
	}()
	t.Cleanup(pr.end)
	return pr
}

// end is the cleanup. A process that runs though its test has failed first writes to stderr where its goroutines are.
func (pr *Process) end() {
	if pr.t.Failed() && pr.Alive() {
		_ = pr.Cmd.Process.Signal(syscall.SIGCONT)
		_ = pr.Cmd.Process.Signal(syscall.SIGQUIT)
		select {
		case <-pr.Exited:
		case <-time.After(5 * time.Second):
		}
	}
	pr.Kill()
}

// Kill is kill -9; it returns when the process is gone.
func (pr *Process) Kill() {
	pr.Doomed = true
	_ = pr.Cmd.Process.Kill() // fails only when it is gone
	<-pr.Exited
}

// Signal sends the process a signal; a process that is gone fails the test.
func (pr *Process) Signal(s syscall.Signal) {
	pr.t.Helper()
	require.NoError(pr.t, pr.Cmd.Process.Signal(s), "%s is gone", pr.Name)
}

// Alive reports whether the process runs (or is stopped).
func (pr *Process) Alive() bool {
	select {
	case <-pr.Exited:
		return false
	default:
		return true
	}
}

// Wait returns the exit code, and fails the test if the process still runs after that time.
func (pr *Process) Wait(within time.Duration) int {
	pr.t.Helper()
	select {
	case <-pr.Exited:
	case <-time.After(within):
		require.FailNow(pr.t, "the process does not end", "%s, within %v", pr.Name, within)
	}
	return pr.Code
}

// Drain sends SIGTERM and requires that the process exits with 0 within 10 s. It returns how long that took.
func (pr *Process) Drain(s syscall.Signal) time.Duration {
	pr.t.Helper()
	began := time.Now()
	pr.Signal(s)
	require.Zero(pr.t, pr.Wait(10*time.Second), "exit code of %s after %v", pr.Name, s)
	return time.Since(began)
}

// Stderr returns what the process has written to stderr so far.
func (pr *Process) Stderr() string {
	text, err := os.ReadFile(pr.errPath)
	require.NoError(pr.t, err)
	return string(text)
}

// Said returns what stderr says of how the process ended, and lines that are not of the log's form: "error: …" and "hint: …", as a person at a terminal
// reads them.
func (pr *Process) Said() []string {
	var lines []string
	for line := range strings.Lines(pr.Stderr()) {
		var last struct {
			Err, Hint string
			ExitCode  int `json:"exit_code"`
		}
		switch err := json.Unmarshal([]byte(line), &last); {
		case err != nil:
			lines = append(lines, strings.TrimSpace(line))
		case last.ExitCode > 0:
			lines = append(lines, "error: "+last.Err, "hint: "+last.Hint)
		}
	}
	return lines
}

// RequireSaid requires one error line, one hint line and the exit code, and that each text is in the error.
func (pr *Process) RequireSaid(code int, texts ...string) {
	pr.t.Helper()
	said := pr.Said()
	require.Equal(pr.t, code, pr.Code, "exit code; said %q", said)
	require.Len(pr.t, said, 2, "lines of stderr that are not the log")
	require.Regexp(pr.t, "^error: ", said[0])
	require.Regexp(pr.t, "^hint: ", said[1])
	for _, text := range texts {
		require.Contains(pr.t, said[0], text)
	}
}

// Result is what `run --json` prints at its end.
type Result struct {
	In, Out, Skipped, Transactions, Aborted int64
	Seconds                                 float64
}

// Result returns what a process of `run --json` printed when it ended.
func (pr *Process) Result() (r Result) {
	pr.t.Helper()
	require.NoError(pr.t, json.Unmarshal(pr.Stdout.Bytes(), &r), "stdout of %s: %q", pr.Name, pr.Stdout.String())
	return r
}

// RequireFails requires that the process fails with one error line, which has these texts, and one hint line, and shows
// no stack. It ends within this time.
func (pr *Process) RequireFails(within time.Duration, code int, texts ...string) (hint string) {
	pr.t.Helper()
	pr.Doomed = true
	pr.Wait(within)
	pr.RequireSaid(code, texts...)
	require.NotContains(pr.t, pr.Stderr(), "goroutine ")
	require.NotContains(pr.t, pr.Stderr(), "panic")
	return pr.Said()[1]
}
