package schedules

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// member is one instance of the application: lives of a process one after the other, always with the same ids, as a
// supervisor would start them. Only a second start makes two lives at once.
type member struct {
	w      *world
	number int
	id     string

	mu    sync.Mutex
	lives []*life // that run
	dead  []*life // that were abandoned
	armed []*armed
	runs  int // supervisors
	opens int
}

// armed is a rule that waits for its request: it goes with the member from one life to the next.
type armed struct {
	kind  kind
	rule  wiretap.Rule
	fault *wiretap.Fault
	fired int // by taps before
}

func (w *world) newMember(i int) *member {
	return &member{w: w, number: i, id: fmt.Sprintf("m%d", i)}
}

// start starts a supervisor.
func (m *member) start(after time.Duration) {
	m.mu.Lock()
	m.runs++
	m.mu.Unlock()
	m.w.lives.Go(func() {
		defer func() {
			m.mu.Lock()
			m.runs--
			m.mu.Unlock()
		}()
		m.supervise(after)
	})
}

// supervise starts a life whenever the one before has ended, until one has ended for good.
func (m *member) supervise(after time.Duration) {
	ctx := m.w.running
	for rest(ctx, after) {
		l := m.newLife()
		ended := make(chan error, 1)
		m.w.lives.Go(func() { ended <- l.run() })
		var err error
		select {
		case err = <-ended:
			m.forget(l, false)
		case <-l.abandoned:
			m.forget(l, true)
		}
		m.w.log("%s.%d ended: %v", m.id, l.number, err)
		if err != nil && l.ctx.Err() == nil {
			m.w.didSo("stops")
		}
		m.mu.Lock()
		fenced := errors.Is(err, eos.ErrFenced) && m.runs > 1
		m.mu.Unlock()
		if fenced || l.final.Load() && !m.w.isHealed() {
			return
		}
		after = max(l.comeback, 200*time.Millisecond)
	}
}

func (m *member) newLife() *life {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opens++
	if m.opens > 1 {
		m.w.mu.Lock()
		m.w.result.Joins++
		m.w.mu.Unlock()
	}
	l := &life{m: m, number: m.opens, tap: wiretap.New(wiretap.Over(m.w.dial), wiretap.Keep(0)), abandoned: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(m.w.running)
	m.lives = append(m.lives, l)
	for _, a := range m.armed {
		if hits := a.fault.Hits(); hits == 0 || a.rule.Count == wiretap.Always {
			a.fault.Remove()
			a.fired += hits
			a.fault = l.tap.Add(a.rule)
		}
	}
	return l
}

func (m *member) forget(l *life, dead bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.lives {
		if m.lives[i] == l {
			m.lives = append(m.lives[:i:i], m.lives[i+1:]...)
			break
		}
	}
	if dead {
		m.dead = append(m.dead, l)
	} else {
		m.w.lives.Go(l.tap.Close)
	}
}

// newest returns the life that was started last, or nil.
func (m *member) newest() *life {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.lives) == 0 {
		return nil
	}
	return m.lives[len(m.lives)-1]
}

// count returns how many supervisors run.
func (m *member) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.runs
}

// arm adds a rule to this life and those after it.
func (m *member) arm(k kind, rule wiretap.Rule) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := &armed{kind: k, rule: rule}
	if len(m.lives) > 0 {
		a.fault = m.lives[len(m.lives)-1].tap.Add(rule)
	} else {
		a.fault = wiretap.New().Add(rule) // until there is a life
	}
	m.armed = append(m.armed, a)
}

// heal ends the faults of this member and counts those that have hit.
func (m *member) heal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.armed {
		a.fault.Release()
		m.w.fire(a.kind, a.fired+a.fault.Hits())
	}
	m.armed = nil
	for _, l := range m.lives {
		l.tap.Thaw()
		l.tap.Restore()
	}
}

func (m *member) closeTaps() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range append(m.lives, m.dead...) {
		l.tap.Close()
	}
}

// rest waits for d; false means that ctx has ended.
func rest(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
