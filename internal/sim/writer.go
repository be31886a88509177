package sim

import (
	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// writer fills the input topic. It is an idempotent producer that repeats everything until it is answered, and never dies. The
// last of the writers is transactional, and aborts some of its transactions on purpose: nobody may ever read those.
type writer struct {
	*client
	number   int
	txnID    string // "" if it has no transactions
	producer trace.Producer
	isReady  bool // it has a producer id
	isIdle   bool // nothing is under way
	isEnding bool
	refusal  trace.Code // with which it was refused for good, once
	isCommit bool       // of the transaction under way
	rounds   uint64
	written  uint64 // batches so far

	log []entry // all that it has written, in order
}

// entry is what a writer knows of a batch.
type entry struct {
	digest    uint64
	partition int8
	fate      outcome
}

func newWriter(r *run, number int) *writer {
	w := &writer{number: number, isIdle: true}
	w.client = r.newClient(writerActor+ActorID(number), w)
	if number == numWriters-1 {
		w.txnID = "writer"
	}
	w.wakeAfter(int64(number)*msUs, 0)
	return w
}

// digestOf says what a batch of input means: who wrote it, and which of his it is. It is never 0.
func digestOf(writer int, number uint64, count int32) uint64 {
	return uint64(writer+1)<<56 | number<<8 | uint64(count)
}

// woken implements owner: the writer begins something, unless the quiet time has come.
func (w *writer) woken(uint64) {
	switch {
	case w.r.isQuiet:
	case !w.isReady:
		w.isIdle = false
		w.send(request{api: apiInit, txnID: w.txnID})
	default:
		w.write()
	}
}

// write sends a few batches to a few partitions.
func (w *writer) write() {
	w.isIdle = false
	w.rounds++
	w.pipe.empty()
	c, n := w.r.chance, w.rounds
	w.isCommit = c.draw(pickAbort, w.actor, n)%4 > 0
	for range c.between(1, 8, pickCount, w.actor, n) {
		w.written++
		count := int32(c.between(1, 3, pickCount, w.actor+8, w.written))
		partition := int8(c.draw(pickPartition, w.actor, w.written) % inputPartitions)
		b := model.Batch{
			ProducerID: w.producer.ID, Epoch: w.producer.Epoch, Count: count, TimeMs: w.r.broker.NowMs(),
			Digest: digestOf(w.number, w.written, count), IsTransactional: w.txnID != "",
		}
		w.log = append(w.log, entry{b.Digest, partition, unknown})
		w.pipe.add(int(partition), b)
	}
	w.flow(w.txnID)
}

// answered implements owner.
func (w *writer) answered(q *request, m *reply) {
	switch {
	case q.api == apiInit && m.code == trace.None:
		w.producer, w.isReady = m.producer, true
		w.pipe.clear()
		w.rest()
	case q.api == apiInit:
		w.send(request{api: apiInit, txnID: w.txnID})
	case q.api == apiProduce && m.code == trace.None:
		w.pipe.acked(int(q.partition), q.item, m.offset)
		w.acked()
	case q.api == apiEndTxn && m.code == trace.None:
		w.ended(m.producer)
	default: // refused for good: what is under way is of an unknown fate, or aborted
		w.refusal = m.code
		w.fail()
	}
}

// acked goes on when all batches are acknowledged.
func (w *writer) acked() {
	switch {
	case w.pipe.left > 0:
		w.flow(w.txnID)
	case w.txnID != "":
		w.isEnding = true
		w.send(request{api: apiEndTxn, txnID: w.txnID, producer: w.producer, isCommit: w.isCommit})
	default:
		w.settle(committed)
		w.rest()
	}
}

func (w *writer) ended(next trace.Producer) {
	w.isEnding = false
	w.producer = next
	w.pipe.clear()
	if w.isCommit {
		w.settle(committed)
	} else {
		w.settle(aborted)
	}
	w.rest()
}

// fail begins anew with another producer id or epoch. Without EndTxn(commit), a transaction is aborted by that.
func (w *writer) fail() {
	if w.txnID != "" && (!w.isEnding || !w.isCommit) {
		w.settle(aborted)
	} else {
		w.settle(doubtful)
	}
	w.isEnding = false
	w.reset()
	w.send(request{api: apiInit, txnID: w.txnID})
}

// settle notes the fate of all that had none yet.
func (w *writer) settle(fate outcome) {
	for i := len(w.log) - 1; i >= 0 && w.log[i].fate == unknown; i-- {
		w.log[i].fate = fate
	}
}

// rest waits until the next round.
func (w *writer) rest() {
	w.isIdle = true
	w.wakeAfter(w.r.chance.between(msUs, 8*msUs, pickDuration, w.actor+8, w.rounds), 0)
}

// holds implements owner: the input topic has replicas everywhere, so that none of its markers is forgotten.
func (w *writer) holds() bool { return false }

// sent implements owner.
func (w *writer) sent(uint32) {}
