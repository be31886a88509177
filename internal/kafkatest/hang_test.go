package kafkatest

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// What hangs is said by the test's name and the lines where its goroutines stand.
func TestHangingIsSaid(t *testing.T) {
	note(t)
	stacks := make([]byte, 1<<20)
	said := hanging(string(stacks[:runtime.Stack(stacks, true)]))
	require.Regexp(t, `TestHangingIsSaid has run for 0s\n`, said)
	require.Regexp(t, `\[running\]: hang_test.go:14 < `, said)
	require.NotContains(t, said, "main.go")
}
