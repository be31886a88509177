package model

import (
	"fmt"

	"github.com/eos-pipe/eos-pipe/trace"
)

// Finding is something in a trace that no broker that keeps the rules would have answered; or, in [ClassSentTwice], that the
// brokers cannot see.
type Finding struct {
	Index     int         // of the event in the trace, from 1
	Event     trace.Event // what was seen
	Reason    Reason      // the rule that it breaks
	Expected  string      // what the rule asks for instead
	IsCertain bool        // false: the validator had to drop possibilities before, or an end is in doubt
}

// Class says what the finding means for the data.
func (f Finding) Class() Class { return f.Reason.Class() }

// String gives the finding on one line: where, what kind, what was expected, the rule, and where Kafka keeps it.
func (f Finding) String() string {
	doubt := ""
	if !f.IsCertain {
		doubt = " (in doubt)"
	}
	return fmt.Sprintf("event %d: %s%s: expected %s; rule: %s [%s]; seen: %s", f.Index, f.Class(), doubt, f.Expected, f.Reason, f.Reason.Source(), f.Event)
}
