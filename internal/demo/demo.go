// Package demo shows on an embedded broker what exactly-once means: two pipes book the same payments side by side, one
// exactly once (a processor of this module), one at least once (the loop that everybody writes: poll, produce, commit).
// Each has two instances and suffers the same faults at the same steps of the protocol. In the end the records are
// counted from the topics.
//
//	demo.go         the performance: Run
//	acts.go         the faults, one act each
//	side.go         one of the two pipes: its instances, and what to wait for
//	exactlyonce.go  the one side;  atleastonce.go  the other
//	broker.go       the embedded broker
//	payments.go     what goes in and what comes out
//	count.go        the figures, counted from the topics
//
// An embedded broker proves the logic, not the durability: it keeps everything in the memory of one process.
package demo

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// DefaultRecords is how many payments are booked where Config.Records is zero.
	DefaultRecords = 20_000
	// MinRecords is how few payments a performance needs, so that every instance has something to do in every act.
	MinRecords = 1_000
)

// limit bounds a performance: one that hangs is to fail, and to say where.
const limit = 2 * time.Minute

// Config is what a performance needs to know. The zero value is a good one.
type Config struct {
	// Records is how many payments are booked; at least MinRecords. Default: DefaultRecords.
	Records int
	// Tell is told what happens, one line at a time and never twice at once. Optional.
	Tell func(line string)
	// Logger takes the log of the exactly-once pipe. Default: nothing is logged.
	Logger *slog.Logger
}

// Run gives the performance. A nil error means that every fault has really happened and that both pipes went on to the
// end of the input; what they made of it is in the Result. It takes some ten seconds. Nothing is left running.
func Run(ctx context.Context, cfg Config) (_ Result, err error) {
	if cfg.Records == 0 {
		cfg.Records = DefaultRecords
	}
	if cfg.Records < MinRecords {
		return Result{}, fmt.Errorf("%d payments are too few to show anything: at least %d are needed", cfg.Records, MinRecords)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %v", limit))
	defer cancel()
	s, err := newStage(ctx, cfg)
	if err != nil {
		return Result{}, err
	}
	defer func() { s.close(err) }()
	s.tell("An embedded broker is up: nothing leaves this process, and nothing survives it.")
	s.tell("Two pipes read the same payments, each with two instances, a and b:")
	for _, side := range s.sides {
		s.tell("  %-13s  %s", side.name, side.means)
	}
	for i, act := range acts {
		if err := s.play(i, act); err != nil {
			return Result{}, fmt.Errorf("act %d (%s): %w", i+1, act.title, err)
		}
	}
	for _, side := range s.sides {
		side.stop()
	}
	s.tell("")
	s.tell("All instances have stopped. Now the topics are read by a client that took no part, and counted.")
	return s.result()
}

// stage is where the performance takes place.
type stage struct {
	*broker
	ctx    context.Context // ends with its cause when an instance fails
	fail   context.CancelCauseFunc
	log    *slog.Logger
	sides  []*side
	paid   int // payments made so far
	chunks []int

	telling sync.Mutex
	teller  func(string)
}

// newStage starts the broker and both instances of both sides.
func newStage(ctx context.Context, cfg Config) (*stage, error) {
	b, err := newBroker()
	if err != nil {
		return nil, fmt.Errorf("start the embedded broker: %w", err)
	}
	s := &stage{broker: b, log: cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)), teller: cfg.Tell, chunks: split(cfg.Records, len(acts))}
	s.ctx, s.fail = context.WithCancelCause(ctx)
	s.sides = []*side{exactlyOnce(s), atLeastOnce(s)}
	for _, side := range s.sides {
		side.start("a")
		side.start("b")
	}
	return s, nil
}

// play gives one act: both sides are ready, the fault is laid, payments come in, the fault happens, both sides recover.
func (s *stage) play(number int, a act) error {
	n := s.chunks[number]
	s.tell("")
	s.tell("%d. %s (%d payments)", number+1, a.title, n)
	if err := s.each((*side).balanced); err != nil {
		return err
	}
	for _, side := range s.sides {
		side.fault = nil
		if a.where != nil {
			side.fault = side.lay(a.where(side))
		}
	}
	if err := s.pay(s.ctx, s.paid, n); err != nil {
		return fmt.Errorf("make payments: %w", err)
	}
	s.paid += n
	begun := time.Now()
	return s.each(func(side *side, ctx context.Context) error {
		if err := a.play(side, ctx); err != nil {
			return err
		}
		if err := side.caughtUp(ctx); err != nil {
			return err
		}
		side.tell("✓ all payments are booked, %.1f s after they came in", time.Since(begun).Seconds())
		return nil
	})
}

// each does something for both sides at once.
func (s *stage) each(do func(*side, context.Context) error) error {
	var wg sync.WaitGroup
	failures := make([]error, len(s.sides))
	for i, side := range s.sides {
		wg.Go(func() {
			if err := do(side, s.ctx); err != nil {
				failures[i] = fmt.Errorf("%s: %w", side.name, err)
			}
		})
	}
	wg.Wait()
	return cmp.Or(failures...)
}

// result counts both sides.
func (s *stage) result() (Result, error) {
	var r Result
	for i, counts := range []*Counts{&r.ExactlyOnce, &r.AtLeastOnce} {
		var err error
		if *counts, err = count(s.ctx, s.ListenAddrs(), s.sides[i].output); err != nil {
			return Result{}, fmt.Errorf("count %s: %w", s.sides[i].output, err)
		}
	}
	return r, nil
}

// close ends all instances, then the broker. After an error they are not given time to finish what they have begun.
func (s *stage) close(err error) {
	if err != nil {
		s.fail(err)
	}
	for _, side := range s.sides {
		side.stop()
	}
	s.fail(nil)
	s.broker.close()
}

// tell adds a line to the story.
func (s *stage) tell(format string, args ...any) {
	if s.teller == nil {
		return
	}
	s.telling.Lock()
	defer s.telling.Unlock()
	s.teller(fmt.Sprintf(format, args...))
}

// split returns n in parts of nearly the same size.
func split(n, parts int) []int {
	sizes := make([]int, parts)
	for i := range sizes {
		sizes[i] = n*(i+1)/parts - n*i/parts
	}
	return sizes
}
