package offsets_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// The files in testdata/tracker tell stories of a Tracker: one command a line, the state after them.
//
//	begin orders-0 10..19 [@epoch]   done orders-0 10..19   forget orders-0   reset
//
// `go test ./offsets -run TestTracker -rewrite` writes the answers anew; review them as a change.
func TestTracker(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/tracker", func(t *testing.T, path string) {
		var tr offsets.Tracker
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "track" {
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			var out strings.Builder
			for line := range strings.Lines(d.Input) {
				if err := trackLine(t, &tr, strings.Fields(line)); err != nil {
					fmt.Fprintln(&out, "error:", err)
				}
			}
			fmt.Fprintf(&out, "done below:  {%s}\nbegun below: {%s}\npending:     %d\n", tr.Positions(), tr.Begun(), tr.Pending())
			return out.String()
		})
	})
}

func trackLine(t *testing.T, tr *offsets.Tracker, words []string) error {
	if words[0] == "reset" {
		tr.Reset()
		return nil
	}
	p, err := offsets.ParsePartition(words[1])
	require.NoError(t, err)
	switch words[0] {
	case "forget":
		tr.Forget(p)
		return nil
	case "begin":
		epoch := -1
		if len(words) == 4 {
			epoch, err = strconv.Atoi(strings.TrimPrefix(words[3], "@"))
			require.NoError(t, err)
		}
		first, last := parseRange(t, words[2])
		return tr.Begin(p, first, last, int32(epoch))
	case "done":
		first, last := parseRange(t, words[2])
		return tr.Done(p, first, last)
	}
	require.Fail(t, "unknown command", words)
	return nil
}

func parseRange(t *testing.T, s string) (first, last int64) {
	_, err := fmt.Sscanf(s, "%d..%d", &first, &last)
	require.NoError(t, err)
	return first, last
}

// The largest offset cannot be begun: the position behind it would not be an offset.
func TestTrackerAtTheEndOfOffsets(t *testing.T) {
	t.Parallel()
	var tr offsets.Tracker
	p := partition("orders", 0)
	require.ErrorContains(t, tr.Begin(p, math.MaxInt64, math.MaxInt64, -1), "not a range of offsets")
	require.Empty(t, tr.Begun())
	require.NoError(t, tr.Begin(p, math.MaxInt64-1, math.MaxInt64-1, -1))
	require.NoError(t, tr.Done(p, math.MaxInt64-1, math.MaxInt64-1))
	require.Equal(t, offsets.Set{p: offsets.NewPosition(math.MaxInt64)}, tr.Positions())
}

// The sets handed out are the caller's: changing them changes nothing in the tracker.
func TestTrackerHandsOutCopies(t *testing.T) {
	t.Parallel()
	var tr offsets.Tracker
	require.NoError(t, tr.Begin(partition("orders", 0), 0, 9, -1))
	clear(tr.Positions())
	clear(tr.Begun())
	require.Len(t, tr.Positions(), 1)
	require.Len(t, tr.Begun(), 1)
}

// Once a partition is known, a Tracker that is kept up with allocates nothing: neither in lockstep, nor with a
// window of unfinished ranges that moves on for ever.
func TestTrackerDoesNotAllocate(t *testing.T) {
	p := partition("orders", 0)
	for _, window := range []int64{1, 7, 64} {
		var tr offsets.Tracker
		next := int64(0)
		step := func() {
			ok := tr.Begin(p, next*10, next*10+9, 1) == nil
			if next++; next >= window {
				done := next - window
				ok = ok && tr.Done(p, done*10, done*10+9) == nil
			}
			if !ok {
				t.Fatal("refused")
			}
		}
		for range 4 * window {
			step()
		}
		require.Zero(t, testing.AllocsPerRun(1000, step), "window %d", window)
		require.Equal(t, (window-1)*10, tr.Pending(), "window %d", window)
		require.Equal(t, (next-window+1)*10, tr.Positions()[p].Offset, "window %d", window)
	}
}

// One Begin and one Done for each of 12 partitions, as after a fetch; then the same with 64 ranges unfinished, done
// in reverse order. ns/op is of one range.
func BenchmarkTracker(b *testing.B) {
	partitions := make([]offsets.Partition, 12)
	for i := range partitions {
		partitions[i] = partition("orders", int32(i))
	}
	b.Run("in-order", func(b *testing.B) {
		var tr offsets.Tracker
		b.ReportAllocs()
		for i := range b.N {
			p, first := partitions[i%12], int64(i)*100
			if tr.Begin(p, first, first+99, 1) != nil || tr.Done(p, first, first+99) != nil {
				b.Fatal("refused")
			}
		}
	})
	b.Run("reverse-of-64", func(b *testing.B) {
		var tr offsets.Tracker
		b.ReportAllocs()
		for first := int64(0); first < int64(b.N); first += 64 {
			for i := range int64(64) {
				_ = tr.Begin(partitions[0], (first+i)*100, (first+i)*100+99, 1)
			}
			for i := int64(63); i >= 0; i-- {
				_ = tr.Done(partitions[0], (first+i)*100, (first+i)*100+99)
			}
		}
		if tr.Pending() != 0 {
			b.Fatal("refused")
		}
	})
}
