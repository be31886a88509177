package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The exit codes of eos-pipe, as `eos-pipe --help` documents them.
const (
	exitDone     = 0
	exitFailure  = 1 // a failure, or a finding
	exitUsage    = 2
	exitFenced   = 3
	exitOperator = 4
)

// outcomes says for an error how the process ends and what the user can do. The first match counts; what matches
// nothing is a failure without a hint.
var outcomes = []outcome{
	is(errAborted, exitFailure, "the open transaction was aborted: nothing of it is visible to read_committed readers, and a new start repeats it"),
}

// outcome maps the errors it matches.
type outcome struct {
	code  int
	match func(error) (hint string, ok bool)
}

// is matches errors that wrap target.
func is(target error, code int, hint string) outcome {
	return outcome{code, func(err error) (string, bool) { return hint, errors.Is(err, target) }}
}

// as matches errors that wrap an E; the hint may use what it holds.
func as[E error](code int, hint func(E) string) outcome {
	return outcome{code, func(err error) (string, bool) {
		e, ok := errors.AsType[E](err)
		if !ok {
			return "", false
		}
		return hint(e), true
	}}
}

// exitError is an error for which a command decides code and hint itself. It goes before outcomes.
type exitError struct {
	code int
	err  error
	hint string
}

// Error implements error.
func (e *exitError) Error() string { return e.err.Error() }

// Unwrap makes errors.Is and errors.As see the cause.
func (e *exitError) Unwrap() error { return e.err }

// report prints err as lines "error: …" and "hint: …", and returns the exit code. No error prints nothing.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	if usage, ok := errors.AsType[faults](err); ok {
		for _, f := range usage {
			printError(stderr, f.message, f.hint)
		}
		return exitUsage
	}
	code, hint := classify(err)
	printError(stderr, err.Error(), hint)
	return code
}

func classify(err error) (code int, hint string) {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code, e.hint
	}
	for _, o := range outcomes {
		if hint, ok := o.match(err); ok {
			return o.code, hint
		}
	}
	return exitFailure, ""
}

func printError(w io.Writer, message, hint string) {
	fmt.Fprintln(w, "error: "+strings.ReplaceAll(strings.TrimSpace(message), "\n", "; "))
	if hint != "" {
		fmt.Fprintln(w, "hint: "+hint)
	}
}

// fault is one thing that is wrong with how eos-pipe was called.
type fault struct{ message, hint string }

// faults are all of them; as an error they end the process with exitUsage.
type faults []fault

func (f *faults) add(message, hint string) { *f = append(*f, fault{message, hint}) }

func (f *faults) addIf(found *fault) {
	if found != nil {
		*f = append(*f, *found)
	}
}

// err is nil if there is no fault.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// Error implements error.
func (f faults) Error() string {
	var messages []string
	for _, one := range f {
		messages = append(messages, one.message)
	}
	return strings.Join(messages, "; ")
}

func usageError(message, hint string) error { return faults{{message, hint}} }

// flagError words pflag's errors as ours, and looks for the flag that was meant.
func flagError(cmd *cobra.Command, err error) error {
	seeHelp := "see " + cmd.CommandPath() + " --help"
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if letters := e.GetSpecifiedShortnames(); letters != "" {
			return usageError("unknown flag "+quote("-"+e.GetSpecifiedName())+" in "+quote("-"+letters), seeHelp)
		}
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := nearest(e.GetSpecifiedName(), names); near != "" {
			seeHelp = "did you mean --" + near + "?"
		}
		return usageError("unknown flag --"+e.GetSpecifiedName(), seeHelp)
	}
	if e, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return usageError("--"+e.GetFlag().Name+" needs a value", seeHelp)
	}
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return faults{badValue("--"+e.GetFlag().Name, e.GetValue(), e.GetFlag(), e.Unwrap())}
	}
	return usageError(err.Error(), seeHelp)
}

func quote(s string) string { return strconv.Quote(s) }
