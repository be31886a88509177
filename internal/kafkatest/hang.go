package kafkatest

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// hangMargin is how long before go test's own time-out a hanging test is said here: the goroutines of a hundred clients, which go test
// prints then, hide the one that hangs.
const hangMargin = 15 * time.Second

// running are the tests that have a client or a cluster.
var running struct {
	sync.Mutex
	names map[string]time.Time
}

// note remembers that the test runs.
func note(t testing.TB) {
	running.Lock()
	defer running.Unlock()
	if _, known := running.names[t.Name()]; known {
		return
	}
	if running.names == nil {
		running.names = map[string]time.Time{}
	}
	running.names[t.Name()] = time.Now()
	t.Cleanup(func() {
		running.Lock()
		defer running.Unlock()
		delete(running.names, t.Name())
	})
}

// endHanging ends the process shortly before go test would for its -timeout; all goroutines go to a file, and what hangs where is the
// last that is said.
func endHanging() {
	flag.Parse()
	f := flag.Lookup("test.timeout")
	if f == nil {
		return
	}
	timeout, ok := f.Value.(flag.Getter).Get().(time.Duration)
	if !ok || timeout <= 2*hangMargin {
		return
	}
	time.AfterFunc(timeout-hangMargin, func() {
		stacks := make([]byte, 64<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		file, err := os.CreateTemp("", "eos-pipe-hang-*.txt")
		if err == nil {
			_, err = file.Write(stacks)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "integration: the goroutines are not kept: %v\n", err)
		} else {
			fmt.Fprintf(os.Stderr, "integration: all goroutines are in %s\n", file.Name())
		}
		fmt.Fprintf(os.Stderr, "integration: the tests have not ended in %v\n%s", timeout, hanging(string(stacks)))
		os.Exit(2) //nolint:forbidigo // as go test's time-out does
	})
}

var (
	inTest = regexp.MustCompile(`/(integration/[a-z/]+|internal/kafkatest)\.`)
	place  = regexp.MustCompile(`/([^/\n]+\.go:[0-9]+)`)
)

// hanging says which tests run, since when, and where the goroutines that run them stand: innermost call first.
func hanging(stacks string) string {
	var said strings.Builder
	running.Lock()
	for name, since := range running.names {
		fmt.Fprintf(&said, "%s has run for %v\n", name, time.Since(since).Round(time.Second))
	}
	running.Unlock()
	var seen []string
	for g := range strings.SplitSeq(stacks, "\n\n") {
		if !inTest.MatchString(g) || strings.Contains(g, "kafkatest.endHanging") || strings.Contains(g, "kafkatest.Main(") {
			continue
		}
		head, _, _ := strings.Cut(g, "\n")
		var calls []string
		for _, m := range place.FindAllStringSubmatch(g, 7) {
			calls = append(calls, m[1])
		}
		_, state, _ := strings.Cut(head, " [")
		if line := fmt.Sprintf("[%s %s\n", state, strings.Join(calls, " < ")); !slices.Contains(seen, line) && len(seen) < 6 {
			seen = append(seen, line)
		}
	}
	return said.String() + strings.Join(seen, "")
}
