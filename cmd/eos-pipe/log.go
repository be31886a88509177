package main

import (
	"cmp"
	"io"
	"log/slog"
)

var (
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{"auto", "text", "json"}
)

// isText says whether the log, and with it a fatal error, is text: for a person at a terminal, and not for what collects logs, unless --log-format
// says otherwise.
func (a *app) isText() bool {
	switch a.logFormat {
	case "text":
		return true
	case "json":
		return false
	}
	return isTerminal(a.stderr)
}

// newLogger logs to w, as text or as JSON.
func newLogger(w io.Writer, level slog.Level, text bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if text {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// level is the least level that is logged. --log-level goes before --quiet.
func (a *app) level(all *faults) slog.Level {
	fallback := "info"
	if a.quiet {
		fallback = "warn"
	}
	name := cmp.Or(a.logLevel, fallback)
	checkOneOf(all, "log-format", a.logFormat, logFormats...)
	checkOneOf(all, "log-level", name, logLevels...)
	var level slog.Level
	_ = level.UnmarshalText([]byte(name)) // names that it does not know are a fault already
	return level
}
