package offsets_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// The files in testdata/diff show what Diff says of two sets, given as two lines.
// `go test ./offsets -run TestDiff -rewrite` writes the answers anew; review them as a change.
func TestDiff(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/diff", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "diff" {
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			before, after, _ := strings.Cut(d.Input, "\n")
			var out strings.Builder
			for _, c := range offsets.Diff(mustSet(t, strings.TrimPrefix(before, "before")), mustSet(t, strings.TrimPrefix(after, "after"))) {
				fmt.Fprintln(&out, c)
			}
			if out.Len() == 0 {
				return "no change\n"
			}
			return out.String()
		})
	})
}

// A kind that is none of the four says so instead of borrowing a name.
func TestKindUnknown(t *testing.T) {
	t.Parallel()
	require.Equal(t, "kind(0)", offsets.Kind(0).String())
	require.Equal(t, "kind(5)", (offsets.Rewound + 1).String())
}
