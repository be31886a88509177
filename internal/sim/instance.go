package sim

import (
	"slices"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// slot is where one instance of the application runs: one process after the other, and sometimes two at once, when one that
// stands still was taken for dead.
type slot struct {
	processes []*instance // all that were started
}

// start starts a process, unless one runs or stands still.
func (s *slot) start(r *run, number int) {
	if !slices.ContainsFunc(s.processes, func(a *instance) bool { return !a.isDead }) {
		s.startTwin(r, number)
	}
}

// startTwin starts a process whatever else runs.
func (s *slot) startTwin(r *run, number int) {
	a := newInstance(r, number, len(s.processes))
	s.processes = append(s.processes, a)
	r.tell(a.name, "starts")
	a.begin()
}

// supervise starts a process where none runs.
func (s *slot) supervise(r *run, number int) {
	s.start(r, number)
	r.schedule(r.nowUs+supervisorUs, eventTwinCheck, int32(number), 0)
}

// instance is one process of the application: a state machine that is told answers and times, and sends requests. This file is what
// all modes share: membership, polling, producing. Behind that exactlyonce.go goes on, or plain.go.
type instance struct {
	*client
	slot  int
	id    string // static instance id and transactional id
	phase phase

	isBeating    bool // heartbeats have begun
	isJoined     bool
	isRebalanced bool // newest is another assignment than group
	newest       assignment
	group        assignment
	positions    [inputPartitions]int64

	producer trace.Producer
	waiting  int // answers that the phase waits for
	batch    batch
	batches  uint64 // so far

	// Of the exactly-once mode.
	due          due
	hasInherited bool    // the predecessor's transaction is over, and was looked into
	isDoubtful   bool    // the end of the batch is not known
	outcome      outcome // that the answers so far tell
	isGated      bool    // requests wait until the due markers are seen
	look         look
	repeat       repeat
	untilUs      int64 // patience of the phase, or of the gate
}

// batch is what one poll has given, and what becomes of it: one transaction, or one round of produce and commit.
type batch struct {
	generation int32
	next       [inputPartitions]int64 // where it ends; -1: nothing of that partition
	mark       uint64
	isSending  bool // its offsets may have been sent
	isEnding   bool // its EndTxn(commit) may have been sent
	decided    outcome
}

type outcome uint8

const (
	unknown outcome = iota
	committed
	aborted
	doubtful // and will not be found out
)

// phase is what an instance waits for.
type phase uint8

const (
	phaseDescribe phase = iota // how the predecessor's last transaction stands
	phaseHanging               // where it is open though it is over
	phaseInit                  // a producer id
	phaseJoin                  // an assignment
	phaseOffsets               // the group's offsets
	phasePoll                  // input
	phaseProduce               // all outputs acknowledged
	phaseCommit                // offsets taken
	phaseEnd                   // the transaction committed
	phaseAbort                 // the transaction aborted
	phaseTaken                 // whether another process has taken this one's place
	phaseAsk                   // what the coordinator says of the transaction
	phaseResolve               // what the group's offsets say of it
	phaseMarkers               // the markers of the last transactions
	phaseRepeat                // an answer while markers are written again
	phaseStopped
)

var phaseNames = [...]string{
	"the coordinator's word on its predecessor", "its predecessor's markers", "a producer id", "the group", "the group's offsets", "input", "acknowledgements",
	"its offsets to be taken", "its commit", "its abort", "a look at who has taken its place", "the coordinator's word on its transaction",
	"the offsets' word on its transaction", "the markers of its last transactions", "markers to be written again", "nothing",
}

// Why an instance wakes up. The phases are reasons as well: then its current round is begun again.
const (
	wakeHeartbeat = 1000 + iota
	wakeGate
	wakeAge // and above: the batch of that number has come close to its time-out
)

func newInstance(r *run, slot, life int) *instance {
	a := &instance{slot: slot, id: "app-" + string(rune('a'+slot)), producer: trace.NoProducer}
	a.due.forgetSent()
	a.client = r.newClient(instanceActor(slot, life), a)
	return a
}

// begin is the start of the process.
func (a *instance) begin() {
	switch a.r.cfg.Mode {
	case ExactlyOnce:
		a.inherit()
	case Idempotent:
		a.initProducer()
	default:
		a.join()
	}
}

// initProducer asks for a producer id, which fences whoever holds the transactional id.
func (a *instance) initProducer() {
	a.phase = phaseInit
	q := request{api: apiInit}
	if a.r.cfg.Mode == ExactlyOnce {
		q.txnID, q.isOnce = a.id, true
	}
	a.send(q)
}

// join becomes a member of the group, or takes over what the group has told since.
func (a *instance) join() {
	if a.isJoined {
		a.fetchOffsets()
		return
	}
	a.phase = phaseJoin
	a.heartbeat()
	if !a.isBeating {
		a.isBeating = true
		a.wakeAfter(heartbeatUs, wakeHeartbeat)
	}
}

func (a *instance) heartbeat() {
	if a.isDead || slices.ContainsFunc(a.calls, func(k call) bool { return k.api == apiHeartbeat }) {
		return
	}
	generation := int32(-1)
	if a.isJoined {
		generation = a.newest.generation
	}
	a.send(request{api: apiHeartbeat, member: a.name, instance: a.id, generated: generation, isCheck: true, tries: 1})
}

// heard takes the answer to a heartbeat.
func (a *instance) heard(m *reply) {
	wasJoined := a.isJoined
	switch m.code {
	case trace.None:
		a.isJoined = true
		if m.group.generation != a.newest.generation {
			a.newest, a.isRebalanced = m.group, true
		}
	case trace.UnknownMemberID:
		a.isJoined = false
	case trace.FencedInstanceID:
		a.stop("another process has taken its place in the group")
		return
	default: // not answered
	}
	switch {
	case !wasJoined && a.phase == phaseJoin:
		a.fetchOffsets()
	case a.isRebalanced && a.phase == phaseOffsets:
		a.abandon(func(k *call) bool { return k.api == apiOffsetFetch && !k.isCheck })
		a.fetchOffsets()
	}
}

// fetchOffsets takes over the newest assignment, and asks where its partitions are committed. In exactly-once mode it waits
// for the transactions that hold offsets of them (KIP-447).
func (a *instance) fetchOffsets() {
	a.phase, a.waiting = phaseOffsets, 0
	a.group, a.isRebalanced = a.newest, false
	for i := range a.group.isMine {
		if a.group.isMine[i] && !a.isDead {
			a.waiting++
			a.send(request{api: apiOffsetFetch, partition: int8(i), isStable: a.r.cfg.Mode == ExactlyOnce})
		}
	}
	if a.waiting == 0 {
		a.idle()
	}
}

// idle waits a little and polls then.
func (a *instance) idle() {
	a.phase = phasePoll
	a.wakeAfter(idleUs, uint64(phasePoll))
}

const pollBatches = 6 // of each partition

// poll reads input behind the positions, committed only.
func (a *instance) poll() {
	if !a.isJoined || a.isRebalanced {
		a.join()
		return
	}
	a.phase, a.waiting = phasePoll, 0
	a.batch = batch{generation: a.group.generation}
	a.pipe.empty()
	for i, isMine := range a.group.isMine {
		a.batch.next[i] = -1
		if isMine && !a.isDead {
			a.waiting++
			a.send(request{api: apiFetch, partition: int8(i), offset: a.positions[i], isRead: true, max: pollBatches})
		}
	}
	if a.waiting == 0 {
		a.idle()
	}
}

// polled takes what there is of one partition, and makes outputs of it.
func (a *instance) polled(q *request, m *reply) {
	if m.code == trace.None && m.next > a.positions[q.partition] {
		a.batch.next[q.partition] = m.next
		for i := range m.batches {
			a.transform(&m.batches[i])
		}
	}
	if a.waiting--; a.waiting > 0 {
		return
	}
	if !slices.ContainsFunc(a.batch.next[:], func(next int64) bool { return next >= 0 }) {
		a.idle()
		return
	}
	a.batches++
	a.batch.mark = uint64(a.actor)<<32 | a.batches
	if a.r.cfg.Mode == ExactlyOnce {
		a.wakeAfter(txnAgeUs, wakeAge+a.batches)
	}
	a.produce()
}

// transform makes one output of one input. What it is and where it goes depends on nothing else.
func (a *instance) transform(in *model.LogBatch) {
	out := model.Batch{
		ProducerID: a.producer.ID, Epoch: a.producer.Epoch, Count: int32(in.LastOffset-in.BaseOffset) + 1, TimeMs: in.TimeMs, Digest: in.Digest | outputBit,
		IsTransactional: a.r.cfg.Mode == ExactlyOnce,
	}
	a.pipe.add(outputOf(in.Digest), out)
}

// outputBit tells the digest of an output from that of its input.
const outputBit = 1 << 63

func outputOf(digest uint64) int { return inputPartitions + int(digest>>8%outputPartitions) }

// produce sends all outputs of the batch.
func (a *instance) produce() {
	a.phase = phaseProduce
	if a.pipe.left == 0 {
		a.commitOffsets()
		return
	}
	a.flow(a.txnID())
}

func (a *instance) txnID() string {
	if a.r.cfg.Mode == ExactlyOnce {
		return a.id
	}
	return ""
}

// produced takes the answer for one output.
func (a *instance) produced(q *request, m *reply) {
	switch {
	case m.code == trace.None:
		a.pipe.acked(int(q.partition), q.item, m.offset)
		if a.pipe.left == 0 {
			a.commitOffsets()
			return
		}
		a.flow(a.txnID())
	case a.r.cfg.Mode == ExactlyOnce:
		a.giveUp(m.code)
	default:
		a.restart()
	}
}

// commitOffsets commits how far the batch goes, all outputs being acknowledged.
func (a *instance) commitOffsets() {
	a.phase, a.batch.isSending = phaseCommit, true
	q := request{api: apiOffsetCommit, txnID: a.txnID(), member: a.name, generated: a.batch.generation, mark: a.batch.mark, producer: trace.NoProducer}
	if a.r.cfg.Mode == ExactlyOnce {
		q.producer, q.tries = a.producer, commitTries
	}
	for i, next := range a.batch.next {
		if next >= 0 {
			q.offsets = append(q.offsets, model.OffsetToCommit{Partition: a.r.names[i], Offset: next})
		}
	}
	a.send(q)
}

// goOn is the way on behind a batch that is committed.
func (a *instance) goOn() {
	if a.r.cfg.Mode != ExactlyOnce {
		a.r.count(committed)
	}
	for i, next := range a.batch.next {
		if next >= 0 {
			a.positions[i] = next
		}
	}
	a.poll()
}

// answered implements owner.
func (a *instance) answered(q *request, m *reply) {
	switch {
	case a.isDead:
	case q.api == apiHeartbeat:
		a.heard(m)
	case q.isCheck:
		a.looked(q, m)
	case q.api == apiOffsetFetch && a.phase == phaseOffsets:
		a.positions[q.partition] = max(m.offset, 0)
		if a.waiting--; a.waiting == 0 {
			a.poll()
		}
	case q.api == apiFetch && a.phase == phasePoll:
		a.polled(q, m)
	case q.api == apiProduce && a.phase == phaseProduce:
		a.produced(q, m)
	case a.r.cfg.Mode == ExactlyOnce:
		a.answeredTransaction(q, m)
	default:
		a.answeredPlain(q, m)
	}
}

// woken implements owner.
func (a *instance) woken(reason uint64) {
	switch {
	case a.isDead:
	case reason >= wakeAge:
		a.aged(reason - wakeAge)
	case reason == wakeHeartbeat:
		if a.isJoined || a.phase == phaseJoin {
			a.heartbeat()
		}
		a.wakeAfter(heartbeatUs, wakeHeartbeat)
	case reason == wakeGate && a.isGated:
		a.lookForMarkers()
	case reason == uint64(phasePoll) && a.phase == phasePoll && a.waiting == 0:
		a.poll()
	case a.phase == phaseInit && len(a.calls) > 0 && a.calls[0].api == apiInit:
	case reason == uint64(phaseDescribe) && a.phase == phaseInit:
		a.inherit()
	case reason == uint64(phaseAsk) && a.phase == phaseInit:
		a.askCoordinator()
	case reason == uint64(phaseInit) && a.phase == phaseInit:
		a.initProducer()
	case reason == uint64(phaseTaken) && a.phase == phaseTaken:
		a.askWhoIsThere()
	case reason == uint64(phaseMarkers) && a.phase == phaseMarkers:
		a.lookForMarkers()
	}
}

// sent implements owner: it lets faults befall the process.
func (a *instance) sent(number uint32) {
	r := a.r
	switch {
	case a.isDead:
	case r.strikes(Crash, a.actor, number):
		a.die("is killed")
		r.schedule(r.nowUs+r.chance.between(restartMinUs, restartMaxUs, pickDuration, a.actor, uint64(number)), eventStart, int32(a.slot), 0)
	case r.strikes(Zombie, a.actor, number):
		pauseUs := r.chance.between(pauseMinUs, pauseMaxUs, pickPause, a.actor, uint64(number))
		a.pausedUs = r.nowUs + pauseUs
		r.tell(a.name, "stands still")
		if r.chance.draw(pickTwin, a.actor, uint64(number))%2 == 0 {
			r.schedule(r.nowUs+pauseUs/3, eventStart, int32(a.slot), 1)
		}
	case r.strikes(Rebalance, a.actor, number):
		r.group.rebalance(r)
	}
}

// die ends the process without another word.
func (a *instance) die(how string) {
	a.isDead = true
	a.calls = a.calls[:0]
	a.r.tell(a.name, how)
}

// stop ends the process, which has found that it must not go on.
func (a *instance) stop(why string) {
	a.phase = phaseStopped
	a.die("stops, since " + why)
}
