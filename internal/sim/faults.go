package sim

import (
	"fmt"
	"strconv"
	"strings"
)

// Fault is a kind of thing that goes wrong. Whether it does is asked once for every request that a client sends.
type Fault uint8

// The faults. The first five befall a message, the next three the process that sent it, the others the brokers.
const (
	DropRequest     Fault = iota // the request is lost
	DropReply                    // the answer is lost: the request was carried out
	Delay                        // the request is held up for longer than its client waits for the answer
	Double                       // the request arrives twice
	Reorder                      // the request is overtaken by later ones
	Crash                        // the instance that sent it dies, and is started again
	Zombie                       // the instance stands still for longer than the group waits; half of them are replaced meanwhile
	Rebalance                    // the group hands its partitions over
	MoveLeader                   // the leader of the partition moves to another broker
	MoveCoordinator              // the transaction coordinator moves to another broker
	CrashBroker                  // the broker dies right after it, before its answer; others take over, and it comes back
	CrashLast                    // so does the last one that has the output partitions it leads: they have no leader until it is back
	numFaults
)

var faultNames = [numFaults]string{
	"drop-request", "drop-reply", "delay", "double", "reorder", "crash", "zombie", "rebalance", "move-leader", "move-coordinator", "crash-broker",
	"crash-last",
}

// String gives the fault's name, such as "drop-reply".
func (f Fault) String() string { return faultNames[f] }

// FaultNames returns the names of all faults.
func FaultNames() []string { return faultNames[:] }

func parseFault(name string) (Fault, bool) {
	for i, n := range faultNames {
		if n == name {
			return Fault(i), true
		}
	}
	return 0, false
}

// Faults holds for each fault how likely it is that it befalls a request: from 0 to 1. The zero value is a world without faults.
type Faults [numFaults]float64

// DefaultFaults is some of everything, enough that hardly a transaction passes without, and that work goes on all the same; of
// everything but [CrashLast], since an instance that dies together with the last replica of an output leaves what nobody can mend.
func DefaultFaults() Faults {
	return Faults{
		DropRequest: 0.01, DropReply: 0.01, Delay: 0.005, Double: 0.01, Reorder: 0.01, Crash: 0.002, Zombie: 0.001, Rebalance: 0.001,
		MoveLeader: 0.001, MoveCoordinator: 0.001, CrashBroker: 0.0005,
	}
}

// ParseFaults reads "drop-reply=0.05,crash=0.01"; "none" is no faults, "default" [DefaultFaults]. What is not named is 0, unless
// "default" stands first.
func ParseFaults(text string) (Faults, error) {
	var faults Faults
	for part := range strings.SplitSeq(text, ",") {
		name, value, hasValue := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case name == "none" && !hasValue:
			faults = Faults{}
			continue
		case name == "default" && !hasValue:
			faults = DefaultFaults()
			continue
		}
		f, ok := parseFault(name)
		if !ok {
			return Faults{}, fmt.Errorf("no fault is called %q; there are: %s", name, strings.Join(faultNames[:], ", "))
		}
		chance, err := strconv.ParseFloat(value, 64)
		if err != nil || !(chance >= 0 && chance <= 1) {
			return Faults{}, fmt.Errorf("%s=%s: write a number from 0 to 1", name, value)
		}
		faults[f] = chance
	}
	return faults, nil
}

// String gives what [ParseFaults] reads.
func (f Faults) String() string {
	var parts []string
	for i, chance := range f {
		if chance > 0 {
			parts = append(parts, Fault(i).String()+"="+strconv.FormatFloat(chance, 'g', -1, 64))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ",")
}

// Key names one fault of a run: what, and which request of whom it befell. It stays the same when other faults are left out,
// as far as the client's requests up to there do.
type Key struct {
	Fault  Fault
	Actor  ActorID
	Number uint32 // of the request, from 1
}

// ParseKey reads what [Key.String] writes.
func ParseKey(text string) (Key, error) {
	fault, rest, _ := strings.Cut(text, "@")
	actor, number, _ := strings.Cut(rest, "#")
	f, isFault := parseFault(fault)
	id, isActor := parseActor(actor)
	n, err := strconv.ParseUint(number, 10, 32)
	if !isFault || !isActor || err != nil {
		return Key{}, fmt.Errorf("%q: write <fault>@<actor>#<request>, such as drop-reply@app-a.1#17", text)
	}
	return Key{f, id, uint32(n)}, nil
}

// String gives "drop-reply@app-a.1#17": the fault that befell request 17 of the first life of instance a.
func (k Key) String() string { return fmt.Sprintf("%s@%s#%d", k.Fault, k.Actor, k.Number) }

// ActorID is who takes part: a writer, a reader, or one life of an instance of the application.
type ActorID uint16

// Instances have numbers from firstInstance on: one block for each, in it one for each life.
const (
	writerActor   ActorID = 0
	readerActor   ActorID = 16
	firstInstance ActorID = 256
	lives                 = 1024
)

func instanceActor(slot, life int) ActorID {
	return firstInstance + ActorID(slot*lives+life%lives)
}

// String gives "writer-1", "reader-committed" or "app-a.2", which is the second life of instance a.
func (a ActorID) String() string {
	switch {
	case a >= firstInstance:
		slot, life := (a-firstInstance)/lives, (a-firstInstance)%lives
		return fmt.Sprintf("app-%c.%d", 'a'+rune(slot), life+1)
	case a >= readerActor:
		return readerNames[a-readerActor]
	}
	return "writer-" + strconv.Itoa(int(a)+1)
}

var readerNames = [...]string{"reader-committed", "reader-uncommitted"}

func parseActor(name string) (ActorID, bool) {
	for i, n := range readerNames {
		if n == name {
			return readerActor + ActorID(i), true
		}
	}
	if number, ok := strings.CutPrefix(name, "writer-"); ok {
		n, err := strconv.ParseUint(number, 10, 4)
		return writerActor + ActorID(n) - 1, err == nil && n > 0
	}
	rest, isInstance := strings.CutPrefix(name, "app-")
	letter, life, _ := strings.Cut(rest, ".")
	n, err := strconv.ParseUint(life, 10, 10)
	if !isInstance || len(letter) != 1 || letter[0] < 'a' || letter[0] >= 'a'+maxInstances || err != nil || n == 0 {
		return 0, false
	}
	return instanceActor(int(letter[0]-'a'), int(n)-1), true
}
