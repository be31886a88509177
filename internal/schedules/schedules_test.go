package schedules

import (
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// ciSeeds is how many schedules a CI run plays.
const ciSeeds = 2000

// Whole schedules of faults, from seeds, in virtual time: nothing is lost, doubled, reordered or torn, no transaction stays open,
// the offsets stand at the input's end, every answer of Commit is true, whoever is fenced ends, and all of it within the bound.
// Every kind of fault happens in some of them.
//
// EOS_TEST_SEEDS says how many (100,000 take an hour or two); EOS_TEST_SEED plays that one, with a log; EOS_TEST_FOCUS draws more of one
// family of faults (see Focus).
func TestSchedules(t *testing.T) {
	worker := buildWorker(t, nil)
	focus := Focus(os.Getenv("EOS_TEST_FOCUS"))
	if text := os.Getenv("EOS_TEST_SEED"); text != "" {
		seed, err := strconv.Atoi(text)
		require.NoError(t, err)
		all := play(t, worker, batch{first: seed, step: 1, count: 1, focus: focus, log: true})
		require.NotZero(t, all.Seeds)
		return
	}
	n := ciSeeds
	if text := os.Getenv("EOS_TEST_SEEDS"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	const workers = 2
	var batches []batch
	for i := range workers {
		batches = append(batches, batch{first: 1 + i, step: workers, count: (n + workers - 1 - i) / workers, focus: focus})
	}
	all := play(t, worker, batches...)
	t.Log(all)
	require.Equal(t, n, all.Seeds)
	if focus == "" && n >= ciSeeds {
		require.GreaterOrEqual(t, all.Several, n/2, "schedules with at least two members")
		require.GreaterOrEqual(t, all.Rejoined, n/10, "schedules in which members come again")
		require.Positive(t, all.Fired[kind{act: unlisted}.String()])
		require.Positive(t, all.Fired[kind{act: deaf}.String()])
		for _, k := range kinds {
			require.Positive(t, all.Fired[k.String()], "no schedule had the fault %q: what survives it is not shown", k)
			require.Positive(t, all.Fired[k.consumer().String()], "no schedule of the consumer protocol had the fault %q", k.consumer())
		}
	}
}

// play runs batches side by side, and fails the test for each finding.
func play(t *testing.T, worker string, batches ...batch) *total {
	var mu sync.Mutex
	var wg sync.WaitGroup
	all := &total{Fired: map[string]int{}}
	for _, b := range batches {
		wg.Go(func() {
			b.work(t, worker, func(r Result) {
				mu.Lock()
				defer mu.Unlock()
				all.add(r)
				if len(r.Findings) > 0 {
					t.Errorf("seed %d: %q\nrepeat it by: %s", r.Seed, r.Findings, repeat(r))
				}
			})
		})
	}
	wg.Wait()
	return all
}

// The same seed draws the same plan, and another seed another one; every kind is drawn by some focus or by none.
func TestPlans(t *testing.T) {
	require.Equal(t, Draw(7, "").String(), Draw(7, "").String())
	require.NotEqual(t, Draw(7, "").String(), Draw(8, "").String())
	for _, focus := range []Focus{Ends, Produces, Groups, Absences, Inputs, Handlers, Twins, Consumers} {
		require.NotEmpty(t, kindsOf(focus), focus)
	}
	names := map[string]bool{}
	for _, k := range kinds {
		require.False(t, names[k.String()], "two kinds are called %s", k)
		names[k.String()] = true
	}
	require.True(t, slices.ContainsFunc(kinds, func(k kind) bool { return k.act == twin }))
}
