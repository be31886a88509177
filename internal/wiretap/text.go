package wiretap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// String returns the rule on one line:
//
//	<API>[ commit=true|false][ topic=<name>][ broker=<host:port>]: <action>[ <delay or error>][ skip <n>][ x<n>| always]
//
// for example "EndTxn commit=true: drop-reply x3", "Produce topic=orders: delay-reply 200ms skip 10 always",
// "EndTxn: rewrite-error UNKNOWN_SERVER_ERROR". The API "*" is every API. A rule with When shows "when=func", and a
// drop with Call "with call", which Parse refuses.
func (r Rule) String() string {
	var b strings.Builder
	b.WriteString(apiName(r.API))
	if r.Commit != nil {
		fmt.Fprintf(&b, " commit=%t", *r.Commit)
	}
	if r.Topic != "" {
		fmt.Fprintf(&b, " topic=%s", r.Topic)
	}
	if r.Broker != "" {
		fmt.Fprintf(&b, " broker=%s", r.Broker)
	}
	if r.When != nil {
		b.WriteString(" when=func")
	}
	fmt.Fprintf(&b, ": %s", r.Action)
	if r.Call != nil && !r.Action.calls() {
		b.WriteString(" with call")
	}
	if r.Delay != 0 {
		fmt.Fprintf(&b, " %s", r.Delay)
	}
	if r.ErrorCode != 0 {
		fmt.Fprintf(&b, " %s", errorName(r.ErrorCode))
	}
	if r.Skip != 0 {
		fmt.Fprintf(&b, " skip %d", r.Skip)
	}
	switch n := r.limit(); {
	case n == Always:
		b.WriteString(" always")
	case n != 1:
		fmt.Fprintf(&b, " x%d", n)
	}
	return b.String()
}

// Parse reads one rule as String writes it. The rule is valid if the error is nil. Actions that call a function cannot be written.
func Parse(text string) (Rule, error) {
	colon := strings.LastIndex(text, ":") // a broker's address has one as well, and stands before it
	if colon < 0 {
		return Rule{}, fmt.Errorf(`wiretap rule %q has no ":": write it as "EndTxn: drop-reply x3"`, text)
	}
	var r Rule
	if err := r.parseMatch(strings.Fields(text[:colon])); err != nil {
		return Rule{}, fmt.Errorf("wiretap rule %q: %w", text, err)
	}
	if err := r.parseAction(strings.Fields(text[colon+1:])); err != nil {
		return Rule{}, fmt.Errorf("wiretap rule %q: %w", text, err)
	}
	if err := r.Validate(); err != nil {
		return Rule{}, fmt.Errorf("%q: %w", text, err)
	}
	return r, nil
}

// parseMatch reads the words before the colon.
func (r *Rule) parseMatch(words []string) error {
	if len(words) == 0 {
		return fmt.Errorf(`no API before the ":": name one, or "*" for all`)
	}
	if err := r.parseAPI(words[0]); err != nil {
		return err
	}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		switch {
		case name == "commit" && (value == "true" || value == "false"):
			r.Commit = new(value == "true")
		case name == "topic" && value != "":
			r.Topic = value
		case name == "broker" && value != "":
			r.Broker = value
		default:
			return fmt.Errorf("%q is no condition: use commit=true, commit=false, topic=<name>, or broker=<host:port>", word)
		}
	}
	return nil
}

// parseAPI finds an API by the name Kafka gives it.
func (r *Rule) parseAPI(name string) error {
	if name == "*" {
		r.API = AnyAPI
		return nil
	}
	for key := range int16(kmsg.MaxKey + 1) {
		if kmsg.RequestForKey(key) != nil && kmsg.NameForKey(key) == name {
			r.API = kmsg.Key(key)
			return nil
		}
	}
	return fmt.Errorf("%q is no Kafka API: name one as Kafka spells it, for example EndTxn", name)
}

// parseAction reads the words after the colon.
func (r *Rule) parseAction(words []string) error {
	if len(words) == 0 {
		return fmt.Errorf(`no action after the ":": for example drop-reply`)
	}
	for action, name := range actionNames {
		if name == words[0] {
			r.Action = action
		}
	}
	words = words[1:]
	var err error
	switch r.Action {
	case 0:
		return fmt.Errorf("unknown action: use one of %s", strings.Join(writable(), ", "))
	case CallOnRequest, CallOnReply, CallAfterReply:
		return fmt.Errorf("%s needs a function: it can be used from Go only", r.Action)
	case DelayRequest, DelayReply:
		words, err = parseWord(words, "a duration such as 200ms", &r.Delay, time.ParseDuration)
	case DoubleRequest:
		if len(words) > 0 {
			if delay, err := time.ParseDuration(words[0]); err == nil { // else it is one of the numbers
				r.Delay, words = delay, words[1:]
			}
		}
	case RewriteError:
		words, err = parseWord(words, "an error such as UNKNOWN_SERVER_ERROR", &r.ErrorCode, errorCode)
	default: // the others have no argument
	}
	if err != nil {
		return err
	}
	return r.parseNumbers(words)
}

// writable returns the names of the actions that can be written, in order.
func writable() []string {
	var names []string
	for action, name := range actionNames {
		if !action.calls() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// parseNumbers reads what is left: skip and count.
func (r *Rule) parseNumbers(words []string) (err error) {
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch n, isCount := strings.CutPrefix(word, "x"); {
		case word == "skip":
			if words, err = parseWord(words, "a number", &r.Skip, strconv.Atoi); err != nil {
				return err
			}
		case word == "always":
			r.Count = Always
		case isCount:
			if r.Count, err = strconv.Atoi(n); err != nil || r.Count < 1 {
				return fmt.Errorf("%q: write the number of hits as x3, or always", word)
			}
		default:
			return fmt.Errorf(`%q is not understood: after the action come "skip <n>" and "x<n>" or "always"`, word)
		}
	}
	return nil
}

// parseWord reads the next word into value, and returns the words after it.
func parseWord[T any](words []string, want string, value *T, parse func(string) (T, error)) ([]string, error) {
	if len(words) == 0 {
		return nil, fmt.Errorf("%s is missing", want)
	}
	v, err := parse(words[0])
	if err != nil {
		return nil, fmt.Errorf("%q: want %s", words[0], want)
	}
	*value = v
	return words[1:], nil
}

// maxErrorCode is above every code of Kafka's Errors enum (the client knows 136).
const maxErrorCode = 512

// errorName returns a code as Kafka's Errors spells it, or the number if kerr does not know it.
func errorName(code int16) string {
	if err := kerr.TypedErrorForCode(code); err != nil && err.Code == code {
		return err.Message
	}
	return strconv.Itoa(int(code))
}

// errorCode is the reverse of errorName.
func errorCode(name string) (int16, error) {
	for code := int16(-1); code < maxErrorCode; code++ {
		if code != 0 && errorName(code) == name {
			return code, nil
		}
	}
	code, err := strconv.ParseInt(name, 10, 16)
	return int16(code), err
}
