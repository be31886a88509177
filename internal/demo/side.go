package demo

import (
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// side is one of the two pipes. Its methods are called by one goroutine at a time.
type side struct {
	stage         *stage
	name, means   string
	group, output string

	// run is one instance's life: it processes until drain ends, then finishes what it has begun; when dead ends it
	// leaves everything as it is. An error that is not for one of the two ends the performance.
	run func(drain, dead context.Context, in *instance) error
	// identity returns what is the same in a commit and its repetitions only, or "" for other requests.
	identity func(kmsg.Request) string
	// settled waits until the instance whose commit was not answered has got over it.
	settled func(context.Context, *instance) error

	// The steps of the protocol at which the faults happen.
	lostProduce, lostCommit, beforeKill, beforeFreeze wiretap.Rule

	instances map[string]*instance
	fault     *fault // of this act
	taps      []*wiretap.Tap
	drain     context.Context
	stopping  context.CancelFunc
	work      sync.WaitGroup
}

// instance is one process, as it were: all that it sends and gets goes through its tap.
type instance struct {
	id       string
	tap      *wiretap.Tap
	die      context.CancelFunc
	resolved chan struct{} // takes one when a commit without an answer turned out to be committed
}

// start starts an instance. One that had the id before must have been killed.
func (s *side) start(id string) {
	if s.drain == nil {
		s.drain, s.stopping = context.WithCancel(s.stage.ctx)
		s.instances = map[string]*instance{}
	}
	in := &instance{id: id, tap: wiretap.New(wiretap.Keep(0)), resolved: make(chan struct{}, 1)}
	dead, die := context.WithCancel(s.stage.ctx)
	in.die = die
	s.instances[id] = in
	s.taps = append(s.taps, in.tap)
	run := s.run
	s.work.Go(func() {
		err := run(s.drain, dead, in)
		if err != nil && dead.Err() == nil {
			s.stage.fail(fmt.Errorf("%s: instance %s failed: %w", s.name, id, err))
		}
	})
}

// kill ends an instance as SIGKILL does, as seen from the broker: its connections close, and nothing more is sent. (A
// goroutine cannot be killed; what is left of it talks to a tap that lets nothing pass.)
func (in *instance) kill() {
	in.tap.Cut()
	in.die()
}

// stop ends all instances and waits for them. The side is of no use afterwards. Stop after stop does nothing.
func (s *side) stop() {
	if s.stage.ctx.Err() != nil {
		for _, tap := range s.taps {
			tap.Cut() // one may be frozen
		}
	}
	s.stopping()
	s.work.Wait()
	for _, in := range s.instances {
		in.die()
	}
	for _, tap := range s.taps {
		tap.Close()
	}
}

// balanced waits until both instances are in the group and own half of the partitions each.
func (s *side) balanced(ctx context.Context) error {
	return s.await(ctx, "both instances own half of the partitions each", func(g *kfake.GroupInfo) bool {
		if g == nil || g.State != "Stable" || len(g.Members) != 2 {
			return false
		}
		return g.Members[0].NumAssigned() == partitions/2 && g.Members[1].NumAssigned() == partitions/2
	})
}

// caughtUp waits until the group has committed all payments that were made.
func (s *side) caughtUp(ctx context.Context) error {
	return s.await(ctx, "all payments are booked", func(g *kfake.GroupInfo) bool {
		done := int64(0)
		if g != nil {
			for _, commit := range g.Commits[payments] {
				done += commit.Offset
			}
		}
		return done == int64(s.stage.paid)
	})
}

// await waits until something is so in the group. (It asks the broker by a call, not by its protocol.)
func (s *side) await(ctx context.Context, what string, is func(*kfake.GroupInfo) bool) error {
	if _, err := s.stage.WaitGroupInfo(ctx, s.group, is); err != nil {
		return fmt.Errorf("wait until %s: %w", what, context.Cause(ctx))
	}
	return nil
}

// bookings returns how many bookings a read_committed reader gets now.
func (s *side) bookings(ctx context.Context) (n int, err error) {
	err = read(ctx, s.stage.ListenAddrs(), s.output, func(entry) { n++ })
	return n, err
}

// tell adds a line about this side to the story.
func (s *side) tell(format string, args ...any) {
	s.stage.tell("   %-13s  %s", s.name, fmt.Sprintf(format, args...))
}

// fault is a rule that was laid for an act. It strikes the instance that comes there first, and keeps to its commit if
// it is one.
type fault struct {
	laid    map[*instance]*wiretap.Fault
	claimed chan struct{}

	mu     sync.Mutex
	victim *instance // set once, before claimed is closed
	commit string    // its identity; set with victim
}

// lay puts a rule into force for both instances.
func (s *side) lay(rule wiretap.Rule) *fault {
	f := &fault{laid: map[*instance]*wiretap.Fault{}, claimed: make(chan struct{})}
	for _, in := range s.instances {
		select {
		case <-in.resolved: // what went before does not count
		default:
		}
		rule.When = func(r wiretap.Request) bool {
			req, err := r.Decode()
			return err == nil && f.claim(in, s.identity(req))
		}
		f.laid[in] = in.tap.Add(rule)
	}
	return f
}

// claim says whether a request that comes to the step of the protocol is the one to be struck, or its repetition.
func (f *fault) claim(in *instance, commit string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.victim == nil {
		f.victim, f.commit = in, commit
		close(f.claimed)
	}
	return f.victim == in && f.commit == commit
}

// wait returns when the fault has happened, and to whom.
func (f *fault) wait(ctx context.Context) (*instance, error) {
	err := wait(ctx, f.claimed)
	if err == nil {
		err = wait(ctx, f.laid[f.victim].Reached())
	}
	if err != nil {
		return nil, fmt.Errorf("wait for the fault to happen: %w", err)
	}
	for in, laid := range f.laid {
		if in != f.victim {
			laid.Remove()
		}
	}
	return f.victim, nil
}

// release lets a request go that the fault has held.
func (f *fault) release() { f.laid[f.victim].Release() }

// wait waits for a signal.
func wait(ctx context.Context, signal <-chan struct{}) error {
	select {
	case <-signal:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
