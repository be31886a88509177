package monitor_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/monitor"
	"github.com/eos-pipe/eos-pipe/processor"
)

// reasons asks for a health and returns why not; none for yes. It sees to it that the code says the same.
func reasons(t *testing.T, m *monitor.Monitor, path string) []string {
	t.Helper()
	code, body := get(t, m, path)
	var h monitor.Health
	require.NoError(t, json.Unmarshal([]byte(body), &h))
	require.Equal(t, h.OK, len(h.Reasons) == 0)
	want := http.StatusServiceUnavailable
	if h.OK {
		want = http.StatusOK
	}
	require.Equal(t, want, code)
	return h.Reasons
}

// A process is healthy from its start, and ready once its lane has its partitions; it is not ready any more as soon as it drains, before
// anything else ends, and stays healthy.
func TestHealthOfALife(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := quick()
	require.Empty(t, reasons(t, m, "/healthz"))
	require.Equal(t, []string{"no lane has started"}, reasons(t, m, "/readyz"))
	w := b.run(m, b.config(), pipe)
	eventually(t, "ready", func() bool { return len(reasons(t, m, "/readyz")) == 0 })
	require.Len(t, m.Status().Lanes, 1)
	require.Equal(t, 4, m.Status().Lanes[0].Partitions)
	m.Drain()
	require.Equal(t, []string{"draining: the process was asked to stop"}, reasons(t, m, "/readyz"))
	require.Equal(t, "polling", m.Status().Lanes[0].State, "the lane goes on until its context ends")
	require.NoError(t, w.end())
	require.Equal(t, []string{"draining: the process was asked to stop", "app-i-0 has stopped"}, reasons(t, m, "/readyz"))
	require.Empty(t, reasons(t, m, "/healthz"))
}

// More lanes than partitions: the lane that the group has nothing for is ready too.
func TestReadyWithoutPartitions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cfg := b.config()
	cfg.Lanes = 5
	w := b.run(quick(), cfg, pipe)
	eventually(t, "ready", func() bool {
		n := 0
		for _, l := range w.Status().Lanes {
			n += l.Partitions
		}
		return n == 4 && len(reasons(t, w.Monitor, "/readyz")) == 0
	})
	require.NoError(t, w.end())
}

// A lane that has not been answered by the group is not ready, and says so.
func TestNotReadyBeforeTheGroupAnswers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tap := wiretap.New()
	t.Cleanup(tap.Close)
	held := tap.Hold(wiretap.Rule{API: kmsg.JoinGroup, Action: wiretap.HoldReply, Count: wiretap.Always})
	cfg := b.config()
	cfg.Session.Client = []kgo.Opt{kgo.Dialer(tap.Dial)}
	w := b.run(quick(), cfg, pipe)
	<-held.Reached()
	require.Equal(t, []string{"app-i-0 waits for the group to assign partitions"}, reasons(t, w.Monitor, "/readyz"))
	held.Release()
	eventually(t, "ready", func() bool { return len(reasons(t, w.Monitor, "/readyz")) == 0 })
	require.NoError(t, w.end())
}

// A record that cannot be processed ends the lane for good: the process is not healthy, and says at which record, but nothing of what
// is in it, nor of what the handler said about it.
func TestHealthOfAPoisonedLane(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.produce(4)
	poisoned := pipe
	poisoned.Handle = processor.Each(func(_ context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
		if in.Partition == 2 {
			return nil, errors.New("canary " + in.Value)
		}
		return []processor.Record[string]{in}, nil
	})
	w := b.run(quick(), b.config(), poisoned)
	require.ErrorContains(t, <-w.done, "canary")
	require.Equal(t, []string{"app-i-0 has stopped for good: handle of record in-2@0 failed; the log says why"}, reasons(t, w.Monitor, "/healthz"))
	require.InDelta(t, 1, figure(t, w.Monitor, "eos_pipe_lane_failed"), 0)
	require.InDelta(t, 0, figure(t, w.Monitor, "eos_pipe_healthy"), 0)
	for _, path := range []string{"/", "/api/status", "/metrics", "/healthz", "/readyz"} {
		_, body := get(t, w.Monitor, path)
		require.NotContains(t, body, "canary", path)
		require.NotContains(t, body, "secret-key", path)
	}
}

// Another process takes the transactional id: the lane stops for good, and the process is not healthy.
func TestHealthOfAFencedLane(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.run(quick(), b.config(), pipe)
	eventually(t, "ready", func() bool { return len(reasons(t, w.Monitor, "/readyz")) == 0 })
	other := b.run(quick(), b.config(), pipe)
	eventually(t, "the other one is ready", func() bool { return len(reasons(t, other.Monitor, "/readyz")) == 0 })
	b.produce(40)
	require.ErrorContains(t, <-w.done, "fenced")
	got := reasons(t, w.Monitor, "/healthz")
	require.Len(t, got, 1)
	require.True(t, strings.HasPrefix(got[0], "app-i-0 has stopped for good: "), got[0])
	require.Contains(t, got[0], "fenced by another instance")
	require.Empty(t, reasons(t, other.Monitor, "/healthz"))
	require.NoError(t, other.end())
}
