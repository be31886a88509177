//go:build race

package schedules

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Some schedules run under the race detector, which makes them ten times slower: hence not all of [TestSchedules].
func TestSchedulesWithoutRaces(t *testing.T) {
	const n = 100
	worker := buildWorker(t, []string{"-race"})
	all := play(t, worker, batch{first: 1, step: 2, count: n / 2}, batch{first: 2, step: 2, count: n / 2})
	require.Equal(t, n, all.Seeds)
}
