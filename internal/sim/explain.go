package sim

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/eos-pipe/eos-pipe/trace"
)

// Explain tells the history in plain words, a line for each thing worth telling, with the virtual time before it. Ordinary requests are
// summed up at the end of their transaction. It needs a result with its history.
func (r *Result) Explain(w io.Writer) error {
	out := bufio.NewWriter(w)
	e := explainer{out: out, seen: map[string]int64{}, outputs: map[string]int{}}
	if r.History != nil {
		for i := range r.History.Records {
			e.tell(&r.History.Records[i])
		}
	}
	if len(r.Findings) == 0 {
		fmt.Fprintf(out, "In the end all promises of %s are kept.\n", r.Config.Mode)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(out, "In the end: %s.\n", f)
	}
	return out.Flush()
}

// explainer knows what was told so far.
type explainer struct {
	out     *bufio.Writer
	seen    map[string]int64 // by producer, partition and sequence: where a batch was written
	outputs map[string]int   // by client: batches since the last end
}

func (e *explainer) say(r *Record, format string, args ...any) {
	fmt.Fprintf(e.out, "%12s  %s\n", clockText(r.AtUs), fmt.Sprintf(format, args...))
}

func (e *explainer) tell(r *Record) {
	switch event := r.Event.(type) {
	case nil:
		e.say(r, "%s %s.", r.To, r.Text)
	case trace.Produce:
		e.produce(r, event)
	case trace.EndTxn:
		e.end(r, event)
	case trace.OffsetCommit:
		e.offsets(r, event)
	case trace.InitProducerID:
		if e.lost(r, "request for a producer id") {
			return
		}
		if event.Code == trace.None {
			e.say(r, "%s gets producer id and epoch %s; whoever held %s before is fenced.%s", r.From, event.Producer, nameOrNothing(event.TxnID), silently(r))
		}
	case trace.Marker:
		if event.Code != trace.None {
			e.say(r, "%s refuses the %s marker of producer %s: %s.", event.Partition, endName(event.Commit), event.Producer, event.Code)
		}
	case trace.Fetch:
		if len(event.Aborted) > 0 && event.ReadCommitted && len(event.Delivered) == 0 && event.Next > event.Offset {
			e.say(r, "%s passes over what was aborted in %s, %d to %d.", r.From, event.Partition, event.Offset, event.Next-1)
		}
	}
}

func nameOrNothing(s trace.NullString) string {
	if !s.Valid {
		return "it"
	}
	return "the transactional id " + s.Value
}

func endName(commit bool) string {
	if commit {
		return "COMMIT"
	}
	return "ABORT"
}

// lost tells of a request that never arrived.
func (e *explainer) lost(r *Record, what string) bool {
	if r.Fate != RequestLost {
		return false
	}
	e.say(r, "The %s of %s to %s is lost.", what, r.From, r.To)
	return true
}

// silently is what is to be added when the client is not told.
func silently(r *Record) string {
	if r.Fate == ReplyLost {
		return " The answer is lost."
	}
	return ""
}

func (e *explainer) produce(r *Record, p trace.Produce) {
	what := fmt.Sprintf("batch %s (sequence %d to %d, producer %s)", name(p.Digest), p.BaseSequence, p.BaseSequence+p.Count-1, p.Producer)
	if p.BaseSequence < 0 {
		what = fmt.Sprintf("batch %s (without sequence)", name(p.Digest))
	}
	if e.lost(r, what+" for "+p.Partition.String()) {
		return
	}
	key := fmt.Sprint(p.Producer, p.Partition, p.BaseSequence)
	first, isAgain := e.seen[key]
	switch {
	case p.Code == trace.None && isAgain && p.BaseSequence >= 0 && first == p.BaseOffset:
		e.say(r, "%s knows %s of %s already: it answers with the old offset %d and writes nothing.%s", p.Partition, what, r.From, p.BaseOffset, silently(r))
	case p.Code == trace.None && isAgain && p.BaseSequence >= 0:
		e.say(r, "%s writes %s of %s again, at offset %d: it stands at %d already.%s", p.Partition, what, r.From, p.BaseOffset, first, silently(r))
	case p.Code == trace.None:
		e.seen[key] = p.BaseOffset
		e.outputs[r.From]++
		if r.Fate == ReplyLost || r.IsCopy {
			e.say(r, "%s writes %s of %s at offset %d.%s", p.Partition, what, r.From, p.BaseOffset, silently(r))
		}
	case isFence(p.Code):
		e.say(r, "%s refuses %s of %s, which is fenced: %s.", p.Partition, what, r.From, p.Code)
	case p.Code == trace.OutOfOrderSequenceNumber && !e.isTold(key):
		e.say(r, "%s refuses %s of %s: one before it is missing.", p.Partition, what, r.From)
	}
}

// isTold reports whether that was told before, and notes that it was.
func (e *explainer) isTold(key string) bool {
	_, ok := e.seen["told "+key]
	e.seen["told "+key] = 0
	return ok
}

func (e *explainer) end(r *Record, t trace.EndTxn) {
	if e.lost(r, endName(t.Commit)+" of transaction "+t.Producer.String()) {
		return
	}
	switch {
	case t.Code == trace.None:
		e.say(r, "%s: %s of transaction %s with %d batches is decided.%s", r.From, endName(t.Commit), t.Producer, e.outputs[r.From], silently(r))
		e.outputs[r.From] = 0
	case isFence(t.Code):
		e.say(r, "The coordinator refuses the %s of %s, which is fenced: %s.", endName(t.Commit), r.From, t.Code)
	}
}

func (e *explainer) offsets(r *Record, o trace.OffsetCommit) {
	var at []string
	for _, p := range o.Offsets {
		at = append(at, fmt.Sprintf("%s up to %d", p.Partition, p.Offset))
	}
	what := "offsets (" + strings.Join(at, ", ") + ")"
	if e.lost(r, what) {
		return
	}
	code := trace.None
	for _, c := range o.Codes {
		if c != trace.None {
			code = c
		}
	}
	switch {
	case code == trace.IllegalGeneration || code == trace.UnknownMemberID || code == trace.FencedInstanceID:
		e.say(r, "The group refuses the %s of %s, which has lost its partitions meanwhile: %s.", what, r.From, code)
	case isFence(code):
		e.say(r, "The %s of %s are refused, since it is fenced: %s.", what, r.From, code)
	case code == trace.None && (!o.TxnID.Valid || r.Fate == ReplyLost):
		e.say(r, "%s commits its %s after %d batches.%s", r.From, what, e.outputs[r.From], silently(r))
		if !o.TxnID.Valid {
			e.outputs[r.From] = 0
		}
	}
}
