package schedules

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Plan is all that is drawn from a seed: what a schedule will do. Only the order of what happens at one instant of virtual
// time is not in it: that is the Go scheduler's.
type Plan struct {
	Seed     uint64
	Focus    Focus
	Members  int
	Inputs   int // partitions of the input
	Outputs  int
	Brokers  int
	Old      bool // brokers of transaction.version 1
	Consumer bool // the group's protocol is the consumer protocol
	Unlisted bool // the brokers say of no transaction of the input that it was aborted
	Records  int
	Chunks   int
	Batch    int           // Config.MaxRecords
	Retries  int           // of a request; 0 is the client's default
	Window   time.Duration // faults begin within it
	Events   []Event
}

// Event is one fault at one time.
type Event struct {
	At     time.Duration
	Kind   kind
	Member int
	Skip   int // of what the fault could hit, so many are left alone first
	Count  int
	For    time.Duration // how long it lasts, or how late something comes
}

// Focus draws faults of a part of the kinds more often: by it a schedule looks for one family of bugs.
type Focus string

// The families of faults. The zero Focus draws all kinds alike.
const (
	Ends      Focus = "ends"      // how a transaction ends
	Produces  Focus = "produces"  // whether a record is written
	Groups    Focus = "groups"    // who owns a partition
	Absences  Focus = "absences"  // members that the group goes on without
	Inputs    Focus = "inputs"    // what is read
	Handlers  Focus = "handlers"  // what the application does
	Twins     Focus = "twins"     // two processes with the same ids
	Consumers Focus = "consumers" // who owns a partition, in the consumer protocol
)

// timeouts of every schedule. They are short, since most of the time that a schedule takes is waiting for them to pass.
const (
	sessionTimeout     = 6 * time.Second
	transactionTimeout = 10 * time.Second
	// bound is how long after the last fault everything must be processed.
	bound = 4 * time.Minute
)

// Draw returns the plan of a seed.
func Draw(seed uint64, focus Focus) Plan {
	if focus == Errors {
		return sweep(seed)
	}
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	p := Plan{
		Seed: seed, Focus: focus,
		Members: 1 + r.IntN(3), Inputs: 3 + r.IntN(2), Outputs: 3 + r.IntN(2), Brokers: 2 + r.IntN(2), Old: r.IntN(5) == 0,
		Records: 50 + r.IntN(100), Chunks: 3 + r.IntN(4), Batch: 5 + r.IntN(30),
		Window: time.Duration(5+r.IntN(15)) * time.Second,
	}
	if r.IntN(10) == 0 {
		p.Records += 150
	}
	if r.IntN(3) == 0 {
		p.Retries = 2
	}
	p.Unlisted = rand.New(rand.NewPCG(seed, 0xab047)).IntN(3) == 0
	switch focus {
	case "": // from a source of its own, so that the plans of the other schedules stay
		p.Consumer = !p.Old && rand.New(rand.NewPCG(seed, 848)).IntN(4) == 0
	case Consumers:
		p.Consumer, p.Old = true, false
	default:
	}
	if focus == Groups || focus == Absences || focus == Twins || focus == Consumers {
		p.Members = 2 + r.IntN(2)
	}
	if focus == Absences { // something new at all times, so that others have processed what an absent member has not
		p.Records, p.Chunks = 2*p.Records, 4*p.Chunks
	}
	families, all := kindsOf(focus), kindsOf("")
	for range 3 + r.IntN(6) {
		from := all
		if len(families) > 0 && r.IntN(4) > 0 {
			from = families
		}
		k := from[r.IntN(len(from))]
		if p.Consumer {
			k = k.consumer()
		}
		p.Events = append(p.Events, Event{
			At:     time.Duration(r.Int64N(int64(p.Window))),
			Kind:   k,
			Member: r.IntN(p.Members),
			Skip:   r.IntN(1 + r.IntN(k.spread())),
			Count:  1 + r.IntN(1+r.IntN(4)),
			For:    k.drawTime(r),
		})
	}
	if d := rand.New(rand.NewPCG(seed, 0xdeaf)); d.IntN(5) == 0 {
		p.Events = append(p.Events, Event{
			At: time.Duration(d.Int64N(int64(p.Window))), Kind: kind{act: deaf}, Member: d.IntN(p.Members), Skip: d.IntN(p.Inputs), Count: 1,
		})
	}
	if l := rand.New(rand.NewPCG(seed, 0x1eaf)); l.IntN(40) == 0 {
		p.Events = append(p.Events, leaving(l, p)...)
	}
	return p
}

// leaving draws a fault of how a member leaves the group, and has it leave: few members do while faults are drawn, and a fault of what they say then is
// seldom drawn for one of them.
func leaving(r *rand.Rand, p Plan) []Event {
	k := kind{act: []act{lostAnswer, lostRequest, lateAnswer, lateRequest}[r.IntN(4)], api: kmsg.LeaveGroup}
	if p.Consumer {
		k = k.consumer()
	}
	e := Event{At: time.Duration(r.Int64N(int64(p.Window))), Kind: k, Member: r.IntN(p.Members), Count: 1, For: k.drawTime(r)}
	left := Event{At: e.At + time.Millisecond, Kind: kind{act: leave}, Member: e.Member, Count: 1}
	left.For = left.Kind.drawTime(r)
	return []Event{e, left}
}

// String tells the plan, a line for each fault.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d focus %q: %d members, %d to %d partitions, %d brokers (old: %t), consumer protocol: %t, unlisted: %t, %d records in %d chunks, batches of %d, "+
		"retries %d, faults within %v\n",
		p.Seed, p.Focus, p.Members, p.Inputs, p.Outputs, p.Brokers, p.Old, p.Consumer, p.Unlisted, p.Records, p.Chunks, p.Batch, p.Retries, p.Window)
	for _, e := range p.Events {
		fmt.Fprintf(&b, "  %v member %d: %v, after %d, %d times, for %v\n", e.At, e.Member, e.Kind, e.Skip, e.Count, e.For)
	}
	return b.String()
}
