package main

import (
	"cmp"
	"io"
	"log/slog"
)

// newLogger logs to w: text for a person at a terminal, JSON for what collects logs.
func newLogger(w io.Writer, level slog.Level, terminal bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if terminal {
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
	checkOneOf(all, "log-level", name, "debug", "info", "warn", "error")
	var level slog.Level
	_ = level.UnmarshalText([]byte(name)) // names that it does not know are a fault already
	return level
}
