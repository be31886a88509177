package sim

import (
	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// Run simulates until all steps are done and what is left is worked off, and judges what readers have got of it. The same
// configuration gives the same result, to the byte, on every machine. An error is about the configuration only; what went
// wrong in the simulated world is in the result's findings.
func Run(cfg Config) (*Result, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	r := newRun(cfg)
	r.start()
	r.loop()
	return r.result(), nil
}

// run is one simulation: the cluster, the clients, the network, and the clock that they share.
type run struct {
	cfg      Config
	chance   chance
	limits   [numFaults]uint64 // thresholds
	only     map[Key]bool
	injected []Key // faults that have happened

	nowUs   int64
	events  int
	queue   queue
	isQuiet bool // no more faults and no more input
	quietUs int64
	isDone  bool

	cluster
	network
	group group

	clients []*client
	writers []*writer
	slots   [numInstances]slot
	readers [2]*reader
	commits int
	aborts  int
	history *History
}

// startMs is the time of the brokers' clocks when the simulation begins.
const startMs = 1_000_000

func newRun(cfg Config) *run {
	r := &run{cfg: cfg, chance: chance{cfg.Seed}}
	for f, probability := range cfg.Faults {
		r.limits[f] = threshold(probability)
	}
	if cfg.Only != nil {
		r.only = map[Key]bool{}
		for _, k := range cfg.Only {
			r.only[k] = true
		}
	}
	if cfg.HasHistory || cfg.IsValidated {
		r.history = &History{}
	}
	r.newCluster(cfg.Rules)
	return r
}

// start brings all processes up.
func (r *run) start() {
	for i := range numWriters {
		r.writers = append(r.writers, newWriter(r, i))
	}
	for i := range r.readers {
		r.readers[i] = newReader(r, i)
	}
	for i := range r.slots {
		r.slots[i].start(r, i)
		r.schedule(r.nowUs+supervisorUs, eventTwinCheck, int32(i), 0)
	}
	r.schedule(r.nowUs+firstGroupUs, eventSession, 0, 0)
	r.schedule(r.nowUs+txnScanUs, eventTxnScan, 0, 0)
}

// count counts what came of a batch.
func (r *run) count(o outcome) {
	switch o {
	case committed:
		r.commits++
	case aborted:
		r.aborts++
	default:
	}
}

func (r *run) schedule(atUs int64, what eventKind, who int32, number uint64) {
	r.queue.push(event{atUs: atUs, what: what, who: who, number: number})
}

// loop lets everything happen, one event after the other.
func (r *run) loop() {
	for !r.isDone && len(r.queue.heap) > 0 {
		e := r.queue.pop()
		r.events++
		if e.atUs/msUs != r.nowUs/msUs || r.events == 1 {
			r.broker.SetTime(startMs + e.atUs/msUs)
		}
		r.nowUs = e.atUs
		if r.events >= r.cfg.Steps && !r.isQuiet {
			r.isQuiet, r.quietUs = true, r.nowUs
		}
		r.handle(&e)
	}
}

func (r *run) handle(e *event) {
	switch e.what {
	case eventRequest:
		r.arrive(int32(e.number))
	case eventStart:
		r.startProcess(e)
	case eventSession:
		r.group.expire(r)
		r.schedule(r.nowUs+sessionUs/3, eventSession, 0, 0)
	case eventDetect:
		r.detect(int8(e.who), int32(e.number))
	case eventNodeUp:
		r.nodeUp(int8(e.who))
	case eventMarkers:
		r.goOnEnding(int(e.number))
	case eventTxnScan:
		r.scanTimeouts()
		r.checkDone()
		r.schedule(r.nowUs+txnScanUs, eventTxnScan, 0, 0)
	case eventTwinCheck:
		r.slots[e.who].supervise(r, int(e.who))
	default:
		r.handleClient(e)
	}
}

// startProcess starts one where none runs, or beside one that stands still.
func (r *run) startProcess(e *event) {
	if isTwin := e.number == 1; isTwin {
		r.slots[e.who].startTwin(r, int(e.who))
		return
	}
	r.slots[e.who].start(r, int(e.who))
}

// handleClient is for events of a client, which do not reach one that is dead, and reach one that stands still later.
func (r *run) handleClient(e *event) {
	c := r.clients[e.who]
	switch {
	case c.isDead:
		if e.what == eventReply {
			r.release(int32(e.number))
		}
		return
	case c.pausedUs > r.nowUs:
		r.schedule(c.pausedUs, e.what, e.who, e.number)
		return
	}
	switch e.what {
	case eventReply:
		m := &r.messages[e.number]
		if r.history != nil {
			r.history.replied(m, r.nowUs)
		}
		c.received(m)
		r.release(int32(e.number))
	case eventRetry:
		c.retry(uint32(e.number))
	case eventTimeouts:
		c.timeouts()
	case eventWake:
		c.owner.woken(e.number)
	default: // not of a client
	}
}

// strikes decides whether a fault befalls a request, and notes it.
func (r *run) strikes(f Fault, who ActorID, number uint32) bool {
	if r.isQuiet {
		return false
	}
	key := Key{f, who, number}
	if r.only != nil {
		if !r.only[key] {
			return false
		}
	} else if limit := r.limits[f]; limit == 0 || r.chance.draw(decision(f), who, uint64(number)) >= limit {
		return false
	}
	r.injected = append(r.injected, key)
	return true
}

// checkDone ends the run in the quiet time: when all input is processed, all transactions are over, and the readers have
// seen everything; or when that takes too long.
func (r *run) checkDone() {
	if !r.isQuiet {
		return
	}
	r.isDone = r.nowUs-r.quietUs > quietLimitUs || r.isSettled()
}

func (r *run) isSettled() bool {
	for _, w := range r.writers {
		if !w.isIdle {
			return false
		}
	}
	for _, t := range r.broker.Txns() {
		if t.State == model.Ongoing || t.State == model.PrepareCommit || t.State == model.PrepareAbort {
			return false
		}
	}
	for i := range partitions {
		p := r.broker.Partition(r.names[i])
		if p.IsLeaderless || p.LastStableOffset(&r.cfg.Rules) != p.HighWatermark() {
			return false
		}
		if i < inputPartitions {
			a := r.broker.OffsetFetch(model.OffsetFetchRequest{Group: groupID, Partition: r.names[i], IsStable: true})
			if a.Code != trace.None || r.progress(i) < p.LogEndOffset() {
				return false
			}
		} else if !r.readers[0].hasRead(i, p.LogEndOffset()) || !r.readers[1].hasRead(i, p.LogEndOffset()) {
			return false
		}
	}
	return true
}

// progress is how far the application is in an input partition: what the group has committed. Without transactions, a commit that was held
// up can put that back, and nobody notices who reads on; then it is where the partition's owner reads.
func (r *run) progress(partition int) int64 {
	at := max(r.broker.OffsetFetch(model.OffsetFetchRequest{Group: groupID, Partition: r.names[partition]}).Offset, 0)
	if r.cfg.Mode == ExactlyOnce {
		return at
	}
	for i := range r.slots {
		for _, a := range r.slots[i].processes {
			if isPolling := a.phase == phasePoll || a.phase == phaseProduce || a.phase == phaseCommit; !a.isDead && isPolling && a.group.isMine[partition] {
				at = max(at, a.positions[partition])
			}
		}
	}
	return at
}
