package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// neighbours is the folder with the other programs and the scripts that get them.
var neighbours = filepath.Join("..", "..", "docker", "neighbours")

// provision asks for one kind of program at a time: the first call may install it.
var provision sync.Mutex

// provided returns where docker/neighbours/provide has put a kind of program.
func provided(t *testing.T, what string) string {
	t.Helper()
	provision.Lock()
	defer provision.Unlock()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(neighbours, "provide"), what)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", stderr.String())
	path, ok := strings.CutPrefix(strings.TrimSpace(string(out)), what+"=")
	require.True(t, ok, "%s", out)
	return path
}

// program is one that answers each line of its stdin with a line of its stdout, both JSON.
type program struct {
	name   string
	stdin  *json.Encoder
	stdout *bufio.Reader
	end    func() string // ends it, and returns what it has said on stderr
}

// converse starts such a program; it ends when the test does.
func converse(t *testing.T, name string, args ...string) *program {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	end := sync.OnceValue(func() string {
		in.Close()
		_ = cmd.Wait() // it ends with its stdin, or is killed with the test's context
		return stderr.String()
	})
	t.Cleanup(func() { end() })
	return &program{name, json.NewEncoder(in), bufio.NewReader(out), end}
}

// ask sends a line and decodes the answer.
func (p *program) ask(t *testing.T, question, answer any) {
	t.Helper()
	require.NoError(t, p.stdin.Encode(question))
	line, err := p.stdout.ReadBytes('\n')
	if err != nil {
		require.FailNow(t, p.name+" has ended", "%v: %s", err, p.end())
	}
	require.NoError(t, json.Unmarshal(line, answer), "%s", line)
}
