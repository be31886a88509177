package millis

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fetched is the time that franz-go v1.22.3 hands out for a timestamp: timeFromMillis in source.go.
func fetched(ms int64) time.Time { return time.Unix(0, ms*1e6) }

// Timestamps are restored as they stand in the log, within 4.5 million years, and it is said of each whether the client writes it as it is.
func TestRestore(t *testing.T) {
	for _, c := range []struct {
		ms       int64
		canWrite bool
	}{
		{0, true}, {None, true}, {-2, true}, {1_764_500_000_000, true},
		{last, true}, {-last, true}, {last + 1, false}, {-last - 1, false},
		{1_764_500_000_000_000, false}, // microseconds
		{-1_764_500_000_000_000, false},
		{1<<57 - 1, false}, {-1 << 57, false},
	} {
		r := &kgo.Record{Timestamp: fetched(c.ms)}
		Restore(r)
		require.Equal(t, c.ms, Of(r.Timestamp))
		require.Equal(t, c.canWrite, CanWrite(r.Timestamp), c.ms)
		require.Equal(t, c.canWrite, r.Timestamp.Truncate(time.Millisecond).UnixNano()/1e6 == c.ms, "what the client writes for %d", c.ms)
	}
}

// Farther away the result is another time. That of nanoseconds in the place of milliseconds the client cannot write either; nothing tells the ends of
// all from -1 and 0.
func TestRestoreFar(t *testing.T) {
	restored := func(ms int64) time.Time {
		r := &kgo.Record{Timestamp: fetched(ms)}
		Restore(r)
		return r.Timestamp
	}
	for _, ms := range []int64{1_764_500_000_000_000_000, 1 << 57, -1<<57 - 1} {
		require.False(t, CanWrite(restored(ms)), ms)
	}
	require.EqualValues(t, -1, Of(restored(math.MaxInt64)))
	require.EqualValues(t, 0, Of(restored(math.MinInt64)))
}

// A record of format v0 has no timestamp, and so has Go's zero time.
func TestNone(t *testing.T) {
	r := &kgo.Record{}
	require.EqualValues(t, None, Of(r.Timestamp))
	Restore(r)
	require.Equal(t, time.UnixMilli(None), r.Timestamp)
}
