package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/stretchr/testify/require"
)

// The id of this host is taken once: a second process is refused, and told the way out; where the first is gone, it goes on at once. The file that
// the first has left says nothing.
func TestHoldFile(t *testing.T) {
	t.Parallel()
	path := holdPath(t.TempDir(), "cluster", "g-host")
	other := flock.New(path) // another opening of the file is another process to the kernel
	locked, err := other.TryLock()
	require.NoError(t, err)
	require.True(t, locked)

	var said bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = holdFile(ctx, newLogger(&said, slog.LevelInfo, true), path, "g-host")
	require.ErrorContains(t, err, "g-host")
	code, hint := classify(err)
	require.Equal(t, exitFenced, code)
	require.Contains(t, hint, "--instance-id")
	require.Equal(t, 1, bytes.Count(said.Bytes(), []byte("\n")), "it is said once, and at once: %s", &said)

	require.NoError(t, other.Unlock())
	require.FileExists(t, path)
	release, err := holdFile(t.Context(), slog.New(slog.DiscardHandler), path, "g-host")
	require.NoError(t, err)
	locked, err = other.TryLock()
	require.NoError(t, err)
	require.False(t, locked, "it is held")
	release()
	locked, err = other.TryLock()
	require.NoError(t, err)
	require.True(t, locked, "and given back")
}

// One that drains is waited for: a restart may overlap with the end of its predecessor.
func TestHoldFileWaits(t *testing.T) {
	t.Parallel()
	path := holdPath(t.TempDir(), "cluster", "g-host")
	other := flock.New(path)
	_, err := other.TryLock()
	require.NoError(t, err)
	waits := make(signalled, 1)
	done := make(chan error, 1)
	go func() {
		_, err := holdFile(t.Context(), slog.New(slog.NewTextHandler(waits, nil)), path, "g-host")
		done <- err
	}()
	<-waits
	require.NoError(t, other.Unlock())
	require.NoError(t, <-done)
}

// signalled is a log that tells when something is written to it.
type signalled chan struct{}

func (s signalled) Write(p []byte) (int, error) {
	s <- struct{}{}
	return len(p), nil
}

// No directory to write to is no reason not to start.
func TestHoldFileWithoutADirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{filepath.Join(t.TempDir(), "none"), file} {
		release, err := holdFile(t.Context(), slog.New(slog.DiscardHandler), filepath.Join(dir, "x.lock"), "g-host")
		require.NoError(t, err)
		release()
	}
}

// Another cluster, and another group, are other locks.
func TestHoldPath(t *testing.T) {
	t.Parallel()
	require.Equal(t, holdPath("/d", "a", "g"), holdPath("/d", "a", "g"))
	require.NotEqual(t, holdPath("/d", "a", "g"), holdPath("/d", "b", "g"))
	require.NotEqual(t, holdPath("/d", "a", "g"), holdPath("/d", "a", "h"))
}
