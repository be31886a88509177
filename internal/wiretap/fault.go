package wiretap

import (
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Fault is a rule in force. Its methods may be called at any time from any goroutine.
type Fault struct {
	rule     Rule
	text     string        // rule.String(), made once
	reached  chan struct{} // closed at the first hit
	spent    chan struct{} // closed at the last hit the rule allows
	released chan struct{} // closed by Release

	mu       sync.Mutex
	skipped  int             // matches left alone; ≤ rule.Skip
	reserved int             // matches bound to a request, whose turn has not come
	hits     int             // faults that happened; hits+reserved ≤ rule.limit() unless that is Always
	removed  bool            // by Remove or Release: matches nothing more
	let      bool            // by Release
	answers  []kmsg.Response // of the brokers to the copies, for DoubleRequest and HoldDouble
}

func newFault(rule Rule) *Fault {
	return &Fault{
		rule:     rule,
		text:     rule.String(),
		reached:  make(chan struct{}),
		spent:    make(chan struct{}),
		released: make(chan struct{}),
	}
}

// Rule returns the rule as it was added.
func (f *Fault) Rule() Rule { return f.rule }

// String returns the rule's text.
func (f *Fault) String() string { return f.text }

// Hits returns how often the fault has really happened; one that a client or a broker has noticed is among them. A test that ends with zero has
// shown nothing.
func (f *Fault) Hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

// Reached returns a channel that is closed at the first hit: for a hold, when the request or the complete reply has arrived in the tap;
// for a delay or hang, when it begins; for a drop or cut, after the connection was closed; for a double, when the broker has answered the
// copy; for a call, after the function returned.
func (f *Fault) Reached() <-chan struct{} { return f.reached }

// Spent returns a channel that is closed at the last hit that Count allows: from then on the rule matches nothing.
func (f *Fault) Spent() <-chan struct{} { return f.spent }

// Answers returns what brokers have answered to the copies that a DoubleRequest or HoldDouble rule delivered, oldest first.
func (f *Fault) Answers() []kmsg.Response {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.answers)
}

// Release ends the rule, and lets go all that it holds. Called again, or on a rule that holds nothing, it is the same as Remove.
func (f *Fault) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removed = true
	if !f.let {
		f.let = true
		close(f.released)
	}
}

// Remove ends the rule for requests to come. What it is bound to or holds already is not changed.
func (f *Fault) Remove() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removed = true
}

// reserve binds one hit to req if the rule applies to it. Each reserved hit ends in either hit or refund.
func (f *Fault) reserve(req Request) bool {
	if f.rule.API != AnyAPI && f.rule.API != req.API {
		return false
	}
	f.mu.Lock()
	exhausted := f.exhausted()
	f.mu.Unlock()
	if exhausted || !f.rule.matches(req) { // matches decodes, and runs user code: not under mu
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.exhausted():
		return false
	case f.skipped < f.rule.Skip:
		f.skipped++
		return false
	}
	f.reserved++
	return true
}

// exhausted reports whether the rule can take no more matches. The caller holds mu.
func (f *Fault) exhausted() bool {
	limit := f.rule.limit()
	return f.removed || limit != Always && f.hits+f.reserved >= limit
}

// hit turns a reserved hit into one that happened.
func (f *Fault) hit() {
	f.count()
	f.tell()
}

// count counts a hit. Of a fault that anybody may notice it is called before that.
func (f *Fault) count() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reserved--
	f.hits++
}

// tell closes what waits for the hits that are counted.
func (f *Fault) tell() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !isClosed(f.reached) {
		close(f.reached)
	}
	if f.hits == f.rule.limit() && !isClosed(f.spent) {
		close(f.spent)
	}
}

// refund gives reserved hits back: their connection ended before the faults could happen.
func refund(faults []*Fault) {
	for _, f := range faults {
		f.mu.Lock()
		f.reserved--
		f.mu.Unlock()
	}
}

// note keeps what a broker answered to a copy.
func (f *Fault) note(answer kmsg.Response) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers = append(f.answers, answer)
}
