package wiretap

import (
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Phase says which way a frame went.
type Phase uint8

// The two phases of an exchange.
const (
	PhaseRequest Phase = iota // client to broker
	PhaseReply                // broker to client
)

// String returns "request" or "reply".
func (p Phase) String() string {
	if p == PhaseReply {
		return "reply"
	}
	return "request"
}

// Event is one frame seen by the tap.
type Event struct {
	Time          time.Time
	Conn          int64  // number of the connection, from 1 in order of Dial
	Addr          string // remote address of the connection
	Phase         Phase
	API           kmsg.Key
	Version       int16
	CorrelationID int32
	Bytes         int    // length of the frame, its size field included
	Dropped       bool   // it went no further: by a rule, or because the client had closed the connection
	Copy          bool   // it is of a request that was delivered again by a DoubleRequest or HoldDouble rule
	Fault         string // text of the rules that acted on this frame, separated by ", "; empty if none did
	Err           error  // why a RewriteError, UnlistAborted, FlipRequest or FlipReply rule could not act; the frame passed unchanged
}

// String returns the event on one line, for logs.
func (e Event) String() string {
	s := fmt.Sprintf("conn=%d %s %s v%d correlation=%d bytes=%d", e.Conn, e.Phase, e.API.Name(), e.Version, e.CorrelationID, e.Bytes)
	if e.Dropped {
		s += " dropped"
	}
	if e.Copy {
		s += " copy"
	}
	if e.Fault != "" {
		s += fmt.Sprintf(" fault=%q", e.Fault)
	}
	if e.Err != nil {
		s += fmt.Sprintf(" err=%q", e.Err)
	}
	return s
}

// note adds a rule to the event's Fault.
func (e *Event) note(f *Fault) {
	if e.Fault != "" {
		e.Fault += ", "
	}
	e.Fault += f.text
}

// eventLog counts requests and remembers the newest events in a ring.
type eventLog struct {
	observer func(Event)
	limit    int

	mu     sync.Mutex
	ring   []Event
	oldest int // index in ring of the oldest event, once the ring is full
	counts map[kmsg.Key]int
}

// record adds an event and shows it to the observer.
func (l *eventLog) record(e Event) {
	l.mu.Lock()
	if e.Phase == PhaseRequest && !e.Copy {
		if l.counts == nil {
			l.counts = make(map[kmsg.Key]int)
		}
		l.counts[e.API]++
	}
	switch {
	case len(l.ring) < l.limit:
		l.ring = append(l.ring, e)
	case l.limit > 0:
		l.ring[l.oldest] = e
		l.oldest = (l.oldest + 1) % l.limit
	}
	l.mu.Unlock()
	if l.observer != nil {
		l.observer(e)
	}
}

// count returns how many requests of api were recorded.
func (l *eventLog) count(api kmsg.Key) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[api]
}

// events returns a copy of what is remembered, oldest first.
func (l *eventLog) events() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	events := make([]Event, 0, len(l.ring))
	events = append(events, l.ring[l.oldest:]...)
	return append(events, l.ring[:l.oldest]...)
}
