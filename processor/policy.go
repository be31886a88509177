package processor

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Policy says what happens to an input record that cannot be processed: it cannot be decoded, its handler keeps failing
// or runs out of time, its output cannot be encoded or takes too much memory, or the broker refuses its output for what
// it is. A batch that is too large when decompressed counts as one record.
type Policy int

const (
	// StopOnError stops the processor. Nothing of the record's batch is committed, and the next start begins with it.
	StopOnError Policy = iota
	// DeadLetterOnError puts the record, as it came, into Config.DeadLetterTopic, in the same transaction as its
	// offset.
	DeadLetterOnError
	// SkipOnError leaves the record out. It is counted and logged, and its offset is committed with the batch.
	SkipOnError
)

var policyNames = []string{"stop", "dead-letter", "skip"}

// String returns the policy's name: stop, dead-letter or skip.
func (p Policy) String() string {
	if p < 0 || int(p) >= len(policyNames) {
		return fmt.Sprintf("Policy(%d)", int(p))
	}
	return policyNames[p]
}

// PolicyNames are the names that ParsePolicy takes, in the order of the policies.
func PolicyNames() []string { return slices.Clone(policyNames) }

// ParsePolicy returns the policy with the name that String gives it.
func ParsePolicy(name string) (Policy, error) {
	i := slices.Index(policyNames, name)
	if i < 0 {
		return 0, fmt.Errorf("%q is no policy: take one of %v", name, policyNames)
	}
	return Policy(i), nil
}

// Errors says what happens to records that cannot be processed. The zero value stops at the first one.
type Errors struct {
	// Policy is for a record that has failed for good. A handler's own Skip or DeadLetter overrides it.
	Policy Policy
	// Retries is how often a handler is called again for a record after an error or a panic, before the record has
	// failed for good. No transaction is open meanwhile, but the batch waits, and with it the group, if it wants to
	// rebalance. Skip and DeadLetter are decisions, and not retried. Default: 0.
	Retries int
	// Backoff is the pause before the first retry. The pause doubles from retry to retry, up to MaxBackoff, and half of
	// it is random, so that instances do not retry in step. Defaults: DefaultBackoff, DefaultMaxBackoff.
	Backoff, MaxBackoff time.Duration
	// HandlerTimeout bounds one call of a handler: then its context ends, and the call has failed if it returns an
	// error. A handler that ignores its context is waited for. Default: none.
	HandlerTimeout time.Duration
}

// Defaults of Errors.
const (
	DefaultBackoff    = 100 * time.Millisecond
	DefaultMaxBackoff = 5 * time.Second
)

func (e Errors) withDefaults() Errors {
	if e.Backoff == 0 {
		e.Backoff = DefaultBackoff
	}
	if e.MaxBackoff == 0 {
		e.MaxBackoff = max(DefaultMaxBackoff, e.Backoff)
	}
	return e
}

// validate reports every fault of e, whose defaults are filled in.
func (e Errors) validate(deadLetterTopic string) error {
	var faults []error
	if e.Policy < StopOnError || e.Policy > SkipOnError {
		faults = append(faults, fmt.Errorf("there is no policy %v", e.Policy))
	}
	if e.Policy == DeadLetterOnError && deadLetterTopic == "" {
		faults = append(faults, errors.New("the policy dead-letter needs a dead-letter topic"))
	}
	if e.Retries < 0 || e.Backoff < 0 || e.HandlerTimeout < 0 {
		faults = append(faults, errors.New("retries, back-off and handler timeout must not be negative"))
	}
	if e.MaxBackoff < e.Backoff {
		faults = append(faults, fmt.Errorf("the longest back-off %v is below the first one %v", e.MaxBackoff, e.Backoff))
	}
	return errors.Join(faults...)
}
