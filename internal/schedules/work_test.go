//go:build synctests

package schedules

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// The worker: it runs the seeds that the environment names, and prints a line of JSON for each. TestSchedules and TestMutants
// build and start it; see drive_test.go.
func TestWork(t *testing.T) {
	number := func(name string) uint64 {
		n, err := strconv.ParseUint(os.Getenv(name), 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	first, step, count := number(envFirst), number(envStep), number(envCount)
	focus := Focus(os.Getenv(envFocus))
	began := time.Now()
	for i := range count {
		plan := Draw(first+i*step, focus)
		fmt.Fprintf(os.Stdout, "%s%d\n", beginLine, plan.Seed)
		log := func(string, ...any) {}
		if os.Getenv(envLog) != "" {
			fmt.Fprint(os.Stdout, plan)
		}
		var result Result
		at := time.Now()
		synctest.Test(t, func(*testing.T) {
			began := time.Now()
			if os.Getenv(envLog) != "" {
				log = func(format string, args ...any) {
					fmt.Fprintf(os.Stdout, "  %8.3fs %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
				}
			}
			result = run(plan, log)
		})
		result.Real = time.Since(at)
		line, err := json.Marshal(result)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(os.Stdout, "%s%s\n", resultLine, line)
	}
	t.Logf("%d schedules in %v", count, time.Since(began))
}
