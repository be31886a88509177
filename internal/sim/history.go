package sim

import (
	"bufio"
	"fmt"
	"io"

	"github.com/eos-pipe/eos-pipe/trace"
)

// History is all that happened in a run, in the order in which it took effect.
type History struct {
	Records []Record
	lastMs  int64 // of the newest time event
}

// Record is one thing that happened: a request with its answer, something a broker did by itself, or something that befell a
// process.
type Record struct {
	AtUs      int64       // when it took effect, on the virtual clock; of a lost request when it was lost
	SentUs    int64       // of a request
	RepliedUs int64       // when the answer was received; 0: never
	From      string      // client, for a request
	To        string      // broker; or whom the text is about
	Event     trace.Event // nil if only Text tells
	Text      string
	Fate      Fate
	Number    uint32 // of the client's request
	IsCopy    bool   // the second arrival of a request that was doubled
}

// Fate is what became of a request.
type Fate uint8

// The fates.
const (
	Answered    Fate = iota // and the client may have got the answer
	RequestLost             // it was not carried out
	ReplyLost               // it was carried out, and the client was not told
)

// String gives "answered", "request lost" or "reply lost".
func (f Fate) String() string { return [...]string{"answered", "request lost", "reply lost"}[f] }

// Events yields the protocol events as an observer has seen them who sits in the brokers: every request that was carried out
// with its answer, whether or not that arrived, and no request that was lost. A model.Validator can judge them.
func (h *History) Events(yield func(trace.Event) bool) {
	for i := range h.Records {
		if r := &h.Records[i]; r.Event != nil && r.Fate != RequestLost && !yield(r.Event) {
			return
		}
	}
}

// WriteTo writes the history as a trace: one line for each event, and as comments what is not one.
func (h *History) WriteTo(w io.Writer) (int64, error) {
	out := bufio.NewWriter(w)
	n := int64(0)
	for i := range h.Records {
		written, err := fmt.Fprintln(out, h.Records[i].line())
		n += int64(written)
		if err != nil {
			return n, err
		}
	}
	return n, out.Flush()
}

// line is a line of a trace file.
func (r *Record) line() string {
	switch {
	case r.Event == nil:
		return fmt.Sprintf("# %s %s %s", clockText(r.AtUs), r.To, r.Text)
	case r.Fate == RequestLost:
		return fmt.Sprintf("# %s request lost: %s", clockText(r.AtUs), r.Event)
	case r.Fate == ReplyLost:
		return fmt.Sprintf("%s\n# %s the reply to this is lost", r.Event, clockText(r.AtUs))
	}
	return r.Event.String()
}

// clockText gives the virtual time in milliseconds.
func clockText(us int64) string { return fmt.Sprintf("%d.%03d ms", us/msUs, us%msUs) }

// clock puts the time into the history, if it has changed.
func (r *run) clock() {
	if r.history == nil {
		return
	}
	if now := r.broker.NowMs(); now != r.history.lastMs {
		r.history.lastMs = now
		r.history.Records = append(r.history.Records, Record{AtUs: r.nowUs, Event: trace.Time{NowMs: now}})
	}
}

// note puts an event into the history that is not a request.
func (r *run) note(e trace.Event) { r.noteAt("", e) }

func (r *run) noteAt(where string, e trace.Event) {
	if r.history != nil {
		r.clock()
		r.history.Records = append(r.history.Records, Record{AtUs: r.nowUs, To: where, Event: e})
	}
}

// noteRequest puts a request into the history that has just been carried out.
func (r *run) noteRequest(m *message, e trace.Event) {
	r.clock()
	r.history.Records = append(r.history.Records, Record{
		AtUs: r.nowUs, SentUs: m.sentUs, From: r.clients[m.client].name, To: nodeName(m.node), Event: e, Number: m.number, IsCopy: m.copy,
	})
	m.record = int32(len(r.history.Records))
}

// tell puts something in plain words into the history.
func (r *run) tell(about, text string) {
	if r.history != nil {
		r.history.Records = append(r.history.Records, Record{AtUs: r.nowUs, To: about, Text: text})
	}
}

// lost notes a request that does not arrive.
func (h *History) lost(r *run, m *message) {
	m.reply = refuse(trace.NoReply)
	e := r.eventOf(m)
	if e == nil {
		return
	}
	h.Records = append(h.Records, Record{
		AtUs: r.nowUs, SentUs: m.sentUs, From: r.clients[m.client].name, To: nodeName(m.node), Event: e, Number: m.number, IsCopy: m.copy, Fate: RequestLost,
	})
}

func (h *History) replyLost(m *message) {
	if m.record > 0 {
		h.Records[m.record-1].Fate = ReplyLost
	}
}

func (h *History) replied(m *message, atUs int64) {
	if m.record > 0 {
		h.Records[m.record-1].RepliedUs = atUs
	}
}
