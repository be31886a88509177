package sim

// event is something that is due at a time of the virtual clock. Events of one time come in the order in which they were
// scheduled.
type event struct {
	atUs   int64
	serial uint64
	what   eventKind
	who    int32 // a client, an instance's slot, or a node; it depends on what
	number uint64
}

type eventKind uint8

const (
	eventRequest   eventKind = iota // message number arrives at its broker
	eventReply                      // message number arrives at client who
	eventRetry                      // call number of client who is sent again
	eventTimeouts                   // client who looks for calls without an answer
	eventWake                       // client who goes on: number tells with what
	eventStart                      // a process is started in slot who
	eventSession                    // the group looks for members that are silent
	eventDetect                     // the controller notices that node who is gone
	eventNodeUp                     // node who comes back
	eventMarkers                    // the coordinator goes on with the end of transaction number
	eventTxnScan                    // the coordinator looks for transactions that are open for too long
	eventTwinCheck                  // the supervisor of slot who looks whether a process runs
)

func (e *event) before(f *event) bool {
	return e.atUs < f.atUs || e.atUs == f.atUs && e.serial < f.serial
}

// queue is a heap of events with four children a node, which is flatter, and so faster, than one with two.
type queue struct {
	heap   []event
	serial uint64
}

func (q *queue) push(e event) {
	e.serial = q.serial
	q.serial++
	q.heap = append(q.heap, e)
	at := len(q.heap) - 1
	for at > 0 {
		parent := (at - 1) / 4
		if !e.before(&q.heap[parent]) {
			break
		}
		q.heap[at] = q.heap[parent]
		at = parent
	}
	q.heap[at] = e
}

// pop takes the next event; the queue must not be empty.
func (q *queue) pop() event {
	top, last := q.heap[0], q.heap[len(q.heap)-1]
	q.heap = q.heap[:len(q.heap)-1]
	at := 0
	for {
		child := 4*at + 1
		if child >= len(q.heap) {
			break
		}
		least := child
		for i := child + 1; i < min(child+4, len(q.heap)); i++ {
			if q.heap[i].before(&q.heap[least]) {
				least = i
			}
		}
		if !q.heap[least].before(&last) {
			break
		}
		q.heap[at] = q.heap[least]
		at = least
	}
	if len(q.heap) > 0 {
		q.heap[at] = last
	}
	return top
}
