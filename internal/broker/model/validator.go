package model

import (
	"slices"

	"github.com/eos-pipe/eos-pipe/trace"
)

// Scope is how much of what happened a trace holds.
type Scope uint8

// The scopes.
const (
	// ScopeRequests is a trace of all requests that changed producers, transactions and offsets, with their answers.
	ScopeRequests Scope = iota
	// ScopeLog is what stands in logs: batches as produce events and markers, each with its offset. Requests that failed, and the
	// coordinator, are not in it.
	ScopeLog
)

// ValidatorConfig says what is judged. The zero value, with Rules set, judges a trace of clients' requests.
type ValidatorConfig struct {
	Rules Rules
	Scope Scope
	// HasSteps says that markers, completions and dropped partitions are events of the trace, as a simulator writes them. Else
	// brokers are taken to have done these by themselves where that explains what is seen.
	HasSteps bool
	// IsMidway says that the trace begins on a cluster in use: what is seen first of a partition, a transactional id or a group's
	// offset is taken for where it stood. Else all is new.
	IsMidway bool
	// IgnoresContents switches off what ClassSentTwice is about, for which a note of every batch is kept.
	IgnoresContents bool
	// MaxWorlds bounds how many states are kept at once; 0 is 64. When it does not suffice, a finding says so.
	MaxWorlds int
}

const defaultMaxWorlds = 64

// Validator judges a trace event by event against the model. It belongs to one goroutine.
//
// It has to be told of every request that changed something, in the order of their effect. A request without reply is taken to
// have had its effect at once, later, or never; later replies tell which. What only the surroundings of a broker decide
// (leaders that move, coordinators that load, replicas that lag) is taken as it is seen.
//
// Simplifications: batches of one Produce request are judged one by one. Groups' members are not in a trace; of their
// generations it checks that for no partition an older one commits after a newer one.
type Validator struct {
	config      ValidatorConfig
	worlds      []*world
	index       int
	isUndecided bool // possibilities were dropped

	owners      map[int64]string // producer id → transactional id; "" for none
	generations map[groupPartition]int32
	holes       map[trace.Partition]int64 // of logs: where the newest hole in the offsets ends
	loose       map[trace.Partition]bool  // a finding was made there: the next batch tells where the log ends
	twice       sentTwice
	recorded    map[trace.Partition]*recordedLog // for ScopeLog
}

type groupPartition struct {
	group     string
	partition trace.Partition
}

// NewValidator returns a validator that has seen nothing. Partitions are there as soon as an event names them.
func NewValidator(c ValidatorConfig) *Validator {
	if c.MaxWorlds == 0 {
		c.MaxWorlds = defaultMaxWorlds
	}
	c.Rules.mergesAlike = !c.HasSteps
	b := NewBroker(c.Rules)
	b.txns.ids.startAt(firstInventedID)
	return &Validator{
		config: c, worlds: []*world{{broker: b}}, owners: map[int64]string{}, generations: map[groupPartition]int32{},
		loose: map[trace.Partition]bool{}, holes: map[trace.Partition]int64{}, twice: newSentTwice(), recorded: map[trace.Partition]*recordedLog{},
	}
}

// Worlds is how many states the brokers may be in.
func (v *Validator) Worlds() int { return len(v.worlds) }

// Observe takes the next event and returns what is wrong with it. After a finding the validator goes on from the state that
// explains most of what was seen; findings that follow in the same partition or transaction may come of the same cause.
func (v *Validator) Observe(e trace.Event) []Finding {
	v.index++
	v.create(e)
	var findings []Finding
	switch e := e.(type) {
	case trace.Time:
		findings = v.branch(e)
		v.each(func(b *Broker) { b.SetTime(e.NowMs) })
	case trace.Restart:
		findings = v.branch(e)
		v.each(func(b *Broker) { b.create(e.Partition).RestartLeader(b.nowMs, &b.rules) })
	case trace.Log:
		v.beginLog(e)
	case trace.Reload:
		findings = v.branch(e)
		v.each(func(b *Broker) { b.ReloadCoordinator() })
	default:
		findings = v.observe(e)
	}
	return append(findings, v.observeTwice(e)...)
}

func (v *Validator) observe(e trace.Event) []Finding {
	findings := v.checkProducerID(e)
	findings = append(findings, v.checkGeneration(e)...)
	if v.config.Scope == ScopeLog {
		return append(findings, v.observeLog(e)...)
	}
	for _, w := range v.worlds {
		w.dropOver()
	}
	if isUnanswered(e) {
		return append(findings, v.fork(e)...)
	}
	return append(findings, v.filter(e)...)
}

func (v *Validator) each(do func(*Broker)) {
	for _, w := range v.worlds {
		do(w.broker)
	}
}

// create makes the partitions that the event names, unless its answer says that they do not exist.
func (v *Validator) create(e trace.Event) {
	var names []trace.Partition
	switch e := e.(type) {
	case trace.Produce:
		names = unless(e.Code, e.Partition)
	case trace.AddPartitions:
		if !slices.Contains(e.Codes, trace.UnknownTopicOrPartition) {
			names = e.Partitions
		}
	case trace.OffsetCommit:
		for i, o := range e.Offsets {
			if i >= len(e.Codes) || e.Codes[i] != trace.UnknownTopicOrPartition {
				names = append(names, o.Partition)
			}
		}
	case trace.Marker:
		names = unless(e.Code, e.Partition)
	case trace.Fetch:
		names = unless(e.Code, e.Partition)
	}
	for _, name := range names {
		v.each(func(b *Broker) { b.create(name) })
	}
}

func unless(code trace.Code, p trace.Partition) []trace.Partition {
	if code == trace.UnknownTopicOrPartition {
		return nil
	}
	return []trace.Partition{p}
}

// fork leaves it open whether the request took effect: it stays with each world until something depends on it.
func (v *Validator) fork(e trace.Event) []Finding {
	switch e.(type) {
	case trace.Fetch, trace.OffsetFetch:
		return nil // changes nothing
	}
	isTooMuch := false
	for _, w := range v.worlds {
		if len(w.late) == maxLate {
			w.late = slices.Delete(w.late, 0, 1)
			isTooMuch = true
		}
		w.late = append(w.late, e)
	}
	if isTooMuch {
		return v.undecided(e)
	}
	return nil
}

// branch decides both ways, before the event, what is under way.
func (v *Validator) branch(e trace.Event) []Finding {
	var all []*world
	isComplete := true
	for _, w := range v.worlds {
		variants, isAll := w.explore(e, v.config.HasSteps, v.config.MaxWorlds)
		all, isComplete = append(all, variants...), isComplete && isAll
	}
	v.worlds = v.bounded(all, &isComplete)
	if !isComplete {
		return v.undecided(e)
	}
	return nil
}

// undecided notes, the first time, that possibilities are dropped.
func (v *Validator) undecided(e trace.Event) []Finding {
	if v.isUndecided {
		return nil
	}
	v.isUndecided = true
	return []Finding{{Index: v.index, Event: e, Reason: TooManyWorlds, Expected: "fewer requests without reply"}}
}

// filter keeps the worlds that answer as was seen.
func (v *Validator) filter(e trace.Event) []Finding {
	var right []*world
	var best *world
	var verdictOfBest verdict
	isComplete, isBySurroundings := true, isRefusedOutright(codeOf(e)) || isDoubtful(codeOf(e))
	for _, w := range v.worlds {
		variants, isAll := w.explore(e, v.config.HasSteps, v.config.MaxWorlds)
		isComplete = isComplete && isAll
		for _, variant := range variants {
			if isBySurroundings {
				variant = variant.clone() // if the answer is not the model's, the request is as not carried out
			}
			verdict := v.judge(variant.broker, e)
			switch {
			case verdict.isRight:
				right = append(right, variant)
			case best == nil, verdict.isClose && !verdictOfBest.isClose:
				best, verdictOfBest = variant, verdict
			}
		}
	}
	v.worlds = v.bounded(leastAdvanced(distinct(right), v.config.HasSteps), &isComplete)
	var findings []Finding
	if !isComplete {
		findings = v.undecided(e) // before the finding below, which is in doubt then
	}
	switch {
	case len(right) > 0:
		return findings
	case isDoubtful(codeOf(e)):
		return append(findings, v.fork(withoutReply(e))...)
	case isBySurroundings:
		return findings
	}
	v.worlds = []*world{best}
	return append(findings, v.wrong(e, verdictOfBest)...)
}

// bounded keeps the worlds that differ, as many as are allowed; if none is right, those there were.
func (v *Validator) bounded(right []*world, isComplete *bool) []*world {
	if len(right) == 0 {
		return v.worlds
	}
	right = distinct(right)
	if len(right) > v.config.MaxWorlds {
		right, *isComplete = right[:v.config.MaxWorlds], false
	}
	return right
}

// wrong makes the finding that no world answers like this.
func (v *Validator) wrong(e trace.Event, d verdict) []Finding {
	switch e := e.(type) {
	case trace.Produce:
		v.loose[e.Partition] = true
	case trace.Marker:
		v.loose[e.Partition] = true
	}
	return []Finding{{Index: v.index, Event: e, Reason: d.reason, Expected: d.want, IsCertain: !v.isUndecided}}
}

func (v *Validator) judge(b *Broker, e trace.Event) verdict {
	if v.config.IsMidway && adopt(b, e) {
		return verdict{isRight: true}
	}
	v.fitEnd(b, e)
	return judge(b, e)
}

// fitEnd moves the end of a log to where a batch was seen, if a finding has left it unknown.
func (v *Validator) fitEnd(b *Broker, e trace.Event) {
	if p, ok := e.(trace.Produce); ok && p.Code == trace.None && v.loose[p.Partition] {
		log := b.create(p.Partition)
		if p.BaseOffset > log.end {
			log.end, log.highWatermark = p.BaseOffset, p.BaseOffset
		}
		if p.BaseOffset == log.end {
			delete(v.loose, p.Partition)
		}
	}
}

// distinct leaves one of equal worlds.
func distinct(worlds []*world) []*world {
	if len(worlds) < 2 {
		return worlds
	}
	seen := map[uint64]bool{}
	return slices.DeleteFunc(worlds, func(w *world) bool {
		hash := w.hash()
		isAgain := seen[hash]
		seen[hash] = true
		return isAgain
	})
}

// isRefusedOutright lists the answers of a broker that could not serve the request, and has done nothing of it.
func isRefusedOutright(code trace.Code) bool {
	switch code {
	case trace.UnknownTopicOrPartition, trace.NotLeaderOrFollower, trace.CoordinatorLoadInProgress, trace.CoordinatorNotAvailable,
		trace.NotCoordinator, trace.RebalanceInProgress:
		return true
	default:
		return false
	}
}

// isDoubtful lists the answers after which the request may have taken effect, or a part of it.
func isDoubtful(code trace.Code) bool {
	switch code {
	case trace.UnknownServerError, trace.RequestTimedOut, trace.NetworkException, trace.NotEnoughReplicas, trace.NotEnoughReplicasAfterAppend,
		trace.KafkaStorageError:
		return true
	default:
		return false
	}
}

// codeOf gives the event's code, the first one if there are several.
func codeOf(e trace.Event) trace.Code {
	switch e := e.(type) {
	case trace.InitProducerID:
		return e.Code
	case trace.Produce:
		return e.Code
	case trace.AddPartitions:
		return firstCode(e.Codes)
	case trace.AddOffsets:
		return e.Code
	case trace.OffsetCommit:
		return firstCode(e.Codes)
	case trace.OffsetFetch:
		return e.Code
	case trace.EndTxn:
		return e.Code
	case trace.Marker:
		return e.Code
	case trace.Fetch:
		return e.Code
	}
	return trace.None
}

func firstCode(codes []trace.Code) trace.Code {
	if len(codes) == 0 {
		return trace.NoReply
	}
	return codes[0]
}

func isUnanswered(e trace.Event) bool { return codeOf(e) == trace.NoReply }

// withoutReply is the event as if nobody had got the answer.
func withoutReply(e trace.Event) trace.Event {
	switch e := e.(type) {
	case trace.InitProducerID:
		e.Code, e.Producer = trace.NoReply, trace.Producer{}
		return e
	case trace.Produce:
		e.Code, e.BaseOffset = trace.NoReply, 0
		return e
	case trace.AddPartitions:
		e.Codes = nil
		return e
	case trace.AddOffsets:
		e.Code = trace.NoReply
		return e
	case trace.OffsetCommit:
		e.Codes = nil
		return e
	case trace.EndTxn:
		e.Code, e.Next = trace.NoReply, trace.Producer{}
		return e
	}
	return e
}
