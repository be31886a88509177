package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// runValidate prints what is wrong with a trace, and how much there was. A finding is an *exitError with exitFailure.
func runValidate(ctx context.Context, s streams, o validateOptions) error {
	in := io.Reader(os.Stdin)
	if o.Trace != "-" {
		f, err := os.Open(o.Trace)
		if err != nil {
			return usageError("cannot read the trace: "+err.Error(), "name a file that eos-pipe record has written, or - for stdin")
		}
		defer f.Close()
		in = f
	}
	j := &judge{s: s, opts: o, producers: map[int64]bool{}, partitions: map[trace.Partition]bool{}, prog: newProgress(s, "lines judged", -1)}
	defer j.prog.finish()
	if err := j.run(ctx, readLines(in)); err != nil {
		return err
	}
	return j.end()
}

// numbered is an event and the line it stands in.
type numbered struct {
	line  int
	event trace.Event
}

// unreadable says where a trace is none.
func unreadable(line int, err error) error {
	return usageError(fmt.Sprintf("line %d of the trace cannot be read: %v", line, err), "each line is one event; docs/validator.md describes them")
}

// maxTraceLine bounds a line; the longest kind is a fetch of many batches.
const maxTraceLine = 64 << 20

// readLines yields the events of a trace up to the first error. Empty lines and those that begin with '#' are passed over.
func readLines(in io.Reader) iter.Seq2[numbered, error] {
	return func(yield func(numbered, error) bool) {
		lines := bufio.NewScanner(in)
		lines.Buffer(make([]byte, 1<<16), maxTraceLine)
		line := 0
		for lines.Scan() {
			line++
			text := strings.TrimSpace(lines.Text())
			if text == "" || text[0] == '#' {
				continue
			}
			e, err := trace.Parse(text)
			if err != nil {
				yield(numbered{}, unreadable(line, err))
				return
			}
			if !yield(numbered{line, e}, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(numbered{}, unreadable(line+1, err))
		}
	}
}

// judge gives a trace to the validator and prints what it says.
type judge struct {
	s    streams
	opts validateOptions
	prog *progress

	validator  *model.Validator
	isLog      bool
	nowMs      int64
	count      validateResult
	partitions map[trace.Partition]bool
	producers  map[int64]bool
	unfinished trace.Partition // of a log, whose end was not there yet; Topic is "" if there is none
}

// run judges every event. Whether the trace is of a log is said by its first events, which are kept until then; a trace of requests
// is read whole first, since only its end tells whether it shows what brokers do by themselves.
func (j *judge) run(ctx context.Context, events iter.Seq2[numbered, error]) error {
	var kept []numbered
	for e, err := range events {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !j.isLog {
			if kept = append(kept, e); e.event.Kind() != (trace.Log{}).Kind() {
				continue
			}
			j.isLog = true
		} else {
			kept = append(kept, e)
		}
		if j.validator == nil {
			j.begin(false)
		}
		for _, e := range kept {
			if err := j.observe(e); err != nil {
				return err
			}
		}
		kept = kept[:0]
	}
	if j.validator == nil {
		j.begin(slices.ContainsFunc(kept, isStep))
	}
	for _, e := range kept {
		if err := j.observe(e); err != nil {
			return err
		}
	}
	return nil
}

// isStep reports whether the event is something that brokers do by themselves.
func isStep(e numbered) bool {
	switch e.event.(type) {
	case trace.Marker, trace.Complete, trace.Drop:
		return true
	}
	return false
}

// maxWorlds is how many states the brokers may be in while answers are missing, as in eos/eostest.
const maxWorlds = 512

// begin makes the validator. Only a simulator sees what brokers do by themselves, and it begins with a new cluster; a client finds one in
// use.
func (j *judge) begin(hasSteps bool) {
	c := model.ValidatorConfig{Rules: j.opts.Rules, HasSteps: hasSteps, IsMidway: !hasSteps, IgnoresContents: j.opts.Duplicates == "ignore", MaxWorlds: maxWorlds}
	if j.isLog {
		c.Scope, c.IsMidway = model.ScopeLog, false
	}
	j.validator = model.NewValidator(c)
}

func (j *judge) observe(e numbered) error {
	j.prog.add(1)
	j.count.Events++
	switch of := e.event.(type) {
	case trace.Time:
		j.nowMs = of.NowMs
	case trace.Log:
		if err := j.finished(); err != nil {
			return err
		}
		j.partitions[of.Partition], j.unfinished = true, of.Partition
	case trace.Fetch:
		if of.Partition == j.unfinished && of.Offset == of.Next {
			j.unfinished = trace.Partition{}
		}
	case trace.Produce:
		j.partitions[of.Partition] = true
		if of.Producer.ID >= 0 {
			j.producers[of.Producer.ID] = true
		}
	}
	for _, f := range j.validator.Observe(e.event) {
		if err := j.print(j.resultOf(e.line, f)); err != nil {
			return err
		}
	}
	return nil
}

// resultOf says what a finding of the validator is for the user.
func (j *judge) resultOf(line int, f model.Finding) findingResult {
	r := findingResult{
		Type: "finding", Line: line, Class: f.Class().String(), Expected: f.Expected, Seen: f.Event.String(), Rule: f.Reason.String(), Source: f.Reason.Source(),
		IsCertain: f.IsCertain,
	}
	isAllowed := f.Class() == model.ClassUndecided || f.Class() == model.ClassSentTwice && j.opts.Duplicates != "error"
	if isAllowed || !f.IsCertain {
		r.Type = "note"
	}
	return r
}

func (j *judge) print(r findingResult) error {
	if r.Type == "note" {
		j.count.Notes++
	} else {
		j.count.Findings++
	}
	return j.s.print(r)
}

// finished tells if the log before was cut off, as by a recorder that has failed: what is missing at its end would not be missed else.
func (j *judge) finished() error {
	if j.unfinished.Topic == "" {
		return nil
	}
	return j.print(findingResult{
		Type: "finding", Class: "incomplete trace", Expected: fmt.Sprintf("a fetch at the end of %s", j.unfinished), Seen: "none",
		Rule: "the trace of a log ends with a fetch from where the log ends", Source: "eos-pipe record", IsCertain: true,
	})
}

// end prints the transactions that are open where the logs end, and the summary.
func (j *judge) end() error {
	if j.isLog {
		for _, t := range j.validator.OpenTransactions() {
			j.count.Open++
			if err := j.print(j.openResult(t)); err != nil {
				return err
			}
		}
	}
	if err := j.finished(); err != nil {
		return err
	}
	j.count.Type, j.count.Partitions, j.count.Producers = "summary", len(j.partitions), len(j.producers)
	if err := j.s.print(j.count); err != nil {
		return err
	}
	if j.count.Findings == 0 {
		return nil
	}
	return &exitError{exitFailure, errors.New("the trace is not one of Kafka's brokers"), "the findings are above; those that follow the first in the same partition may come of it"}
}

// openResult tells of an open transaction. By its records' timestamps it hangs, or it may just be under way.
func (j *judge) openResult(t model.OpenTransaction) findingResult {
	age := time.Duration(j.nowMs-t.TimeMs) * time.Millisecond
	r := findingResult{
		Type: "note", Class: "open transaction", IsCertain: true,
		Expected: fmt.Sprintf("a marker in %s for the transaction of producer %s that is open since offset %d", t.Partition, t.Producer, t.FirstOffset),
		Seen:     "the end of the log",
		Rule:     "a read_committed reader waits at the first offset of an open transaction", Source: "UnifiedLog, KIP-98",
	}
	switch {
	case t.TimeMs < 0:
		r.Expected = fmt.Sprintf("a marker in %s for a transaction that began before the log's start, offset %d", t.Partition, t.FirstOffset)
	case j.nowMs > 0:
		r.Expected += fmt.Sprintf(", %s ago by the time of its last record", age.Round(time.Second))
	}
	if t.TimeMs < 0 || j.nowMs > 0 && age >= j.opts.HangingAfter {
		r.Type, r.Class = "finding", "hanging transaction"
	}
	return r
}
