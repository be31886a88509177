package sim

import "github.com/eos-pipe/eos-pipe/trace"

// network carries messages, and loses, delays, doubles and reorders them.
type network struct {
	messages []message
	free     []int32
}

// message is a request on its way, which becomes its reply.
type message struct {
	request request
	reply   reply
	number  uint32 // of the request
	client  int32
	node    int8
	life    int32 // of the broker, when the connection was made
	serial  int32 // of the connection
	copy    bool  // the second one of a request that was doubled
	record  int32 // in the history, from 1; 0: none
	sentUs  int64
}

func (r *run) take() int32 {
	if n := len(r.free); n > 0 {
		i := r.free[n-1]
		r.free = r.free[:n-1]
		return i
	}
	r.messages = append(r.messages, message{})
	return int32(len(r.messages) - 1)
}

func (r *run) release(i int32) {
	r.messages[i] = message{}
	r.free = append(r.free, i)
}

// transport sends a call's request to its broker.
func (r *run) transport(c *client, k *call) {
	conn := c.conn(k.node, k.isCheck)
	if !conn.isOpen {
		*conn = connection{isOpen: true, life: r.nodes[k.node].life, serials: conn.serials + 1}
	}
	m := message{request: k.request, number: k.number, client: c.index, node: k.node, life: conn.life, serial: conn.serials, sentUs: r.nowUs}
	if r.strikes(DropRequest, c.actor, k.number) {
		r.noteLost(&m)
		return
	}
	atUs := r.nowUs + r.chance.between(latencyMinUs, latencyMaxUs, pickLatency, c.actor, uint64(k.number))
	atUs = r.inOrder(&conn.outUs, atUs, c.actor, k.number)
	r.deliver(m, atUs)
	if r.strikes(Double, c.actor, k.number) {
		m.copy = true
		r.deliver(m, atUs+r.chance.between(latencyMinUs, delayMaxUs, pickDuration, c.actor, uint64(k.number)))
	}
}

// inOrder keeps the order of a connection, unless a fault holds this message up.
func (r *run) inOrder(lastUs *int64, atUs int64, who ActorID, number uint32) int64 {
	if r.strikes(Delay, who, number) {
		return atUs + r.chance.between(delayMinUs, delayMaxUs, pickDuration, who, uint64(number))
	}
	if r.strikes(Reorder, who, number) {
		return atUs + r.chance.between(overtakeMinUs, overtakeMaxUs, pickDuration, who, uint64(number))
	}
	*lastUs = max(*lastUs+1, atUs)
	return *lastUs
}

func (r *run) deliver(m message, atUs int64) {
	i := r.take()
	r.messages[i] = m
	r.schedule(atUs, eventRequest, 0, uint64(i))
}

// arrive has the broker answer a message. What arrives for a broker that has died since the connection was made is lost.
func (r *run) arrive(i int32) {
	m := &r.messages[i]
	n := &r.nodes[m.node]
	if !n.isUp || n.life != m.life {
		r.noteLost(m)
		r.release(i)
		return
	}
	r.answer(m)
	who := r.clients[m.client].actor
	r.strikeBrokers(m, who)
	if r.strikes(DropReply, who, m.number) || !n.isUp {
		r.noteReplyLost(m)
		r.release(i)
		return
	}
	r.sendBack(i, who)
}

// sendBack sends the reply on the connection of the request; the client may have given that up meanwhile.
func (r *run) sendBack(i int32, who ActorID) {
	m := &r.messages[i]
	conn := r.clients[m.client].conn(m.node, m.request.isCheck)
	atUs := r.nowUs + r.chance.between(latencyMinUs, latencyMaxUs, pickReplyLatency, who, uint64(m.number))
	if conn.serials == m.serial {
		conn.backUs = max(conn.backUs+1, atUs)
		atUs = conn.backUs
	}
	r.schedule(atUs, eventReply, m.client, uint64(i))
}

// strikeBrokers lets faults befall the brokers behind a request.
func (r *run) strikeBrokers(m *message, who ActorID) {
	if m.copy {
		return
	}
	isLast := r.strikes(CrashLast, who, m.number)
	if isLast || r.strikes(CrashBroker, who, m.number) {
		r.crashNode(m.node, isLast, r.chance.between(downMinUs, downMaxUs, pickDuration, who, uint64(m.number)))
		return
	}
	switch m.request.destination() {
	case toLeader:
		if r.strikes(MoveLeader, who, m.number) {
			r.moveLeader(int(m.request.partition), r.chance.draw(pickLeader, who, uint64(m.number)))
		}
	case toTxnCoordinator:
		if r.strikes(MoveCoordinator, who, m.number) {
			r.moveCoordinator(r.chance.draw(pickLeader, who, uint64(m.number)))
		}
	case toGroupCoordinator:
	}
}

// noteLost writes down a request that did not arrive.
func (r *run) noteLost(m *message) {
	if r.history != nil {
		r.history.lost(r, m)
	}
}

func (r *run) noteReplyLost(m *message) {
	if r.history != nil {
		r.history.replyLost(m)
	}
}

// refuse is an answer with nothing but a code.
func refuse(code trace.Code) reply {
	return reply{code: code, producer: trace.NoProducer, offset: -1}
}
