// Package generate draws random histories: lists of requests in the language of internal/broker/script, with what the model of a
// broker answers. It is pure: the same seed gives the same history.
//
// A history is drawn while the model answers it, so that most requests are what a producer would send next, and the others miss it
// by a little: the epoch before or the one after, a batch that is repeated, cut, or one ahead, a request of the wrong version.
package generate

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/internal/broker/script"
	"github.com/eos-pipe/eos-pipe/trace"
)

// history is one being drawn.
type history struct {
	*rand.Rand
	rules  model.Rules
	broker settled
	runner *script.Runner
	lines  []string
	txns   []*txn
	plain  []producer // without a transactional id
	groups []string
	bound  int // names given to producer ids so far
}

// txn is a transactional id.
type txn struct {
	name string
	ids  []producer // those it had, the current one last
	old  int        // of 10 requests, how many are of the old protocol
}

// producer is a producer id as the script names it.
type producer struct {
	name string
	id   int64
}

// History returns the lines of the history of that seed, for a broker with these rules.
func History(seed uint64, r model.Rules) []string {
	h := &history{Rand: rand.New(rand.NewPCG(seed, 0x656f73)), rules: r, broker: newSettled(r)}
	h.runner = script.NewRunner(h.broker, Topic)
	h.begin()
	for range 15 + h.IntN(50) {
		h.step()
	}
	h.finish()
	return h.lines
}

// one reports true once in n times.
func (h *history) one(n int) bool { return h.IntN(n) == 0 }

// say adds a line and has the model answer it.
func (h *history) say(format string, args ...any) (answer string) {
	line := fmt.Sprintf(format, args...)
	answer, _, err := h.runner.Run("run", line)
	if err != nil {
		panic(fmt.Sprintf("generate: %q: %v", line, err)) // the generator writes lines that the language does not have
	}
	h.lines = append(h.lines, line)
	return answer
}

func (h *history) begin() {
	for _, name := range []string{"A", "B", "C"}[:1+h.IntN(3)] {
		t := &txn{name: name, old: []int{0, 2, 5, 10}[h.IntN(4)]}
		h.txns = append(h.txns, t)
		h.bind(t, "init v5 %s", name)
		if h.one(4) {
			h.say("raise v5 %s %s/%d", name, t.current().name, 32764+h.IntN(3))
		}
	}
	for range h.IntN(3) {
		h.bound++
		p := producer{name: fmt.Sprintf("P%d", h.bound)}
		h.say("init v5 - bind=%s", p.name)
		p.id = h.broker.last.ID
		h.plain = append(h.plain, p)
	}
	h.groups = []string{"g", "h"}[:1+h.IntN(2)]
}

// bind says a line that may give the transactional id another producer id, with a name for it.
func (h *history) bind(t *txn, format string, args ...any) {
	name := fmt.Sprintf("P%d", h.bound+1)
	answer := h.say(format+" bind="+name, args...)
	id := h.broker.Broker().Txn(t.name).ProducerID
	if len(t.ids) > 0 && id == t.current().id {
		return
	}
	if !strings.Contains(answer, name+"/") {
		h.say("settle %s bind=%s", t.name, name) // the id was exchanged, and the answer did not tell
	}
	h.bound++
	t.ids = append(t.ids, producer{name, id})
}

func (t *txn) current() producer { return t.ids[len(t.ids)-1] }

func (h *history) epoch(t *txn) int16 { return h.broker.Broker().Txn(t.name).Epoch }

func (h *history) txn() *txn { return h.txns[h.IntN(len(h.txns))] }

func (h *history) group() string { return h.groups[h.IntN(len(h.groups))] }

// partition prefers the first ones, so that producers meet.
func (h *history) partition() int { return min(h.IntN(Partitions), h.IntN(Partitions)) }

// identity writes a producer as a request of that transactional id has it: mostly right.
func (h *history) identity(t *txn) string {
	p, epoch := t.current(), int32(h.epoch(t))
	switch h.IntN(40) {
	case 0, 1, 2:
		epoch--
	case 3, 4:
		epoch++
	case 5:
		epoch = []int32{-1, 0, 32765, 32766, 32767}[h.IntN(5)]
	case 6:
		return fmt.Sprintf("%s+100000/%d", p.name, max(epoch, 0))
	case 7, 8:
		p = t.ids[h.IntN(len(t.ids))]
		if p != t.current() {
			epoch = 32766
		}
	}
	return fmt.Sprintf("%s/%d", p.name, min(max(epoch, -1), 32767))
}

// isOld chooses the protocol of a request.
func (h *history) isOld(t *txn) bool { return h.IntN(10) < t.old }

// entry is what a partition knows of a producer id, or nil.
func (h *history) entry(partition int, id int64) *model.ProducerEntry {
	p := h.broker.Broker().Partition(trace.Partition{Topic: Topic, Number: int32(partition)})
	for _, e := range p.Producers() {
		if e.ID == id {
			return &e
		}
	}
	return nil
}

// step draws one request.
func (h *history) step() {
	kinds := []struct {
		weight int
		draw   func(*history)
	}{
		{26, (*history).produceTxn},
		{8, (*history).producePlain},
		{4, (*history).produceTwo},
		{12, (*history).end},
		{4, (*history).init},
		{8, (*history).addPartitions},
		{3, (*history).addOffsets},
		{9, (*history).txnOffsets},
		{4, (*history).commitOffsets},
		{5, (*history).settle},
		{8, (*history).look},
		{1, (*history).deleteRecords},
	}
	sum := 0
	for _, k := range kinds {
		sum += k.weight
	}
	n := h.IntN(sum)
	for _, k := range kinds {
		if n -= k.weight; n < 0 {
			k.draw(h)
			return
		}
	}
}

// finish compares everything that can be seen.
func (h *history) finish() {
	for _, t := range h.txns {
		h.bind(t, "settle %s", t.name)
	}
	for n := range Partitions {
		h.say("fetch @%d", n)
		h.say("fetch @%d committed", n)
		h.say("list-offsets @%d", n)
		h.say("list-offsets @%d committed", n)
		h.say("producers @%d", n)
	}
	for _, g := range h.groups {
		for n := range Partitions - 1 {
			h.say("fetch-offsets %s @%d", g, n)
			h.say("fetch-offsets %s @%d stable", g, n)
		}
	}
}
