package sim

import (
	"slices"

	"github.com/eos-pipe/eos-pipe/trace"
)

// client is what every process that talks to brokers has: connections, requests under way, and when to send them again.
//
// Simplifications: a client learns of a moved leader or coordinator by asking for it, which costs it the backoff but no
// request of its own. A connection carries messages in order, unless a fault says otherwise.
type client struct {
	r     *run
	index int32
	actor ActorID
	name  string
	owner owner

	requests  uint32                  // so far: the number of the newest
	calls     []call                  // without answer, in the order in which they were first sent
	conns     [2][numNodes]connection // the second ones are for checks
	leaders   [partitions]int8        // as the client knows them
	txnNode   int8
	groupNode int8
	pipe      pipe

	isDead     bool
	pausedUs   int64 // stands still until then
	timeoutsAt int64 // when it looks for calls without answer next; 0: no need to
}

// owner is the process that a client works for.
type owner interface {
	// answered takes the answer to a request that is over. A request that was given up has trace.NetworkException.
	answered(q *request, a *reply)
	// woken comes when a time is up.
	woken(reason uint64)
	// holds reports whether a request is to wait that would go over a new connection in place of one that was lost.
	holds() bool
	// sent comes when a request has been handed to the network, which the process may not survive.
	sent(number uint32)
}

// call is a request without answer.
type call struct {
	request
	number     uint32 // of the request that is under way, or was last
	node       int8
	tries      int
	isWaiting  bool // to be sent again
	isOldest   bool // of its lane, when it was sent
	deadlineUs int64
}

// connection to one broker.
type connection struct {
	isOpen  bool
	life    int32 // of the broker
	outUs   int64 // when the last message arrives there
	backUs  int64 // when the last answer arrives here
	serials int32 // connections made so far
}

// conn is the connection that a request takes. Checks take their own: they say whether the others may be used.
func (c *client) conn(node int8, isCheck bool) *connection {
	if isCheck {
		return &c.conns[1][node]
	}
	return &c.conns[0][node]
}

func (r *run) newClient(actor ActorID, o owner) *client {
	c := &client{r: r, index: int32(len(r.clients)), actor: actor, name: actor.String(), owner: o}
	c.refresh()
	r.clients = append(r.clients, c)
	return c
}

// refresh is a look at the cluster's metadata.
func (c *client) refresh() {
	c.leaders, c.txnNode, c.groupNode = c.r.leaders, c.r.txnNode, c.r.groupNode
}

// send sends a request for the first time.
func (c *client) send(q request) {
	c.calls = append(c.calls, call{request: q})
	c.transmit(&c.calls[len(c.calls)-1])
}

// transmit hands a call to the network. The process may not survive it.
func (c *client) transmit(k *call) {
	r := c.r
	c.requests++
	k.number, k.tries, k.isWaiting = c.requests, k.tries+1, false
	k.deadlineUs = r.nowUs + timeoutUs
	k.isOldest = k.api == apiProduce && c.pipe.isOldest(int(k.partition), k.item)
	switch k.destination() {
	case toTxnCoordinator:
		k.node = c.txnNode
	case toGroupCoordinator:
		k.node = c.groupNode
	default:
		k.node = c.leaders[k.partition]
	}
	if conn := c.conn(k.node, k.isCheck); !conn.isOpen && conn.serials > 0 && !k.isCheck && c.owner.holds() {
		c.retryLater(k)
		return
	}
	if c.timeoutsAt == 0 {
		c.timeoutsAt = k.deadlineUs
		r.schedule(k.deadlineUs, eventTimeouts, c.index, 0)
	}
	r.transport(c, k)
	c.owner.sent(k.number)
}

// received takes a message that arrives at the client; a call that was sent again since is not interested in it.
func (c *client) received(m *message) {
	i := slices.IndexFunc(c.calls, func(k call) bool { return k.number == m.number && !k.isWaiting })
	if i < 0 {
		return
	}
	k := &c.calls[i]
	if c.mustRetry(k, m.reply.code) {
		c.retryLater(k)
		return
	}
	q := k.request
	c.calls = slices.Delete(c.calls, i, i+1)
	c.owner.answered(&q, &m.reply)
}

// mustRetry reports whether the answer asks to send the request again.
func (c *client) mustRetry(k *call, code trace.Code) bool {
	switch code {
	case trace.NotLeaderOrFollower, trace.NotCoordinator, trace.CoordinatorLoadInProgress, trace.CoordinatorNotAvailable:
		c.refresh()
		return true
	case trace.ConcurrentTransactions, trace.UnstableOffsetCommit:
		return !k.isOnce
	case trace.OutOfOrderSequenceNumber:
		return !k.isOldest // it has overtaken another; if it had not, the sequence is broken
	default:
		return false
	}
}

func (c *client) retryLater(k *call) {
	k.isWaiting = true
	c.r.schedule(c.r.nowUs+backoffUs, eventRetry, c.index, uint64(k.number))
}

// retry sends a call again whose backoff is over.
func (c *client) retry(number uint32) {
	i := slices.IndexFunc(c.calls, func(k call) bool { return k.number == number && k.isWaiting })
	if i >= 0 {
		c.transmit(&c.calls[i])
	}
}

// timeouts gives up the connections on which an answer is overdue, and with them all that is under way there.
func (c *client) timeouts() {
	now := c.r.nowUs
	c.timeoutsAt = 0
	isAny := false
	for i := range c.calls {
		if k := &c.calls[i]; !k.isWaiting && k.deadlineUs <= now {
			c.conn(k.node, k.isCheck).isOpen, isAny = false, true
		}
	}
	if isAny {
		c.refresh()
		c.disconnect()
	}
	next := int64(0)
	for i := range c.calls {
		if k := &c.calls[i]; !k.isWaiting && (next == 0 || k.deadlineUs < next) {
			next = k.deadlineUs
		}
	}
	if next != 0 && c.timeoutsAt == 0 && !c.isDead {
		c.timeoutsAt = next
		c.r.schedule(next, eventTimeouts, c.index, 0)
	}
}

// disconnect is for closed connections: what was under way there is sent again, or, if that was tried often enough, given up.
func (c *client) disconnect() {
	var over []request
	kept := c.calls[:0]
	for _, k := range c.calls {
		switch {
		case k.isWaiting || c.conn(k.node, k.isCheck).isOpen:
			kept = append(kept, k)
		case k.request.tries > 0 && k.tries >= k.request.tries:
			over = append(over, k.request)
		default:
			kept = append(kept, k)
			c.retryLater(&kept[len(kept)-1])
		}
	}
	c.calls = kept
	for i := range over {
		c.owner.answered(&over[i], &reply{code: trace.NetworkException, producer: trace.NoProducer, offset: -1})
	}
}

// abandon forgets all calls of a kind; their answers will be of no interest.
func (c *client) abandon(isOver func(*call) bool) {
	c.calls = slices.DeleteFunc(c.calls, func(k call) bool { return isOver(&k) })
}

// reset is a new client in the same process: other connections, nothing under way.
func (c *client) reset() {
	c.calls = c.calls[:0]
	for n := range c.conns[0] {
		c.conns[0][n].isOpen, c.conns[1][n].isOpen = false, false
	}
	c.pipe.clear()
	c.refresh()
}

func (c *client) wakeAfter(us int64, reason uint64) {
	c.r.schedule(c.r.nowUs+us, eventWake, c.index, reason)
}
