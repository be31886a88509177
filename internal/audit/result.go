package audit

import (
	"fmt"
	"strings"

	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Result is what an audit has found. Its JSON form is a contract with scripts: fields may be added, not renamed.
type Result struct {
	checker.Report
	Open int `json:"open"` // output partitions in which a transaction is open
	// Incomparable says that no record of the output says that it comes from the input: nothing counts as lost.
	Incomparable bool `json:"incomparable,omitempty"`
}

// String returns the counts, and an example of each kind of finding on lines of their own.
func (r Result) String() string {
	lines := append([]string{fmt.Sprintf("%s open=%d", r.Report, r.Open)}, r.Examples...)
	if r.Incomparable {
		lines[0] = "nothing could be compared: " + lines[0]
	}
	return strings.Join(lines, "\n  ")
}

// ProgramError says that the filter or the map failed for a record that the group has committed: the pipe has left that
// record out, or made a dead letter of it, or ran another program.
type ProgramError struct {
	Partition offsets.Partition
	Offset    int64
	Err       error
}

// Error names the record and the cause.
func (e *ProgramError) Error() string {
	return fmt.Sprintf("%s@%d: %v; the group has committed this record, and nothing is compared",
		e.Partition, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *ProgramError) Unwrap() error { return e.Err }
