package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// Result is what a run has come to.
type Result struct {
	Config   Config
	Events   int   // of the scheduler
	TimeUs   int64 // of the virtual clock
	Counts   Counts
	Torn     int       // transactions of which a reader got only a part
	Findings []Finding // what the mode promises, and is broken; the weightiest first
	Injected []Key     // the faults that have happened, in their order
	History  *History  // nil, unless it was asked for
}

// Counts compare what the group has been given with what a read_committed reader gets. They count batches of records: each
// of the input makes one of the output.
type Counts struct {
	In, Out   int
	Lost      int // committed input without output
	Doubled   int // outputs too many
	Reordered int // outputs behind one that they had to be before
	Commits   int // transactions, or commits of offsets
	Aborts    int
}

// FindingKind is which promise is broken.
type FindingKind uint8

// The kinds, the weightiest first.
const (
	Lost          FindingKind = iota // committed input has no output, or acknowledged input is not in its topic
	Doubled                          // input has more than one output, or is in its topic twice
	Torn                             // of one transaction some is delivered and some not
	AbortedRead                      // a record was delivered that is not committed
	Reordered                        // outputs of one partition are in another order than their inputs
	StableStuck                      // the last stable offset does not get free though nobody writes
	WorkStuck                        // input is left that the application does not get to
	ReadersDiffer                    // a reader who was there all the time has got something else than one who comes late
	Refused                          // a producer that has done nothing wrong is refused for good
	Protocol                         // brokers have answered against the rules
	numKinds
)

var kindNames = [numKinds]string{
	"lost", "doubled", "torn transaction", "aborted record read", "reordered", "last stable offset stuck", "work stuck", "readers differ",
	"producer refused", "protocol",
}

// String gives the kind in words, such as "torn transaction".
func (k FindingKind) String() string { return kindNames[k] }

// Finding is a promise that is broken.
type Finding struct {
	Kind   FindingKind
	Detail string
}

// String gives kind and detail.
func (f Finding) String() string { return f.Kind.String() + ": " + f.Detail }

// Has reports whether there is a finding of the kind.
func (r *Result) Has(k FindingKind) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Kind == k })
}

// result judges the run at its end.
func (r *run) result() *Result {
	j := judge{r: r, result: &Result{Config: r.cfg, Events: r.events, TimeUs: r.nowUs, Injected: r.injected}}
	j.result.Counts.Commits, j.result.Counts.Aborts = r.commits, r.aborts
	j.readLogs()
	j.judgeInput()
	j.judgeOutput()
	j.judgeReader()
	j.judgeStable()
	if r.cfg.IsValidated {
		j.validate()
	}
	slices.SortStableFunc(j.result.Findings, func(a, b Finding) int { return int(a.Kind) - int(b.Kind) })
	if r.cfg.HasHistory {
		j.result.History = r.history
	}
	return j.result
}

// judge compares what is in the logs, what readers got, and what was promised. It decides by itself which records are committed: from the
// markers in the logs, not from what brokers say of them.
type judge struct {
	r      *run
	result *Result
	logs   [partitions][]stored // data only
	ranks  map[uint64]rank      // by digest, of committed input
}

// stored is a batch in a log with its verdict.
type stored struct {
	model.LogBatch
	fate outcome // unknown: no marker yet
}

// rank is a place in the input.
type rank struct {
	partition int
	place     int
}

// maxFindings is how many findings of a kind are told.
const maxFindings = 3

func (j *judge) find(k FindingKind, format string, args ...any) {
	count := 0
	for _, f := range j.result.Findings {
		if f.Kind == k {
			count++
		}
	}
	if count < maxFindings && j.r.cfg.Mode.promises(k) {
		j.result.Findings = append(j.result.Findings, Finding{k, fmt.Sprintf(format, args...)})
	}
}

// readLogs reads all logs, open and aborted transactions included, and resolves each batch by the next marker of its producer.
func (j *judge) readLogs() {
	for i := range partitions {
		p := j.r.broker.Partition(j.r.names[i])
		p.IsLeaderless = false
		batches := j.r.broker.Fetch(model.FetchRequest{Partition: j.r.names[i]}).Batches
		j.logs[i] = make([]stored, 0, len(batches))
		open := map[int64][]int{}
		for _, b := range batches {
			if b.Control != model.Data {
				fate := aborted
				if b.Control == model.Commit {
					fate = committed
				}
				for _, at := range open[b.ProducerID] {
					j.logs[i][at].fate = fate
				}
				delete(open, b.ProducerID)
				continue
			}
			s := stored{b, committed}
			if b.IsTransactional {
				s.fate = unknown
				open[b.ProducerID] = append(open[b.ProducerID], len(j.logs[i]))
			}
			j.logs[i] = append(j.logs[i], s)
		}
	}
}

// judgeInput holds the writers to what they were told: idempotence is a promise too.
func (j *judge) judgeInput() {
	j.ranks = map[uint64]rank{}
	for i := range inputPartitions {
		place := 0
		newest := map[uint64]uint64{} // by writer
		for _, s := range j.logs[i] {
			if s.fate != committed {
				continue
			}
			writer := s.Digest >> 56
			if _, isAgain := j.ranks[s.Digest]; isAgain {
				j.find(Doubled, "input %s is written twice, again at %s:%d", name(s.Digest), j.r.names[i], s.BaseOffset)
			} else if s.Digest < newest[writer] {
				j.find(Reordered, "input %s stands behind %s in %s", name(s.Digest), name(newest[writer]), j.r.names[i])
			}
			newest[writer] = max(newest[writer], s.Digest)
			j.ranks[s.Digest] = rank{i, place}
			place++
		}
		j.result.Counts.In += place
	}
	for _, w := range j.r.writers {
		if w.refusal != trace.None && w.txnID == "" {
			j.find(Refused, "%s is an idempotent producer that never dies, and was told %s", w.name, w.refusal)
		}
		for _, e := range w.log {
			_, isThere := j.ranks[e.digest]
			switch {
			case e.fate == committed && !isThere:
				j.find(Lost, "input %s was acknowledged to %s, and is not in %s", name(e.digest), w.name, j.r.names[e.partition])
			case e.fate == aborted && isThere:
				j.find(AbortedRead, "input %s was aborted by %s, and is committed in %s", name(e.digest), w.name, j.r.names[e.partition])
			}
		}
	}
}

// name is a digest as people read it: writer and number.
func name(digest uint64) string {
	return fmt.Sprintf("w%d/%d", digest&^outputBit>>56, digest>>8&(1<<48-1))
}

// judgeOutput compares input and output, as a reader gets it who comes when all is over.
func (j *judge) judgeOutput() {
	counts := map[uint64]int{}
	for i := inputPartitions; i < partitions; i++ {
		var newest [inputPartitions]int
		for n := range newest {
			newest[n] = -1
		}
		for _, b := range j.fetchCommitted(i) {
			j.result.Counts.Out++
			input := b.Digest &^ outputBit
			counts[input]++
			at, isInput := j.ranks[input]
			switch {
			case !isInput:
				j.find(AbortedRead, "output %s at %s:%d has no committed input", name(b.Digest), j.r.names[i], b.BaseOffset)
			case counts[input] > 1:
				j.result.Counts.Doubled++
				j.find(Doubled, "output %s is there again at %s:%d", name(b.Digest), j.r.names[i], b.BaseOffset)
			case at.place < newest[at.partition]:
				j.result.Counts.Reordered++
				j.find(Reordered, "output %s at %s:%d stands behind a later one of %s", name(b.Digest), j.r.names[i], b.BaseOffset, j.r.names[at.partition])
			default:
				newest[at.partition] = at.place
			}
		}
	}
	j.judgeLost(counts)
}

// judgeLost looks for input that the group has passed and that has no output; and whether it has come to the end.
func (j *judge) judgeLost(counts map[uint64]int) {
	for i := range inputPartitions {
		rules := j.r.broker.Rules()
		p := j.r.broker.Partition(j.r.names[i])
		at := j.r.progress(i)
		if at < p.LastStableOffset(&rules) {
			j.find(WorkStuck, "the application is at %d of %d in %s, and does not go on (%s)", at, p.LastStableOffset(&rules), p.Name, j.phases())
		}
		for _, s := range j.logs[i] {
			if s.fate == committed && s.BaseOffset < at && counts[s.Digest] == 0 {
				j.result.Counts.Lost++
				j.find(Lost, "input %s at %s:%d is committed by the group, and has no output", name(s.Digest), p.Name, s.BaseOffset)
			}
		}
	}
}

func (j *judge) fetchCommitted(partition int) []model.LogBatch {
	a := j.r.broker.Fetch(model.FetchRequest{Partition: j.r.names[partition], IsReadCommitted: true})
	return model.Delivered(a.Batches, a.Aborted)
}

// judgeReader looks at what a read_committed reader has got who was there all the time: only what is committed, whole
// transactions, and the same as one who comes late.
func (j *judge) judgeReader() {
	type part struct{ got, of int }
	transactions := map[trace.Producer]*part{}
	var order []trace.Producer
	for i := range outputPartitions {
		got := j.r.readers[0].got[i]
		late := j.fetchCommitted(inputPartitions + i)
		if !slices.EqualFunc(got, late, func(a, b model.LogBatch) bool { return a.BaseOffset == b.BaseOffset }) {
			j.find(ReadersDiffer, "%s: %d batches were read as they came, and %d in the end", j.r.names[inputPartitions+i], len(got), len(late))
		}
		isGot := map[int64]bool{}
		for _, b := range got {
			isGot[b.BaseOffset] = true
		}
		for _, s := range j.logs[inputPartitions+i] {
			if isGot[s.BaseOffset] && s.fate != committed {
				j.find(AbortedRead, "output %s at %s:%d was read, and is not committed", name(s.Digest), j.r.names[inputPartitions+i], s.BaseOffset)
			}
			if !s.IsTransactional {
				continue
			}
			p := trace.Producer{ID: s.ProducerID, Epoch: s.Epoch}
			if transactions[p] == nil {
				transactions[p] = &part{}
				order = append(order, p)
			}
			transactions[p].of++
			if isGot[s.BaseOffset] {
				transactions[p].got++
			}
		}
	}
	for _, p := range order {
		if t := transactions[p]; t.got > 0 && t.got < t.of {
			j.result.Torn++
			j.find(Torn, "of the transaction of producer %s, %d of %d batches were read", p, t.got, t.of)
		}
	}
}

// judgeStable asks that no transaction is left open.
func (j *judge) judgeStable() {
	rules := j.r.broker.Rules()
	for i := range partitions {
		p := j.r.broker.Partition(j.r.names[i])
		if at := p.LastStableOffset(&rules); at < p.HighWatermark() {
			j.find(StableStuck, "%s is stable up to %d of %d; open: producers %v", p.Name, at, p.HighWatermark(), p.OpenTransactions())
		}
		if i < inputPartitions {
			a := j.r.broker.OffsetFetch(model.OffsetFetchRequest{Group: groupID, Partition: p.Name, IsStable: true})
			if a.Code == trace.UnstableOffsetCommit {
				j.find(StableStuck, "the group's offset of %s waits for a transaction that does not end", p.Name)
			}
		}
	}
}

// validate gives the history to the model's validator.
func (j *judge) validate() {
	v := model.NewValidator(model.ValidatorConfig{Rules: model.DefaultRules(), HasSteps: true})
	for e := range j.r.history.Events {
		for _, f := range v.Observe(e) {
			switch {
			case f.Class() == model.ClassUndecided:
				return // more possibilities than it can follow
			case f.Class() != model.ClassSentTwice || j.r.cfg.Mode == ExactlyOnce:
				j.find(Protocol, "%s", f)
			}
		}
		if j.result.Has(Protocol) {
			return // what follows may come of the same cause
		}
	}
}

// phases says what the living instances wait for.
func (j *judge) phases() string {
	var texts []string
	for i := range j.r.slots {
		for _, a := range j.r.slots[i].processes {
			if !a.isDead {
				texts = append(texts, fmt.Sprintf("%s waits for %s", a.name, phaseNames[a.phase]))
			}
		}
	}
	return strings.Join(texts, ", ")
}
