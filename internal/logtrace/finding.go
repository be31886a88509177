package logtrace

import (
	"fmt"

	"github.com/eos-pipe/eos-pipe/validator"
)

// Finding is one finding or note about a trace. Its JSON form and its text are contracts with scripts: members are only added.
type Finding struct {
	Type      string `json:"type"`           // "finding" or "note"
	Line      int    `json:"line,omitempty"` // of the trace, from 1; 0: its end
	Class     string `json:"class"`
	Expected  string `json:"expected"`
	Seen      string `json:"seen"`
	Rule      string `json:"rule"`
	Source    string `json:"source"`  // where Kafka keeps the rule: classes and KIPs
	IsCertain bool   `json:"certain"` // false: it may come from what the trace does not show
}

const (
	typeFinding = "finding"
	typeNote    = "note"
)

// findingOf says what a validator's finding about a line is for the reader of the trace.
func findingOf(line int, f validator.Finding, duplicates string) Finding {
	r := Finding{Type: typeFinding, Line: line, Class: f.Class, Expected: f.Expected, Seen: "the end of the log", Rule: f.Rule, Source: f.Source, IsCertain: f.IsCertain}
	if f.Event != nil {
		r.Seen = f.Event.String()
	}
	isAllowed := f.Class == validator.Undecided || f.Class == validator.OpenTransaction || f.Class == validator.SentTwice && duplicates != DuplicatesError
	if isAllowed || !f.IsCertain {
		r.Type = typeNote
	}
	return r
}

// String gives it on one line.
func (f Finding) String() string {
	where, doubt := fmt.Sprintf("line %d", f.Line), ""
	if f.Line == 0 {
		where = "end"
	}
	if !f.IsCertain {
		doubt = " (in doubt)"
	}
	return fmt.Sprintf("%s: %s: %s%s: expected %s; seen: %s; rule: %s [%s]", where, f.Type, f.Class, doubt, f.Expected, f.Seen, f.Rule, f.Source)
}

// Summary says how much was judged, and how much was found. Its JSON form and its text are contracts with scripts.
type Summary struct {
	Type       string `json:"type"` // "summary"
	Events     int    `json:"events"`
	Partitions int    `json:"partitions"`
	Producers  int    `json:"producers"`
	Open       int    `json:"open"` // transactions, where the logs end
	Findings   int    `json:"findings"`
	Notes      int    `json:"notes"`
}

// String returns the counts.
func (s Summary) String() string {
	return fmt.Sprintf("findings=%d notes=%d events=%d partitions=%d producers=%d open=%d", s.Findings, s.Notes, s.Events, s.Partitions, s.Producers, s.Open)
}
