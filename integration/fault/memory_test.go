package fault

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// littleMemory is what a process may take at its highest, in MiB, and the limit that a container of this size sets for Go's part of it.
const (
	littleMemory = 256
	goMemory     = "230MiB"
)

// A process that may take 256 MiB copies what is much more, whatever it is: many records, large ones, batches of kilobytes that hold 60 MB,
// records with
// thousands of headers that take no bytes, records of which each becomes a thousand, more partitions than there is room to fetch of, and faster than the sink takes it.
func TestFaultLittleMemory(t *testing.T) {
	t.Setenv("GOMEMLIMIT", goMemory)
	for _, l := range proc.Loads {
		t.Run(l.Name, func(t *testing.T) {
			p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{1}, To: []int32{6}}, append(l.Flags, "--until-end")...)
			l.Fill(p)
			began := time.Now()
			pr := l.Start(p)
			peak := peakMemory(pr, t)
			require.Zero(t, pr.Wait(time.Second), "%q", pr.Said())
			t.Logf("%v, at its highest %d MiB: %v", time.Since(began).Round(time.Millisecond), peak, pr.Result())
			l.RequireCopied(p)
			require.LessOrEqual(t, peak, littleMemory, "MiB at the highest")
		})
	}
}

// peakMemory returns what the process has taken at its highest, in MiB, when it has ended.
func peakMemory(pr *proc.Process, t *testing.T) (peak int) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	end := time.After(5 * time.Minute)
	for {
		select {
		case <-pr.Exited:
			return peak
		case <-end:
			require.FailNow(t, "the process does not end")
		case <-again.C:
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pr.Cmd.Process.Pid))
			if err != nil {
				continue // it is gone
			}
			_, line, _ := strings.Cut(string(status), "VmHWM:")
			if fields := strings.Fields(line); len(fields) > 0 {
				kib, err := strconv.Atoi(fields[0])
				require.NoError(t, err)
				peak = max(peak, kib>>10)
			}
		}
	}
}
