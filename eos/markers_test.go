package eos

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// Which markers are due after which ends of transactions, and what is left when some of them are seen.
func TestDueMarkers(t *testing.T) {
	datadriven.Walk(t, "testdata/markers", func(t *testing.T, path string) {
		var due dueMarkers
		var asked dueNow
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "new":
				due = dueMarkers{}
			case "committed":
				due.committed(lastOffsets(t, d), inputsOf(t, d))
			case "aborted":
				due.aborted(lastOffsets(t, d), inputsOf(t, d))
			case "ask":
				asked = due.snapshot()
			case "seen", "seen-of-what-was-asked":
				if d.Cmd == "seen" {
					asked = due.snapshot()
				}
				for _, arg := range d.CmdArgs {
					if arg.Key == "inputs" {
						due.inputsSeen(slices.Contains(arg.Vals, "pending"), asked)
					} else {
						due.seen(offsets.Partition{Topic: "out", Number: number(t, strings.TrimPrefix(arg.Key, "out-"))}, asked)
					}
				}
			default:
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
			return describe(&due)
		})
	})
}

// lastOffsets reads arguments such as out-0=5 or, for a lost answer, out-0=?.
func lastOffsets(t *testing.T, d *datadriven.TestData) map[offsets.Partition]int64 {
	last := map[offsets.Partition]int64{}
	for _, arg := range d.CmdArgs {
		if n, ok := strings.CutPrefix(arg.Key, "out-"); ok {
			p := offsets.Partition{Topic: "out", Number: number(t, n)}
			last[p] = unknownOffset
			if arg.Vals[0] != "?" {
				last[p] = int64(number(t, arg.Vals[0]))
			}
		}
	}
	return last
}

// inputsOf reads an argument such as inputs=10.
func inputsOf(t *testing.T, d *datadriven.TestData) offsets.Set {
	for _, arg := range d.CmdArgs {
		if arg.Key == "inputs" {
			return offsets.Set{{Topic: "in"}: offsets.NewPosition(int64(number(t, arg.Vals[0])))}
		}
	}
	return nil
}

func number(t *testing.T, text string) int32 {
	n, err := strconv.ParseInt(text, 10, 32)
	require.NoError(t, err)
	return int32(n)
}

func describe(due *dueMarkers) string {
	if !due.any() {
		return "nothing is due\n"
	}
	now := due.snapshot()
	outputs, inputs, commit := now.outputs, now.inputs, now.commit
	verdict := map[bool]string{true: "commit", false: "abort"}
	var b strings.Builder
	for _, p := range slices.SortedFunc(maps.Keys(outputs), offsets.Partition.Compare) {
		e := outputs[p]
		fmt.Fprintf(&b, "%s: %s", p, verdict[e.commit])
		if e.last != unknownOffset {
			fmt.Fprintf(&b, " behind %d", e.last)
		}
		if e.behind {
			b.WriteString(", and maybe an abort behind it")
		}
		b.WriteString("\n")
	}
	if len(inputs) > 0 {
		fmt.Fprintf(&b, "inputs %s: %s\n", inputs, verdict[commit])
	}
	return b.String()
}
