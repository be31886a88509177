package eos

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A fetch that was throttled for long is followed by a smaller one, never by one of less than leastPace; one that was throttled for a moment
// changes nothing.
func TestFetchPaceSlower(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pace     fetchPace
		bytes    int64
		throttle time.Duration
		want     fetchPace
	}{
		{0, 1 << 20, time.Second, 0},
		{8000, 8000, 500 * time.Millisecond, 8000},
		{0, 80_000, 10 * time.Second, 8000},
		{0, 80_000, 1500 * time.Millisecond, 40_000},
		{0, 1 << 20, time.Hour, 1 << 16},
		{leastPace, 80_000, time.Hour, 5000},
		{leastPace, leastPace, time.Hour, leastPace},
	} {
		require.Equal(t, c.want, c.pace.slower(c.bytes, c.throttle), "%+v", c)
	}
}

// Where nothing throttles any more the pace grows until there is none.
func TestFetchPaceFaster(t *testing.T) {
	t.Parallel()
	p, steps := fetchPace(leastPace), 0
	for ; p != 0; p = p.faster(2 << 20) {
		steps++
		require.Less(t, int64(p), int64(2<<20))
		require.Less(t, steps, 100)
	}
	require.Greater(t, steps, 20, "it grows little by little")
}

// A batch shrinks after an abort for its age and after a long throttle, and grows again slowly, when it was as large as it might be.
func TestBatchPace(t *testing.T) {
	t.Parallel()
	const wanted, most = 10 * time.Second, 1000
	for _, c := range []struct {
		name string
		pace batchPace
		went paced
		want batchPace
	}{
		{"nothing is slow", 0, paced{records: 1000, produced: time.Second}, 0},
		{"produced slowly", 0, paced{records: 1000, produced: 20 * time.Second}, 500},
		{"throttled for long", 0, paced{records: 1000, throttle: 40 * time.Second}, 250},
		{"throttled for much too long", 0, paced{records: 1600, throttle: time.Hour}, 100},
		{"late", 0, paced{records: 1000, produced: 54 * time.Second, late: true}, 185},
		{"late at once", 0, paced{records: 1000, produced: time.Second, throttle: 79 * time.Second, late: true}, 125},
		{"late without a reason", 0, paced{records: 1000, produced: time.Second, late: true}, 500},
		{"one record is too slow", 1, paced{records: 1, throttle: time.Hour, late: true}, 1},
		{"as wanted", 100, paced{records: 100, throttle: 7 * time.Second}, 100},
		{"fast", 100, paced{records: 100, produced: time.Second}, 126},
		{"fast, but little", 100, paced{records: 50, produced: time.Second}, 100},
		{"fast again", 900, paced{records: 900, produced: time.Second}, 0},
		{"only offsets", 100, paced{throttle: time.Hour}, 100},
	} {
		require.Equal(t, c.want, c.pace.next(c.went, wanted, most), c.name)
	}
}

// From the largest batch, and any quota that lets one record through in time, a few aborts lead to a batch whose transaction is committed.
func TestBatchPaceFinds(t *testing.T) {
	t.Parallel()
	const wanted = 5 * time.Second
	for _, perSecond := range []int{1, 10, 1000, 100_000} {
		records, pace := 100_000, batchPace(0)
		aborts := 0
		for ; ; aborts++ {
			took := time.Duration(records) * time.Second / time.Duration(perSecond)
			if took <= 2*wanted {
				break
			}
			pace = pace.next(paced{records: records, throttle: took, late: true}, wanted, 100_000)
			records = int(pace)
		}
		require.LessOrEqual(t, aborts, 5, "%d a second", perSecond)
		require.GreaterOrEqual(t, records, min(perSecond, 100_000)/2, "it does not become smaller than it need be")
	}
}

// What is asked for at once follows what is throttled: less after a long throttle, by what the last fetch brought and not by what it might have;
// more again when nothing was throttled for a while, until there is no bound but the room. An answer that brings next to nothing says nothing.
func TestFetchSizeFollowsThrottles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFetchSize(2<<20, NewInputBuffer(64<<20, 1), 1)
		var told []int64
		f.update = func(_, size int64) bool { told = append(told, size); return true }
		f.answered(80_000, 0)
		f.answered(100, 0)
		require.Empty(t, told)
		f.answered(21, 10*time.Second)
		require.Equal(t, []int64{8000}, told)
		f.answered(8000, 0)
		require.EqualValues(t, 8000, f.asked(), "it was throttled a moment ago")
		for f.asked() < 2<<20 {
			time.Sleep(calmAfter + time.Millisecond) //nolint:forbidigo // virtual time
			before := f.asked()
			f.answered(before, 0)
			require.Greater(t, f.asked(), before)
		}
		require.Zero(t, f.pace)
	})
}
