package warnings

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

// Without a logger warnings and errors go to the program's own log, also those of a logger made from it; the rest goes nowhere. A logger that was
// given is taken as it is.
func TestLogger(t *testing.T) {
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	var said bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug})))

	log := Logger(nil)
	log.Debug("a")
	log.Info("b")
	log.With("k", 1).WithGroup("g").Info("c")
	require.Empty(t, said.String())
	log.Warn("w")
	log.With("k", 1).WithGroup("g").Error("e", "x", 2)
	require.Contains(t, said.String(), "level=WARN msg=w\n")
	require.Contains(t, said.String(), "level=ERROR msg=e k=1 g.x=2\n")

	own := slog.New(slog.DiscardHandler)
	require.Same(t, own, Logger(own))
}
