package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sim prints a line for each mode and the command that gives the same again, whose output is the same to the byte.
func TestSimRepeats(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := call(t, "sim", "--seed", "7", "--steps", "2000", "--faults", "default")
	require.Zero(t, code, stderr)
	lines := strings.Split(stdout, "\n")
	require.Len(t, lines, 7)
	for i, mode := range []string{"at least once", "idempotent", "exactly once"} {
		require.Contains(t, lines[i+1], mode)
	}
	command, ok := strings.CutPrefix(lines[5], "the same again: eos-pipe ")
	require.True(t, ok)
	require.Equal(t, "sim --seed 7 --steps 2000", command)
	_, again, _ := call(t, strings.Fields(command)...)
	require.Equal(t, stdout, again)
}

// A broken promise ends sim with 1. The finding is shrunk, and the command that is printed with it shows it.
func TestSimFinds(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "run.trace")
	code, stdout, stderr := call(t, "sim", "--seed", "0", "--steps", "2000", "--mode", "exactly-once", "--plant", "duplicate-appended", "--json", "--trace", file)
	require.Equal(t, exitFailure, code)
	var result simResult
	require.NoError(t, json.Unmarshal([]byte(stdout), &result))
	require.Equal(t, "doubled", result.Findings[0].Kind)
	require.Positive(t, result.Doubled)
	require.Contains(t, result.Repeat, "--plant duplicate-appended")
	require.Contains(t, stderr, "Shrunk to ")
	require.Contains(t, stderr, "In the end: doubled")

	_, command, ok := strings.Cut(stderr, "to see it: eos-pipe ")
	require.True(t, ok)
	command, _, _ = strings.Cut(command, "\n")
	code, _, stderr = call(t, strings.Fields(strings.ReplaceAll(command, "'", ""))...)
	require.Equal(t, exitFailure, code, stderr)

	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), "produce client=writer-1 ")
	code, stdout, _ = call(t, "validate", file, "--duplicates", "ignore")
	require.Equal(t, exitFailure, code, "the planted bug shows in the trace")
	require.Contains(t, stdout, "finding: duplicate: ")
}

// What is wrong with the flags is told all at once.
func TestSimRefuses(t *testing.T) {
	t.Parallel()
	code, _, stderr := call(t, "sim", "--faults", "drop-all=1", "--only", "crash@me,crash@app-a#1", "--plant", "nothing", "--mode", "twice", "--steps", "0")
	require.Equal(t, exitUsage, code)
	for _, words := range []string{`\"drop-all\"`, `\"crash@me\"`, `\"crash@app-a#1\"`, `\"nothing\"`, "--mode", "--steps"} {
		require.Contains(t, stderr, words)
	}
}
