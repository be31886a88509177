package schedules

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// total is what came of many schedules.
type total struct {
	Seeds, Several, Rejoined   int
	Records, Commits, Failures int
	Evicted                    int
	Virtual, Real              time.Duration
	Fired                      map[string]int // schedules in which a kind of fault happened
}

func (a *total) add(r Result) {
	a.Seeds++
	if r.Members > 1 {
		a.Several++
	}
	if r.Joins > 0 {
		a.Rejoined++
	}
	if r.Evicted > 0 {
		a.Evicted++
	}
	a.Records += r.Records
	a.Commits += r.Commits
	a.Failures += r.Failures
	a.Virtual += r.Virtual
	a.Real += r.Real
	for k := range r.Fired {
		a.Fired[k]++
	}
}

// String tells the counts, the rarest faults last.
func (a *total) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d schedules, %d with several members, %d with members that came again; "+
		"%v of virtual time in %v; %d records, %d commits and %d failed ones; %d evictions",
		a.Seeds, a.Several, a.Rejoined, a.Virtual.Round(time.Minute), a.Real.Round(time.Second), a.Records, a.Commits, a.Failures, a.Evicted)
	var names []string
	for name := range a.Fired {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int { return a.Fired[y] - a.Fired[x] })
	for _, name := range names {
		fmt.Fprintf(&b, "\n%6d  %s", a.Fired[name], name)
	}
	return b.String()
}
