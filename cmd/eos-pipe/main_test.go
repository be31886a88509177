package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts call this test binary as eos-pipe.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"eos-pipe": main})
}

// The binary as a user meets it: testdata/*.txtar. No script needs a broker. After a change of wording that was meant:
// EOS_TESTSCRIPT_UPDATE=1 go test ./cmd/eos-pipe
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Setup: func(env *testscript.Env) error { // the scripts read what a person would
			env.Setenv("EOS_PIPE_LOG_FORMAT", "text")
			return nil
		},
		Dir: "testdata", RequireExplicitExec: true, UpdateScripts: os.Getenv("EOS_TESTSCRIPT_UPDATE") != "",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exec-code": execCode},
	})
}

// execCode is "exec-code N command args…": exec, with the exit code checked.
func execCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exec-code N command args…")
	}
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if want := args[0]; strconv.Itoa(code) != want {
		ts.Fatalf("exit code %d, not %s\n%s", code, want, ts.ReadFile("stderr"))
	}
}
