package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// validate prints what the trace holds, and ends with 0, 1 with a finding, and 2 where it cannot be read or a flag is wrong.
func TestValidateExits(t *testing.T) {
	t.Parallel()
	const first = "produce v=12 to=t-0 producer=7/0 transactional=false seq=0 count=1 time_ms=1 digest=a acks=-1 -> NONE offset=0\n"
	const again = "produce v=12 to=t-0 producer=7/0 transactional=false seq=1 count=1 time_ms=1 digest=a acks=-1 -> NONE offset=1\n"
	const gap = "produce v=12 to=t-0 producer=7/0 transactional=false seq=2 count=1 time_ms=1 acks=-1 -> NONE offset=1\n"
	for _, c := range []struct {
		name, text     string
		flags          []string
		code           int
		stdout, stderr string
	}{
		{"right", first, nil, exitDone, "findings=0 notes=0 events=1 partitions=1 producers=1 open=0\n", ""},
		{"gap", first + gap, nil, exitFailure, "line 2: finding: sequence: expected OUT_OF_ORDER_SEQUENCE_NUMBER;", "the trace is not one of Kafka's brokers"},
		{"gap in JSON", first + gap, []string{"--json"}, exitFailure, `{"type":"finding","line":2,"class":"sequence",`, "the trace is not one of Kafka's brokers"},
		{"sent twice", first + again, nil, exitDone, "line 2: note: sent twice: ", ""},
		{"sent twice is an error", first + again, []string{"--duplicates", "error"}, exitFailure, "line 2: finding: sent twice: ", ""},
		{"sent twice is ignored", first + again, []string{"--duplicates", "ignore"}, exitDone, "findings=0 notes=0 ", ""},
		{"an older broker", first, []string{"--kafka", "3.5"}, exitFailure, "line 1: finding: request: ", ""},
		{"an unknown broker", first, []string{"--kafka", "2.8"}, exitUsage, "", "--kafka"},
		{"no trace", first + "smash\n", nil, exitUsage, "", "line 2 of the trace cannot be read: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "trace")
			require.NoError(t, os.WriteFile(file, []byte(c.text), 0o600))
			code, stdout, stderr := call(t, append([]string{"validate", file, "--quiet"}, c.flags...)...)
			require.Equal(t, c.code, code, stderr)
			require.Contains(t, stdout, c.stdout)
			require.Contains(t, stderr, c.stderr)
		})
	}
}
