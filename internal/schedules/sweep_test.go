package schedules

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a session does about each error at each API, cell by cell, is what docs/errors.md says; and whatever it does, nothing is lost,
// doubled, torn or left open, as in every schedule. Where it stops, its successor with the same ids continues.
//
// EOS_TEST_UPDATE=1 writes the table anew.
func TestErrorTable(t *testing.T) {
	worker := buildWorker(t, nil)
	const workers = 2
	cells := make(map[uint64]Result)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range workers {
		b := batch{first: 1 + i, step: workers, count: (Cells() + workers - 1 - i) / workers, focus: Errors}
		wg.Go(func() {
			b.work(t, worker, func(r Result) {
				mu.Lock()
				defer mu.Unlock()
				cells[r.Seed] = r
			})
		})
	}
	wg.Wait()
	require.GreaterOrEqual(t, len(cells), 400)
	require.Len(t, cells, Cells())
	for _, r := range cells {
		api, code := cell(r.Seed)
		require.Empty(t, r.Findings, "%s %s\nrepeat it by: %s", api.Name(), code.Message, repeat(r))
		require.NotEmpty(t, r.Fired, "%s is never answered with %s: what is done about it is not shown", api.Name(), code.Message)
	}
	const file, fence = "../../docs/errors.md", "```\n"
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), fence)
	require.True(t, ok)
	table, after, ok := strings.Cut(rest, fence)
	require.True(t, ok)
	if os.Getenv("EOS_TEST_UPDATE") != "" {
		require.NoError(t, os.WriteFile(file, []byte(before+fence+render(cells)+fence+after), 0o600))
		return
	}
	says := parse(table)
	require.Len(t, says, len(cells))
	for _, r := range cells {
		api, code := cell(r.Seed)
		want := says[api.Name()+" "+code.Message]
		if !strings.Contains(want, replaces) { // a rebalance that the error brings about may ask for it as well
			r.Did = slices.DeleteFunc(r.Did, func(what string) bool { return what == replaces })
		}
		require.Equal(t, want, r.Action(), "%s %s\nrepeat it by: %s", api.Name(), code.Message, repeat(r))
	}
}

// parse reads what render writes: for each API and error what is done.
func parse(table string) map[string]string {
	says := map[string]string{}
	api, action := "", ""
	for line := range strings.Lines(table) {
		switch words := strings.TrimSpace(line); {
		case !strings.HasPrefix(line, " "):
			api = words
			continue
		case !strings.HasPrefix(line, "     "):
			action, line, _ = strings.Cut(words, ":")
		}
		for code := range strings.FieldsSeq(line) {
			says[api+" "+code] = action
		}
	}
	return says
}

// render writes the table: for each API what is done, and about which errors.
func render(cells map[uint64]Result) string {
	var b strings.Builder
	for _, api := range sweptAPIs {
		fmt.Fprintf(&b, "%s\n", api.Name())
		byAction := map[string][]string{}
		for seed := uint64(1); seed <= uint64(Cells()); seed++ {
			if at, code := cell(seed); at == api {
				byAction[cells[seed].Action()] = append(byAction[cells[seed].Action()], code.Message)
			}
		}
		for _, action := range slices.Sorted(maps.Keys(byAction)) {
			line := "  " + action + ":"
			for _, code := range byAction[action] {
				if len(line)+len(code) > 118 {
					fmt.Fprintln(&b, line)
					line = "     "
				}
				line += " " + code
			}
			fmt.Fprintln(&b, line)
		}
	}
	return b.String()
}
