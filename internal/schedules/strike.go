package schedules

import (
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// strike brings about one event of the plan, and returns when it is over but for what waits for a request.
func (w *world) strike(e Event) {
	w.pause(e.At)
	m := w.members[e.Member]
	w.log("%s: %v", m.id, e.Kind)
	switch e.Kind.act {
	case lostAnswer, lostRequest, lateAnswer, lateRequest, wrongAnswer:
		m.arm(e.Kind, ruleOf(e))
	case refusal:
		w.refuse(e)
	case leaderMove:
		topic := []string{input, output}[e.Skip%2]
		n := []int{w.plan.Inputs, w.plan.Outputs}[e.Skip%2]
		for i := range e.Count {
			p := int32((i + int(e.For)) % n)
			if w.cluster.MoveTopicPartition(topic, p, (w.cluster.LeaderFor(topic, p)+1)%int32(w.plan.Brokers)) == nil {
				w.fire(e.Kind, 1)
			}
		}
	case coordinatorMove:
		w.cluster.RehashCoordinators()
		w.fire(e.Kind, 1)
	default:
		m.strike(e)
	}
}

// strike brings about what happens to a whole process.
func (m *member) strike(e Event) {
	l := m.newest()
	if l == nil || l.ctx.Err() != nil {
		return
	}
	switch e.Kind.act {
	case cut:
		l.tap.Cut()
		m.w.pause(e.For)
		if l.ctx.Err() == nil {
			l.tap.Restore()
		}
	case gone, crash:
		l.comeback = e.For
		l.final.Store(e.Kind.act == gone)
		l.crash()
	case leave:
		l.comeback = e.For
		l.cancel()
	case absent:
		if !l.joinTooLate(e.For) {
			return
		}
	case stopped:
		l.stopFor(e.For)
	case deaf:
		l.clients.ignore(int32(e.Skip))
	case twin:
		m.start(0)
	case slow:
		l.slow.Add(1)
		return // counted when it happens
	case failure:
		l.fail.Add(int32(e.Count))
		return
	default:
		panic("schedules: " + e.Kind.String() + " does not strike a process")
	}
	m.w.fire(e.Kind, 1)
}

// stopFor is SIGSTOP and SIGCONT, as far as a bubble can have them: no byte goes in or out, and the handler stands still.
// What the client itself does with its timers goes on.
func (l *life) stopFor(d time.Duration) {
	goOn := l.holdHandler()
	l.tap.Freeze()
	l.m.w.pause(d)
	l.tap.Thaw()
	goOn()
}

// joinTooLate holds up the next JoinGroup for d, and the handler until a little later, when the client has joined again. It returns
// whether there was a JoinGroup in time.
func (l *life) joinTooLate(d time.Duration) bool {
	held := l.tap.Add(wiretap.Rule{API: kmsg.JoinGroup, Action: wiretap.HoldRequest})
	defer held.Remove()
	select {
	case <-held.Reached():
	case <-l.ctx.Done():
		return false
	case <-time.After(l.m.w.plan.Window):
		return false
	}
	goOn := l.holdHandler()
	l.m.w.pause(d)
	held.Release()
	l.m.w.pause(time.Second)
	goOn()
	return true
}

// holdHandler has the handler stand still until the function that it returns is called.
func (l *life) holdHandler() func() {
	frozen := make(chan struct{})
	l.frozen.Store(&frozen)
	return func() { close(frozen) }
}

// ruleOf is the rule of a fault that waits for a request.
func ruleOf(e Event) wiretap.Rule {
	r := wiretap.Rule{API: e.Kind.api, Skip: e.Skip, Count: e.Count}
	switch e.Kind.act {
	case lostAnswer:
		r.Action = wiretap.DropReply
	case lostRequest:
		r.Action = wiretap.DropRequest
	case lateAnswer:
		r.Action, r.Delay = wiretap.DelayReply, e.For
	case lateRequest:
		r.Action, r.Delay = wiretap.DelayRequest, e.For
	default:
		r.Action, r.ErrorCode = wiretap.RewriteError, e.Kind.code.Code
	}
	if r.API == kmsg.EndTxn && (r.Action == wiretap.DropReply || r.Action == wiretap.DropRequest) && e.Count > 1 {
		r.Count = wiretap.Always // until the faults end
	}
	return r
}

// refuse has the broker itself refuse what the members ask; the feed is left alone.
func (w *world) refuse(e Event) {
	f := kfake.Fault{Keys: []kmsg.Key{e.Kind.api}, Err: e.Kind.code, Count: e.Count}
	switch e.Kind.api {
	case kmsg.Produce:
		f.Topic = output
	case kmsg.Fetch, kmsg.ListOffsets:
		f.Topic = input
	case kmsg.EndTxn, kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn:
		f.TxnID = w.members[e.Member].id + "-0"
	default:
		f.Group = group
	}
	h := w.cluster.Fault(f)
	w.pause(w.plan.Window - e.At)
	h.Remove()
	w.fire(e.Kind, h.Hits())
}
