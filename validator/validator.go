package validator

import (
	"fmt"
	"time"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// maxStates is how many states of the brokers a validator keeps while answers are missing. A lost request that writes to many
// partitions makes many.
const maxStates = 512

// Validator judges events, one after the other. It belongs to one goroutine.
//
// It must be given every request that changed something, in the order in which the requests took effect. A request without an
// answer ([trace.NoReply]) may have taken effect at once, later or never: the validator keeps every state that the brokers may
// be in, and later answers tell which it was.
type Validator struct {
	config Config
	model  *model.Validator
	index  int   // events seen
	nowMs  int64 // by the newest time event
}

// New returns a validator that has seen nothing. It fails only if the version in c.Kafka is not known.
func New(c Config) (*Validator, error) {
	rules, err := c.rules()
	if err != nil {
		return nil, err
	}
	cfg := model.ValidatorConfig{Rules: rules, IgnoresContents: c.IgnoresContents, MaxWorlds: maxStates}
	switch {
	case c.IsLog:
		cfg.Scope = model.ScopeLog
	case c.HasSteps:
		cfg.HasSteps = true
	default:
		cfg.IsMidway = true
	}
	return &Validator{config: c, model: model.NewValidator(cfg)}, nil
}

// Observe takes the next event and returns what is wrong with it; nil means nothing. After a finding the validator continues
// from the state that explains most of what it has seen, so later findings in the same partition or transaction may have the
// same cause.
func (v *Validator) Observe(e trace.Event) []Finding {
	v.index++
	if t, ok := e.(trace.Time); ok {
		v.nowMs = t.NowMs
	}
	var findings []Finding
	for _, f := range v.model.Observe(e) {
		findings = append(findings, Finding{
			Event: f.Event, Class: f.Class().String(), Expected: f.Expected, Rule: f.Reason.String(), Source: f.Reason.Source(), IsCertain: f.IsCertain,
			index: v.index,
		})
	}
	return findings
}

// Open returns the transactions without a marker where the logs end now, by partition and offset. Their class is
// [OpenTransaction] while they may still be under way. It is "hanging transaction" once the newest record of the producer is
// older than hangingAfter by the newest [trace.Time] seen, or if the log's start has passed the transaction. Without
// Config.IsLog there are none.
func (v *Validator) Open(hangingAfter time.Duration) []Finding {
	if !v.config.IsLog {
		return nil
	}
	var findings []Finding
	for _, t := range v.model.OpenTransactions() {
		findings = append(findings, v.openFinding(t, hangingAfter))
	}
	return findings
}

func (v *Validator) openFinding(t model.OpenTransaction, hangingAfter time.Duration) Finding {
	age := time.Duration(v.nowMs-t.TimeMs) * time.Millisecond
	f := Finding{
		Class: OpenTransaction, IsCertain: true, index: v.index,
		Expected: fmt.Sprintf("a marker in %s for the transaction of producer %s that is open since offset %d", t.Partition, t.Producer, t.FirstOffset),
		Rule:     "a read_committed reader waits at the first offset of an open transaction", Source: "UnifiedLog, KIP-98",
	}
	switch {
	case t.TimeMs < 0:
		f.Expected = fmt.Sprintf("a marker in %s for a transaction that began before the log's start, offset %d", t.Partition, t.FirstOffset)
	case v.nowMs > 0:
		f.Expected += fmt.Sprintf(", %s ago by the time of its last record", age.Round(time.Second))
	}
	if t.TimeMs < 0 || v.nowMs > 0 && age >= hangingAfter {
		f.Class = "hanging transaction"
	}
	return f
}
