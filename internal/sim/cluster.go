package sim

import (
	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// cluster is three brokers around one model.Broker: that one value is what they have replicated, and the nodes decide who may
// be asked for what, and whether anybody answers.
//
// Simplifications: what a leader has acknowledged is replicated, so a crash loses no record, and a new leader knows all
// producers. Until the controller has noticed a crash, nobody answers for the broker's partitions, and their markers wait. With the
// fault CrashLast its output partitions, and the group's offsets, have no leader until it is back. Brokers ask each other
// without faults.
type cluster struct {
	broker  *model.Broker
	names   [partitions]trace.Partition
	log     trace.Partition // of the group's offsets
	nodes   [numNodes]node
	leaders [partitions]int8

	txnNode   int8
	txnLoadUs int64 // the transaction coordinator answers from then on
	txnEpoch  int32
	isEnding  []bool // by place in model.Broker.Txns: an event of this end is scheduled
	groupNode int8
	endings   uint64 // drawn so far
	requests  model.ProduceRequest
	answers   []model.ProduceAnswer
	steps     []model.Step
	marks     [inputPartitions]uint64           // metadata of the committed offsets
	marksTxn  map[int64][inputPartitions]uint64 // by producer id: those of pending offsets
}

type node struct {
	isUp   bool
	isLast bool  // nobody else has the output partitions and the offsets that it leads
	life   int32 // counts its starts
}

func (r *run) newCluster(rules model.Rules) {
	r.broker = model.NewBroker(rules)
	r.broker.SetTime(startMs)
	r.broker.CreateTopic(inputTopic, inputPartitions)
	r.broker.CreateTopic(outputTopic, outputPartitions)
	r.log = r.broker.OffsetsPartition(groupID)
	r.broker.CreateTopic(r.log.Topic, r.log.Number+1)
	for i := range r.names {
		r.names[i] = trace.Partition{Topic: inputTopic, Number: int32(i)}
		if i >= inputPartitions {
			r.names[i] = trace.Partition{Topic: outputTopic, Number: int32(i - inputPartitions)}
		}
		r.leaders[i] = int8(i % numNodes)
	}
	for i := range r.nodes {
		r.nodes[i].isUp = true
	}
	r.groupNode = 1
	r.marksTxn = map[int64][inputPartitions]uint64{}
	r.requests = model.ProduceRequest{Version: 12, Acks: -1, Batches: make([]model.ProduceBatch, 1)}
	r.broker.SetGroup(model.Group{ID: groupID})
}

// crashNode takes a broker down for some time. Its connections are gone at once; that it is down is noticed later.
func (r *run) crashNode(n int8, isLast bool, downUs int64) {
	if !r.nodes[n].isUp {
		return
	}
	r.nodes[n] = node{life: r.nodes[n].life + 1, isLast: isLast}
	r.tell(nodeName(n), "crashes")
	r.schedule(r.nowUs+detectUs, eventDetect, int32(n), uint64(r.nodes[n].life))
	r.schedule(r.nowUs+detectUs+downUs, eventNodeUp, int32(n), 0)
}

// detect is the controller's reaction: partitions with replicas get other leaders, those without have none, and what the
// broker coordinated is taken over.
func (r *run) detect(n int8, life int32) {
	if r.nodes[n].isUp || r.nodes[n].life != life {
		return
	}
	for i := range r.leaders {
		switch {
		case r.leaders[i] != n:
		case i >= inputPartitions && r.nodes[n].isLast:
			r.broker.Partition(r.names[i]).IsLeaderless = true
		default:
			r.moveLeader(i, 0)
		}
	}
	if r.groupNode == n && r.nodes[n].isLast {
		r.broker.Partition(r.log).IsLeaderless = true
	} else if r.groupNode == n {
		r.groupNode = r.other(n, 0)
		r.group.forgive(r)
	}
	if r.txnNode == n {
		r.moveCoordinator(0)
	}
}

func (r *run) nodeUp(n int8) {
	r.nodes[n].isUp = true
	r.tell(nodeName(n), "is back")
	for i := range r.leaders {
		if r.leaders[i] == n && r.broker.Partition(r.names[i]).IsLeaderless {
			r.restartLeader(r.names[i])
		}
	}
	if p := r.broker.Partition(r.log); r.groupNode == n && p.IsLeaderless {
		r.restartLeader(r.log)
		r.group.forgive(r)
	}
}

func (r *run) restartLeader(p trace.Partition) {
	rules := r.broker.Rules()
	r.broker.Partition(p).RestartLeader(r.broker.NowMs(), &rules)
	r.note(trace.Restart{Partition: p})
}

// other returns a node that is up and not this one; n itself if there is none.
func (r *run) other(n int8, which uint64) int8 {
	for i := range uint64(numNodes - 1) {
		m := (n + 1 + int8((which+i)%(numNodes-1))) % numNodes
		if r.nodes[m].isUp {
			return m
		}
	}
	return n
}

// moveLeader gives a partition another leader. It has followed, so it knows all producers.
func (r *run) moveLeader(partition int, which uint64) {
	if r.broker.Partition(r.names[partition]).IsLeaderless {
		return
	}
	if to := r.other(r.leaders[partition], which); to != r.leaders[partition] {
		r.leaders[partition] = to
		r.tell(nodeName(to), "leads "+r.names[partition].String()+" now")
	}
}

// moveCoordinator has another node read the transaction log. Ends that were under way go on there.
func (r *run) moveCoordinator(which uint64) {
	to := r.other(r.txnNode, which)
	if to == r.txnNode {
		return
	}
	r.txnNode, r.txnLoadUs = to, r.nowUs+loadUs
	r.txnEpoch++
	r.broker.ReloadCoordinator()
	r.tell(nodeName(to), "coordinates transactions now")
	r.note(trace.Reload{})
	for i := range r.broker.Txns() {
		r.startEnding(i)
	}
}

func (r *run) isTxnCoordinatorUp() bool {
	return r.nodes[r.txnNode].isUp && r.nowUs >= r.txnLoadUs
}

func nodeName(n int8) string { return "broker-" + string(rune('1'+n)) }

// endTransaction schedules the end of a transactional id, if it is ending.
func (r *run) endTransaction(id string) {
	for i, t := range r.broker.Txns() {
		if t.ID == id {
			r.startEnding(i)
		}
	}
}

func (r *run) startEnding(i int) {
	for len(r.isEnding) <= i {
		r.isEnding = append(r.isEnding, false)
	}
	if t := r.broker.Txns()[i]; r.isEnding[i] || t.State != model.PrepareCommit && t.State != model.PrepareAbort {
		return
	}
	r.isEnding[i] = true
	r.scheduleEnding(i)
}

func (r *run) scheduleEnding(i int) {
	r.endings++
	r.schedule(r.nowUs+r.chance.between(markerMinUs, markerMaxUs, pickMarker, 0, r.endings), eventMarkers, 0, uint64(i))
}

// goOnEnding writes one marker of an ending transaction, or completes it.
func (r *run) goOnEnding(i int) {
	t := r.broker.Txns()[i]
	if t.State != model.PrepareCommit && t.State != model.PrepareAbort {
		r.isEnding[i] = false
		return
	}
	if !r.isTxnCoordinatorUp() {
		r.scheduleEnding(i)
		return
	}
	if len(t.Partitions) == 0 {
		r.isEnding[i] = false
		if _, ok := r.broker.Take(model.Step{Kind: model.StepComplete, TxnID: t.ID}); ok {
			r.note(trace.Complete{TxnID: t.ID})
		}
		return
	}
	from := int(r.chance.draw(pickMarker, 1, r.endings) % uint64(len(t.Partitions)))
	for j := range t.Partitions {
		if r.sendMarker(t, t.Partitions[(from+j)%len(t.Partitions)]) {
			r.scheduleEnding(i)
			return
		}
	}
	r.isEnding[i] = false // all that are left were refused for good: a new coordinator would try again
}

// sendMarker writes a marker, or finds out that it has to wait. It reports false if the partition has refused it before.
func (r *run) sendMarker(t *model.Txn, p trace.Partition) bool {
	isLeaderless := r.broker.Partition(p) == nil || r.broker.Partition(p).IsLeaderless
	if !isLeaderless && !r.nodes[r.nodeOf(p)].isUp {
		return true
	}
	event := trace.Marker{
		Partition: p, Producer: trace.Producer{ID: t.ProducerID, Epoch: t.Epoch}, Commit: t.State == model.PrepareCommit,
		CoordinatorEpoch: r.txnEpoch, Protocol: t.Protocol,
	}
	a, ok := r.broker.Take(model.Step{Kind: model.StepMarker, TxnID: t.ID, Partition: p})
	if !ok {
		return false
	}
	if isLeaderless {
		r.tell(nodeName(r.txnNode), "knows no leader of "+p.String()+", and forgets its marker")
		r.note(trace.Drop{TxnID: t.ID, Partition: p})
		return true
	}
	if p == r.log && a.Code == trace.None {
		r.decideMarks(t.ProducerID, event.Commit)
	}
	if r.history != nil {
		event.Code, event.Offset = a.Code, a.BaseOffset
		r.noteAt(nodeName(r.nodeOf(p)), event)
	}
	return true
}

func (r *run) nodeOf(p trace.Partition) int8 {
	switch p.Topic {
	case inputTopic:
		return r.leaders[p.Number]
	case outputTopic:
		return r.leaders[inputPartitions+p.Number]
	}
	return r.groupNode
}

// decideMarks makes pending metadata visible, or drops it: the model keeps offsets without.
func (r *run) decideMarks(id int64, isCommit bool) {
	pending, ok := r.marksTxn[id]
	if !ok {
		return
	}
	delete(r.marksTxn, id)
	for i, mark := range pending {
		if isCommit && mark != 0 {
			r.marks[i] = mark
		}
	}
}

// scanTimeouts aborts transactions that are open for too long.
func (r *run) scanTimeouts() {
	if !r.isTxnCoordinatorUp() {
		return
	}
	r.steps = r.broker.Steps(r.steps[:0])
	for _, s := range r.steps {
		if s.Kind != model.StepTimeout {
			continue
		}
		r.clock()
		if _, ok := r.broker.Take(s); ok {
			r.tell(nodeName(r.txnNode), "aborts the transaction of "+s.TxnID+", which is open for too long")
			r.endTransaction(s.TxnID)
		}
	}
}
