package generate

import (
	"fmt"
	"math"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// produceTxn is a transactional batch.
func (h *history) produceTxn() {
	t := h.txn()
	h.say("produce %s %s", h.produceHead(t), h.batch(t, h.identity(t), true))
}

// producePlain is a batch outside of a transaction, of a producer with a transactional id or of one without.
func (h *history) producePlain() {
	if len(h.plain) == 0 || h.one(4) {
		t := h.txn()
		h.say("produce %s %s", h.produceHead(t), h.batch(t, h.identity(t), false))
		return
	}
	p := h.plain[h.IntN(len(h.plain))]
	partition := h.partition()
	epoch := int16(0)
	if e := h.entry(partition, p.id); e != nil {
		epoch = e.Epoch
	}
	switch h.IntN(12) {
	case 0:
		epoch++ // as a client does on its own
	case 1:
		epoch--
	case 2:
		epoch = []int16{-1, 32766, 32767}[h.IntN(3)]
	}
	epoch = max(epoch, -1)
	for range []int{1, 1, 1, 7}[h.IntN(4)] { // one more than a partition remembers, and a repeat
		h.say("produce v%d - @%d %s/%d %s", 10+h.IntN(4), partition, p.name, epoch, h.sequence(partition, p.id, epoch))
	}
}

// produceTwo is one request for two partitions.
func (h *history) produceTwo() {
	t := h.txn()
	first, second := h.partition(), h.partition()
	if first == second {
		second = (first + 1) % Partitions
	}
	who := h.identity(t)
	other := who
	if h.one(8) {
		other = h.identity(t)
	}
	h.say("produce %s %s + %s", h.produceHead(t), h.batchIn(first, t, who, true), h.batchIn(second, t, other, !h.one(10)))
}

// produceHead chooses version and transactional id.
func (h *history) produceHead(t *txn) string {
	version, id := 12+h.IntN(2), t.name
	if h.isOld(t) {
		version = 10 + h.IntN(2)
	}
	switch h.IntN(40) {
	case 0:
		id = "-"
	case 1:
		id = h.txn().name
	case 2:
		id = "nobody"
	}
	return fmt.Sprintf("v%d %s", version, id)
}

func (h *history) batch(t *txn, who string, isTxn bool) string {
	return h.batchIn(h.partition(), t, who, isTxn)
}

func (h *history) batchIn(partition int, t *txn, who string, isTxn bool) string {
	flag := ""
	if isTxn {
		flag = "T "
	}
	text := fmt.Sprintf("@%d %s %s%s", partition, who, flag, h.sequence(partition, t.current().id, h.epoch(t)))
	if h.one(40) {
		text += " flaw=" + []string{"count", "crc", "control", "empty"}[h.IntN(4)]
	}
	return text
}

// sequence chooses the first sequence and the number of records by what the partition remembers.
func (h *history) sequence(partition int, id int64, epoch int16) string {
	count := int32(1 + h.IntN(3))
	next := int32(0)
	e := h.entry(partition, id)
	isKnown := e != nil && e.Epoch == epoch && len(e.Batches()) > 0
	if isKnown {
		next = after(e.LastSequence(), 1)
	}
	switch n := h.IntN(40); {
	case n < 7 && isKnown: // a repeat of one of those remembered, or nearly
		m := e.Batches()[h.IntN(len(e.Batches()))*h.IntN(2)] // often the oldest
		next, count = m.FirstSequence(), m.OffsetDelta+1
		if n < 2 {
			next = after(next, int32(h.IntN(3)-1))
			count = max(1, count+int32(h.IntN(3)-1))
		}
	case n < 9:
		next = after(next, int32(1+h.IntN(3)))
	case n < 10:
		next = 0
	case n < 11 && isKnown: // one that is remembered no more, if there were enough
		next = after(e.Batches()[0].FirstSequence(), -count)
	case n < 14 && !isKnown || n < 12:
		next = math.MaxInt32 - int32(h.IntN(3))
	case n < 15 && !isKnown:
		next = int32(h.IntN(10))
	}
	text := fmt.Sprintf("seq=%d", next)
	if h.one(60) {
		text = "seq=-1"
	}
	if count > 1 {
		text += fmt.Sprintf(" n=%d", count)
	}
	return text
}

// after counts modulo 2^31, also backwards.
func after(sequence, by int32) int32 { return int32((int64(sequence) + int64(by)) & math.MaxInt32) }

func (h *history) end() {
	t := h.txn()
	version := 5
	if h.rules.Release >= model.Release44 {
		version += h.IntN(2)
	}
	if h.isOld(t) {
		version = []int{4, 4, 4, 3, 2, 1, 0}[h.IntN(7)]
	}
	h.bind(t, "end v%d %s %s %s", version, t.name, h.identity(t), []string{"commit", "commit", "abort"}[h.IntN(3)])
}

func (h *history) init() {
	t := h.txn()
	expect := ""
	if !h.one(3) {
		expect = " expect=" + h.identity(t)
	}
	h.bind(t, "init v%d %s%s", []int{5, 5, 4, 3}[h.IntN(4)], t.name, expect)
}

// addPartitions is what old clients send, and sometimes what brokers send to each other.
func (h *history) addPartitions() {
	t := h.txn()
	version, verify := 3, ""
	switch h.IntN(12) {
	case 0:
		version = h.IntN(3)
	case 1:
		version, verify = 4+h.IntN(2), " verify"
	case 2:
		version = 4 + h.IntN(2)
	}
	partitions := fmt.Sprintf("@%d", h.partition())
	if h.one(2) {
		partitions += fmt.Sprintf(" @%d", Partitions-1)
		if partitions == "@3 @3" {
			partitions = "@3"
		}
	}
	if h.one(20) && version < 4 {
		partitions += " @77"
	}
	h.say("add-partitions v%d %s %s %s%s", version, t.name, h.identity(t), partitions, verify)
}

func (h *history) addOffsets() {
	t := h.txn()
	h.say("add-offsets v%d %s %s %s", []int{3, 4, 4, 1}[h.IntN(4)], t.name, h.identity(t), h.group())
}

func (h *history) txnOffsets() {
	t := h.txn()
	version := 5
	if h.rules.Release >= model.Release44 {
		version += h.IntN(2)
	}
	if h.isOld(t) {
		version = 3 + h.IntN(2)
	}
	offsets := fmt.Sprintf("@%d=%d", h.IntN(Partitions-1), h.IntN(1000))
	switch {
	case h.one(3):
		offsets = fmt.Sprintf("@0=%d @1=%d", h.IntN(1000), h.IntN(1000))
	case version == 6 && h.one(10):
		offsets += " none@0=1"
	}
	generation := ""
	if h.one(10) {
		generation = " gen=5"
	}
	h.say("txn-offsets v%d %s %s %s %s%s", version, t.name, h.identity(t), h.group(), offsets, generation)
}

func (h *history) commitOffsets() {
	h.say("commit-offsets %s @%d=%d", h.group(), h.IntN(Partitions-1), h.IntN(1000))
}

func (h *history) settle() {
	t := h.txn()
	h.bind(t, "settle %s", t.name)
}

// look reads something.
func (h *history) look() {
	switch h.IntN(6) {
	case 0:
		t := h.txn()
		h.bind(t, "describe %s", t.name)
	case 1:
		h.say("producers @%d", h.partition())
	case 2:
		h.say("list-offsets @%d committed", h.partition())
	case 3:
		stable := []string{"", " stable"}[h.IntN(2)]
		h.say("fetch-offsets %s @%d%s", h.group(), h.IntN(Partitions-1), stable)
	default:
		n := h.partition()
		h.say("fetch @%d from=%d committed", n, h.offset(n))
	}
}

func (h *history) deleteRecords() {
	n := h.partition()
	h.say("delete-records @%d %d", n, h.offset(n))
}

// offset is one of the partition, or the one behind its end.
func (h *history) offset(n int) int64 {
	p := h.broker.Broker().Partition(trace.Partition{Topic: Topic, Number: int32(n)})
	return h.Int64N(p.HighWatermark() + 1)
}
