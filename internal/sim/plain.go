package sim

import "github.com/eos-pipe/eos-pipe/trace"

// This file is the application without transactions: outputs first, offsets behind them. What happens between the two is
// done again, and what another process has done in between as well.

// answeredPlain takes answers that only these modes wait for.
func (a *instance) answeredPlain(q *request, m *reply) {
	switch {
	case q.api == apiInit && a.phase == phaseInit:
		a.producer = m.producer
		a.join()
	case q.api == apiOffsetCommit && a.phase == phaseCommit:
		if m.code == trace.None {
			a.goOn()
		} else {
			a.join() // the group has moved on: go where it stands
		}
	}
}

// restart deals with an output that was refused for good: it begins again at the committed offsets, with a new producer id if
// there is one.
func (a *instance) restart() {
	a.reset()
	if a.r.cfg.Mode == Idempotent {
		a.initProducer()
		return
	}
	a.join()
}
