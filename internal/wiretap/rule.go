package wiretap

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Action is what a rule does to what it matches. The zero value is no action, which Validate refuses.
type Action uint8

// The actions. "Broker applied it" means that the broker's complete answer was read before the action.
const (
	_              Action = iota
	DropReply             // forward; read the answer to the end and throw it away; close: the broker did it, the client does not know
	DropRequest           // close before a byte of the request is forwarded: it never arrived
	CutReply              // the broker applied it; hand half of the answer's bytes to the client, and close
	CutRequest            // forward half of the request's bytes, and close: it never arrived
	HangReply             // the broker applied it; this answer and all after it never come, though the connection stays open
	HangRequest           // neither this request nor any after it is forwarded, though the connection stays open
	DelayRequest          // forward Rule.Delay after it was written
	DelayReply            // hand the answer to the client Rule.Delay after it came
	HoldRequest           // forward when the Fault is released
	HoldReply             // hand the answer to the client when the Fault is released; the broker applied it before Reached
	DoubleRequest         // forward, and Rule.Delay later (which may be zero) deliver it again; see "Doubles" in the package comment
	HoldDouble            // forward, and deliver it again when the Fault is released; see "Doubles" in the package comment
	FlipRequest           // flip one bit in the records of a Produce, and forward
	FlipReply             // flip one bit in the records of the answer to a Fetch
	RewriteError          // the broker applied it; every error_code field of the answer becomes Rule.ErrorCode
	UnlistAborted         // the answer to a Fetch lists no aborted transactions, as a broker's does whose transaction index is wrong
	CallOnRequest         // run Rule.Call before the request is forwarded
	CallOnReply           // run Rule.Call after the broker applied it, before the client gets the answer
	CallAfterReply        // run Rule.Call after the client got the answer: when it reads on from the connection
)

// actionNames are the actions as rules are written.
var actionNames = map[Action]string{
	DropReply:      "drop-reply",
	DropRequest:    "drop-request",
	CutReply:       "cut-reply",
	CutRequest:     "cut-request",
	HangReply:      "hang-reply",
	HangRequest:    "hang-request",
	DelayRequest:   "delay-request",
	DelayReply:     "delay-reply",
	HoldRequest:    "hold-request",
	HoldReply:      "hold-reply",
	DoubleRequest:  "double-request",
	HoldDouble:     "hold-double",
	FlipRequest:    "flip-request",
	FlipReply:      "flip-reply",
	RewriteError:   "rewrite-error",
	UnlistAborted:  "unlist-aborted",
	CallOnRequest:  "call-on-request",
	CallOnReply:    "call-on-reply",
	CallAfterReply: "call-after-reply",
}

// String returns the action as rules are written, for example "drop-reply".
func (a Action) String() string {
	if name, ok := actionNames[a]; ok {
		return name
	}
	return fmt.Sprintf("action-%d", uint8(a))
}

// onReply reports whether the action is about the broker's answer.
func (a Action) onReply() bool {
	switch a {
	case DropReply, CutReply, HangReply, DelayReply, HoldReply, FlipReply, RewriteError, UnlistAborted, CallOnReply, CallAfterReply:
		return true
	default:
		return false
	}
}

// calls reports whether the action runs a function.
func (a Action) calls() bool { return a == CallOnRequest || a == CallOnReply || a == CallAfterReply }

// AnyAPI in Rule.API matches every request.
const AnyAPI kmsg.Key = -1

// Always in Rule.Count is no limit.
const Always = -1

// Rule says which requests a fault hits, and what it does. It is data: String and Parse turn it into one line of text and back, all but
// the functions When and Call.
type Rule struct {
	API    kmsg.Key           // for example kmsg.EndTxn, or AnyAPI; the zero value is Produce
	Commit *bool              // EndTxn only: match commits (true) or aborts (false); nil matches both
	Topic  string             // match only requests that name this topic (see Request.Topics); empty matches all
	Broker string             // match only requests to the broker at this address, as "127.0.0.1:9092"; empty matches all
	When   func(Request) bool // match only if true; nil matches. Runs before the request is forwarded and must not keep it. See Where
	Skip   int                // leave this many matches alone first
	Count  int                // then act on this many; zero is one, Always is no limit

	Action    Action
	Delay     time.Duration // for DelayRequest, DelayReply and DoubleRequest
	ErrorCode int16         // for RewriteError, a code of Kafka's Errors, for example kerr.UnknownServerError.Code
	// Call is for CallOnRequest, CallOnReply and CallAfterReply, and may be set for DropRequest and DropReply, where it runs at the same
	// step as for the former two, before the connection is closed. It may call any method of Tap and Fault but Tap.Close.
	Call func(Event)
}

// Validate returns all that is wrong with the rule, or nil.
func (r Rule) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("wiretap rule: "+format, args...)) }

	if r.API != AnyAPI && kmsg.RequestForKey(r.API.Int16()) == nil {
		fault("API key %d is not a Kafka API: use a kmsg key or AnyAPI", r.API)
	}
	if r.Commit != nil && r.API != kmsg.EndTxn {
		fault("commit=%t on %s: only EndTxn has it", *r.Commit, apiName(r.API))
	}
	if _, ok := actionNames[r.Action]; !ok {
		fault("no action: set one, for example DropReply")
	}
	if r.Skip < 0 {
		fault("skip %d is negative: give the number of matches to leave alone", r.Skip)
	}
	if r.Count < Always {
		fault("count %d is negative: give a number, or Always", r.Count)
	}
	if delays := r.Action == DelayRequest || r.Action == DelayReply; r.Delay < 0 || r.Action != DoubleRequest && delays != (r.Delay > 0) {
		fault("%s with a delay of %v: delays, and only delays, need one above zero; double-request may have one", r.Action, r.Delay)
	}
	if r.Action == FlipRequest && r.API != kmsg.Produce || r.Action == FlipReply && r.API != kmsg.Fetch {
		fault("%s on %s: only records have a checksum, and only Produce requests and Fetch replies have records", r.Action, apiName(r.API))
	}
	if r.Action == UnlistAborted && r.API != kmsg.Fetch {
		fault("%s on %s: only Fetch replies list aborted transactions", r.Action, apiName(r.API))
	}
	if (r.Action == RewriteError) != (r.ErrorCode != 0) {
		fault("%s with error code %d: rewrite-error, and only it, needs one", r.Action, r.ErrorCode)
	}
	if drops := r.Action == DropRequest || r.Action == DropReply; !drops && r.Action.calls() != (r.Call != nil) {
		fault("%s with Call set: %t: call-on-request, call-on-reply and call-after-reply need a function, and else only drops may have one",
			r.Action, r.Call != nil)
	}
	return errors.Join(errs...)
}

// limit returns how many hits the rule allows, or Always.
func (r Rule) limit() int {
	if r.Count == 0 {
		return 1
	}
	return r.Count
}

// matches reports whether the rule is about req, its Skip and Count aside.
func (r Rule) matches(req Request) bool {
	switch {
	case r.Broker != "" && r.Broker != req.Addr:
		return false
	case r.Commit != nil && !Where(func(end *kmsg.EndTxnRequest) bool { return end.Commit == *r.Commit })(req):
		return false
	case r.Topic != "" && !req.names(r.Topic):
		return false
	case r.When != nil && !r.When(req):
		return false
	}
	return true
}

// apiName returns the API as Kafka spells it, or "*" for all.
func apiName(api kmsg.Key) string {
	if api == AnyAPI {
		return "*"
	}
	return api.Name()
}
