package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Without a terminal long work logs a line every few seconds and one at the end; with --quiet nothing.
func TestProgressWithoutTerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var stderr bytes.Buffer
		p := newProgress(streams{Err: &stderr, Log: newLogger(&stderr, slog.LevelInfo, false)}, "records read", 40)
		for range 12 { // virtual time: one per second
			time.Sleep(time.Second) //nolint:forbidigo // virtual time
			p.add(3)
		}
		p.finish()
		var got []string
		for line := range bytes.Lines(stderr.Bytes()) {
			var e struct {
				Msg                  string
				Done, Total, Seconds int
				PerSecond            int `json:"per_second"`
			}
			require.NoError(t, json.Unmarshal(line, &e))
			require.Equal(t, 40, e.Total)
			require.Equal(t, 3, e.PerSecond)
			got = append(got, e.Msg)
		}
		require.Equal(t, []string{"progress", "progress", "finished"}, got)
	})
	quiet := newProgress(streams{Quiet: true}, "records read", -1)
	quiet.add(1)
	quiet.finish()
}

// A pipe that has nothing to do says so every few minutes, and not every few seconds; when records come it says so in seconds.
func TestProgressWithoutWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var stderr bytes.Buffer
		p := newProgress(streams{Err: &stderr, Log: newLogger(&stderr, slog.LevelInfo, false)}, "records committed", -1)
		wait := func(seconds int, records int64) (lines int) {
			stderr.Reset()
			for range seconds {
				time.Sleep(time.Second) //nolint:forbidigo // virtual time
				p.add(records)
				records = 0
			}
			return bytes.Count(stderr.Bytes(), []byte(`"progress"`))
		}
		require.Equal(t, 1, wait(10, 7))
		require.Equal(t, 0, wait(60, 0))
		require.Equal(t, 3, wait(900, 0))
		require.Equal(t, 1, wait(60, 7))
	})
}

// On a terminal it is a bar that many goroutines may move, and it is gone at the end.
func TestProgressOnTerminal(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	p := newProgress(streams{Err: &stderr, ErrTerminal: true}, "records read", 2)
	p.add(1)
	p.add(1)
	p.finish()
	require.Contains(t, stderr.String(), "records read")
	require.Contains(t, stderr.String(), "1/2")
	require.Contains(t, stderr.String(), " records/s")

	stderr.Reset()
	p = newProgress(streams{Err: &stderr, ErrTerminal: true}, "records committed", -1) // of how many is not known
	p.add(1)
	p.finish()
	require.NotContains(t, stderr.String(), "/-")
}

// The first signal ends the drain context with its cause and aborts nothing, and what follows at once is the same signal, as timeout(1) sends it to
// the process and its group. One that comes later aborts.
func TestSignalsDrainThenAbort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		signals, aborted := make(chan os.Signal), false
		drain, stop := drainOn(t.Context(), slog.New(slog.DiscardHandler), func() { aborted = true }, signals, func() {})
		defer stop()
		require.NoError(t, drain.Err())

		signals <- syscall.SIGTERM
		<-drain.Done()
		require.ErrorIs(t, context.Cause(drain), errDrain)
		signals <- syscall.SIGTERM
		time.Sleep(sameSignal / 2) //nolint:forbidigo // virtual time
		signals <- os.Interrupt
		synctest.Wait()
		require.False(t, aborted)
		time.Sleep(sameSignal) //nolint:forbidigo // virtual time
		signals <- os.Interrupt
		synctest.Wait()
		require.True(t, aborted)
		stop()
		stop()
	})
}

// The process really listens: a SIGTERM sent to it ends the drain context instead of the process.
func TestDrainOnSignalListens(t *testing.T) {
	drain, stop := drainOnSignal(t.Context(), slog.New(slog.DiscardHandler), func() {})
	defer stop()
	self, err := os.FindProcess(os.Getpid())
	require.NoError(t, err)
	require.NoError(t, self.Signal(syscall.SIGTERM))
	<-drain.Done()
	require.ErrorIs(t, context.Cause(drain), errDrain)
}

// Stopping without a signal ends the drain context and leaves no goroutine behind (the bubble would not end).
func TestSignalsStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		drain, stop := drainOn(t.Context(), slog.New(slog.DiscardHandler), func() { t.Error("aborted") }, make(chan os.Signal), func() {})
		stop()
		require.ErrorIs(t, drain.Err(), context.Canceled)
	})
}

// A result is text, or one JSON object on one line. The log is text on a terminal and JSON otherwise.
func TestOutputForms(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	v := versionInfo{Version: "v1<2", Commit: "c", Date: "d", Go: "g", FranzGo: "f", MinimumBroker: "2.5", Platform: "p"}
	require.NoError(t, streams{Out: &out}.print(v))
	require.Equal(t, "eos-pipe v1<2\ncommit c\ndate d\ngo g\nfranz-go f\nminimum broker: Kafka 2.5\nplatform p\n", out.String())

	out.Reset()
	require.NoError(t, streams{Out: &out, JSON: true}.print(v))
	require.Equal(t, `{"version":"v1<2","commit":"c","date":"d","go":"g","franz_go":"f","minimum_broker":"2.5","platform":"p"}`+"\n", out.String())

	out.Reset()
	newLogger(&out, slog.LevelInfo, true).Info("hello", "topic", "a")
	require.Contains(t, out.String(), `level=INFO msg=hello topic=a`)
	out.Reset()
	newLogger(&out, slog.LevelInfo, false).Info("hello", "topic", "a")
	require.True(t, json.Valid(out.Bytes()))
}
