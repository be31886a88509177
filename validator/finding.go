package validator

import (
	"fmt"

	"github.com/eos-pipe/eos-pipe/trace"
)

// The classes of findings that do not say that a broker has broken a rule.
const (
	// SentTwice is the class of equal contents that are committed under different sequences or producers. A client has sent
	// them twice; the brokers are right to take them.
	SentTwice = "sent twice"
	// Undecided is the class of the one finding that says that so many answers are missing that the validator had to give up
	// possibilities. What it finds afterwards is in doubt.
	Undecided = "undecided"
	// OpenTransaction is the class of a transaction that has no marker where the log ends, and may be under way.
	OpenTransaction = "open transaction"
)

// Finding is something that no broker that keeps Kafka's rules would have answered or written; or, in the classes [SentTwice],
// [Undecided] and [OpenTransaction], something that a reader of the trace should know. docs/validator.md lists all classes.
type Finding struct {
	Event     trace.Event // what was seen; nil if something is missing where the log ends
	Class     string      // what the finding means for the data, such as "sequence" or "epoch"
	Expected  string      // what the rule asks for instead
	Rule      string      // the rule in words
	Source    string      // where Kafka keeps the rule: classes and KIPs
	IsCertain bool        // false: it may come from what the validator was not shown

	index int // of the event, from 1
}

// String gives the finding on one line: the number of the event, what was expected, the rule, and what was seen.
func (f Finding) String() string {
	doubt, seen := "", "the end of the log"
	if !f.IsCertain {
		doubt = " (in doubt)"
	}
	if f.Event != nil {
		seen = f.Event.String()
	}
	return fmt.Sprintf("event %d: %s%s: expected %s; rule: %s [%s]; seen: %s", f.index, f.Class, doubt, f.Expected, f.Rule, f.Source, seen)
}
