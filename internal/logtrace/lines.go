package logtrace

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/eos-pipe/eos-pipe/trace"
)

// UnreadableError says where a text is no trace.
type UnreadableError struct {
	Line int // from 1
	Err  error
}

// Error implements error.
func (e *UnreadableError) Error() string {
	return fmt.Sprintf("line %d of the trace cannot be read: %v", e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *UnreadableError) Unwrap() error { return e.Err }

// numbered is an event and the line it is in.
type numbered struct {
	line  int
	event trace.Event
}

// maxLine bounds a line; the longest kind is a fetch of many batches.
const maxLine = 64 << 20

// readLines yields the events of a trace up to the first error, which is an *UnreadableError. It passes over empty lines and
// those that begin with '#'.
func readLines(in io.Reader) iter.Seq2[numbered, error] {
	return func(yield func(numbered, error) bool) {
		lines := bufio.NewScanner(in)
		lines.Buffer(make([]byte, 1<<16), maxLine)
		line := 0
		for lines.Scan() {
			line++
			text := strings.TrimSpace(lines.Text())
			if text == "" || text[0] == '#' {
				continue
			}
			e, err := trace.Parse(text)
			if err != nil {
				yield(numbered{}, &UnreadableError{line, err})
				return
			}
			if !yield(numbered{line, e}, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(numbered{}, &UnreadableError{line + 1, err})
		}
	}
}
