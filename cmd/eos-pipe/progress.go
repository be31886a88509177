package main

import (
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

const (
	progressInterval = 5 * time.Second // how often work that goes on reports itself to a log
	aliveInterval    = 5 * time.Minute // how often it does while nothing changes
)

// progress shows how far long work is: a bar on a terminal, a log line every few seconds otherwise while there is something new to say, nothing with
// --quiet. Any number of goroutines may add at once. A nil *progress shows nothing.
type progress struct {
	mu      sync.Mutex
	bar     *progressbar.ProgressBar // nil: write to log
	log     *slog.Logger
	what    string
	done    int64
	said    int64 // done, when it was logged last
	total   int64 // negative: not known
	started time.Time
	shown   time.Time
}

// newProgress begins to show work on total things; a negative total is not known. what names them: "records read".
func newProgress(s streams, what string, total int64) *progress {
	if s.Quiet {
		return nil
	}
	now := time.Now()
	things, _, _ := strings.Cut(what, " ")
	p := &progress{log: s.Log, what: what, total: total, started: now, shown: now}
	if s.ErrTerminal {
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(s.Err), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString(things), progressbar.OptionShowTotalBytes(total >= 0), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth())
	}
	return p
}

// progress begins to show work, as newProgress does, for an engine that counts: add is the progress's add, finish its
// finish.
func (s streams) progress(what string, total int64) (add func(n int64), finish func()) {
	p := newProgress(s, what, total)
	return p.add, p.finish
}

// add counts n more things as done.
func (p *progress) add(n int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if p.bar != nil {
		_ = p.bar.Add64(n) // a bar that cannot be drawn is no reason to stop the work
		return
	}
	now := time.Now()
	if since := now.Sub(p.shown); since >= aliveInterval || since >= progressInterval && p.done != p.said {
		p.shown, p.said = now, p.done
		p.line("progress")
	}
}

// finish ends the bar, or writes the last line. Nothing may be added after it.
func (p *progress) finish() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Finish()
		return
	}
	if p.done > 0 {
		p.line("finished")
	}
}

// line logs the state. The caller holds mu.
func (p *progress) line(message string) {
	seconds := time.Since(p.started).Seconds()
	args := []any{"what", p.what, "done", p.done, "seconds", int64(seconds)}
	if p.total >= 0 {
		args = append(args, "total", p.total)
	}
	if seconds > 0 {
		args = append(args, "per_second", int64(float64(p.done)/seconds))
	}
	p.log.Info(message, args...)
}
