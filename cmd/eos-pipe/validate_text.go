package main

import "fmt"

// findingResult is one finding or note as validate prints it.
type findingResult struct {
	Type      string `json:"type"`           // "finding" or "note"
	Line      int    `json:"line,omitempty"` // of the trace, from 1; 0: its end
	Class     string `json:"class"`
	Expected  string `json:"expected"`
	Seen      string `json:"seen"`
	Rule      string `json:"rule"`
	Source    string `json:"source"`  // where Kafka keeps the rule: classes and KIPs
	IsCertain bool   `json:"certain"` // false: it may come of what the trace does not show
}

// String gives it on one line.
func (r findingResult) String() string {
	where, doubt := fmt.Sprintf("line %d", r.Line), ""
	if r.Line == 0 {
		where = "end"
	}
	if !r.IsCertain {
		doubt = " (in doubt)"
	}
	return fmt.Sprintf("%s: %s: %s%s: expected %s; seen: %s; rule: %s [%s]", where, r.Type, r.Class, doubt, r.Expected, r.Seen, r.Rule, r.Source)
}

// validateResult is the last line that validate prints.
type validateResult struct {
	Type       string `json:"type"` // "summary"
	Events     int    `json:"events"`
	Partitions int    `json:"partitions"`
	Producers  int    `json:"producers"`
	Open       int    `json:"open"` // transactions, where the logs end
	Findings   int    `json:"findings"`
	Notes      int    `json:"notes"`
}

// String returns the counts.
func (r validateResult) String() string {
	return fmt.Sprintf("findings=%d notes=%d events=%d partitions=%d producers=%d open=%d", r.Findings, r.Notes, r.Events, r.Partitions, r.Producers, r.Open)
}
