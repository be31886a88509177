package monitor

import (
	"fmt"
	"time"

	"github.com/eos-pipe/eos-pipe/eos"
)

// Health is an answer of /healthz or /readyz.
type Health struct {
	OK      bool     `json:"ok"`
	Reasons []string `json:"reasons"` // why not, a line each; empty if OK
}

func healthOf(reasons []string) Health {
	if reasons == nil {
		reasons = []string{}
	}
	return Health{OK: len(reasons) == 0, Reasons: reasons}
}

// healthy says whether the process is of use: no lane has stopped for good because of an error. To restart it is all that an
// orchestrator can do about one that has.
func (s *state) healthy() Health {
	var reasons []string
	for _, l := range s.sorted() {
		if l.failure != "" {
			reasons = append(reasons, fmt.Sprintf("%s has stopped for good: %s", l.id, l.failure))
		}
	}
	return healthOf(reasons)
}

// ready says whether the process takes part in the group's work, and gets on with it. docs/monitoring.md lists the reasons.
func (s *state) ready(now time.Time) Health {
	var reasons []string
	no := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	if s.draining {
		no("draining: the process was asked to stop")
	}
	if len(s.lanes) == 0 {
		no("no lane has started")
	}
	for _, l := range s.sorted() {
		switch {
		case l.ended || l.state == eos.Stopped:
			no("%s has stopped", l.id)
		case l.state == eos.Starting, l.state == eos.Replacing, l.state == eos.Resolving:
			no("%s is %s", l.id, l.state)
		case !l.joined:
			no("%s waits for the group to assign partitions", l.id)
		case l.stableLag(s.lag) > 0 && now.Sub(l.moved) > s.stuckAfter:
			no("%s has committed nothing for %v, and %d offsets are in front of it", l.id, now.Sub(l.moved).Round(time.Second), l.stableLag(s.lag))
		}
	}
	if since := now.Sub(later(s.lag.at, s.started)); since > s.stuckAfter {
		no("the brokers have not told the lag for %v: %s", since.Round(time.Second), s.lag.err)
	}
	return healthOf(reasons)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
