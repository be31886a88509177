package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/eos-pipe/eos-pipe/internal/logtest"
)

// SlowDeadline bounds what a quota makes slow: at its speed it takes less than half a minute.
const SlowDeadline = 3 * time.Minute

// Log is a log that a test can read while it is written.
type Log struct{ logtest.Buffer }

// With returns the first line that has all of the texts; "": there is none.
func (l *Log) With(texts ...string) string {
next:
	for line := range strings.Lines(l.String()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		return line
	}
	return ""
}

// Await waits until there is a line that has all of the texts.
func (l *Log) Await(ctx context.Context, texts ...string) error {
	ctx, cancel := context.WithTimeout(ctx, SlowDeadline)
	defer cancel()
	if !Until(ctx, func() bool { return l.With(texts...) != "" }) {
		return fmt.Errorf("no line of the log has %q", texts)
	}
	return nil
}
