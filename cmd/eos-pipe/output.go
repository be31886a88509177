package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// streams is what a command writes to: results to Out, everything else to Err.
type streams struct {
	Out, Err    io.Writer
	ErrTerminal bool // a person reads Err as it is written
	JSON, Quiet bool
	Log         *slog.Logger // writes to Err
}

func newStreams(a *app, level slog.Level) streams {
	return streams{
		Out: a.stdout, Err: a.stderr, ErrTerminal: isTerminal(a.stderr), JSON: a.json, Quiet: a.quiet,
		Log: newLogger(a.stderr, level, a.isText()),
	}
}

// print writes one result: as text, or with --json as one object on one line. The JSON form of every result is a
// contract with scripts: members are added, not renamed or removed.
func (s streams) print(result fmt.Stringer) error {
	if !s.JSON {
		_, err := fmt.Fprintln(s.Out, result)
		return wrapWrite(err)
	}
	e := json.NewEncoder(s.Out)
	e.SetEscapeHTML(false)
	return wrapWrite(e.Encode(result))
}

func wrapWrite(err error) error {
	if err != nil {
		return fmt.Errorf("cannot write the result to stdout: %w", err)
	}
	return nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
