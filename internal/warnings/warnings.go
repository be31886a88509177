// Package warnings is the log of a library that was given none: what needs a person goes to the program's own log, and nothing else does.
package warnings

import (
	"context"
	"log/slog"
)

// Logger returns log, or where that is nil a logger that hands to slog.Default() what is a warning or worse.
func Logger(log *slog.Logger) *slog.Logger {
	if log != nil {
		return log
	}
	return slog.New(handler{slog.Default().Handler()})
}

// handler leaves out what is below a warning.
type handler struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h handler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }
