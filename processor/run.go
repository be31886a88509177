package processor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eos-pipe/eos-pipe/eos"
)

// ErrAborted is what Run returns when it had to leave a batch that was under way: by Abort, or because a drain took
// too long. Nothing is lost: the batch's transaction is aborted, and its records are processed at the next start.
var ErrAborted = errors.New("stopped in the middle of a batch; it is aborted, nothing is lost, and the next start processes it")

// Processor runs one pipe over as many lanes as configured.
type Processor struct {
	cfg     Config
	topics  []string
	pattern string // of further topics; "": none
	outputs []string
	newWork func() work      // of a lane
	input   *eos.InputBuffer // of all lanes

	started atomic.Bool
	abort   context.CancelFunc
	hard    context.Context // ends when batches under way must be left
	limits  sync.Once       // compareLimits
}

// New returns a processor of pipe p, or every fault of both joined into one error. It reads the files that Config.Security
// names; nothing is connected yet.
func New[In, Out any](cfg Config, p Pipe[In, Out]) (*Processor, error) {
	cfg, err := cfg.withDefaults()
	if err := errors.Join(err, p.validate()); err != nil {
		return nil, err
	}
	if err := cfg.validate(p.Source.Topics, p.Source.Pattern, p.Sink.Topics()); err != nil {
		return nil, err
	}
	if cfg.Session.Client, err = cfg.clientOptions(); err != nil {
		return nil, err
	}
	pr := &Processor{
		cfg: cfg, topics: p.Source.Topics, pattern: p.Source.Pattern, outputs: p.Sink.Topics(), input: eos.NewInputBuffer(cfg.InputBufferMaxBytes, cfg.Lanes),
	}
	pr.newWork = func() work { return p.newWork(cfg) }
	pr.hard, pr.abort = context.WithCancel(context.Background())
	return pr, nil
}

// Abort leaves the batches under way at once: Run returns ErrAborted within seconds. It may be called at any time.
func (p *Processor) Abort() { p.abort() }

// Run processes until ctx ends, then drains: it finishes and commits the batches under way, leaves the group and
// returns nil. With Config.UntilEnd it also returns nil when the end is reached. When a lane fails, the others drain,
// and Run returns that lane's error: an *eos.Error or a *RecordError. In every case no transaction is left open and
// what was not committed is processed at the next start. A Processor runs once.
func (p *Processor) Run(ctx context.Context) error {
	if !p.started.CompareAndSwap(false, true) {
		return errors.New("a Processor runs only once: make a new one")
	}
	defer p.abort()
	soft, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(soft, p.limitDrain)()
	defer context.AfterFunc(p.hard, func() { stop(ErrAborted) })() // a processor that must leave its batches begins no new one

	var end *endWatch
	if p.cfg.UntilEnd {
		var err error
		switch end, err = p.watchEnd(soft); {
		case soft.Err() != nil && end == nil:
			return nil // asked to stop before anything was begun
		case err != nil:
			return err
		}
		defer end.close()
	}
	var wg, opening sync.WaitGroup
	failures := make([]error, p.cfg.Lanes)
	for i := range p.cfg.Lanes {
		p.tell(LaneEvent{Lane: i})
	}
	for i := range p.cfg.Lanes {
		opening.Add(1)
		wg.Go(func() {
			l := lane{p: p, number: i, id: p.lane(i).TransactionalID, soft: soft, opened: sync.OnceFunc(opening.Done), work: p.newWork()}
			defer l.opened()
			if failures[i] = l.run(); failures[i] != nil {
				stop(errors.New("another lane has failed"))
			}
			p.tell(LaneEvent{Lane: i, Ended: true, Err: failures[i]})
		})
	}
	if end != nil {
		wg.Go(func() {
			opening.Wait() // what keeps a session from opening is to be heard, also where there is nothing to do
			end.wait(soft)
			stop(errors.New("the end is reached"))
		})
	}
	wg.Wait()
	return firstError(failures)
}

// lane returns the configuration of the session of lane i.
func (p *Processor) lane(i int) eos.Config {
	cfg := p.cfg.lane(i, p.topics, p.pattern, p.outputs)
	cfg.InputBuffer = p.input
	return cfg
}

// tell reports a lane's start or end.
func (p *Processor) tell(e LaneEvent) {
	if p.cfg.Observer.Lane != nil {
		e.TransactionalID = p.lane(e.Lane).TransactionalID
		p.cfg.Observer.Lane(e)
	}
}

// limitDrain is called when a drain begins, and ends it after Config.DrainTimeout.
func (p *Processor) limitDrain() {
	timer := time.NewTimer(p.cfg.DrainTimeout)
	defer timer.Stop()
	select {
	case <-timer.C:
		p.cfg.Logger.Warn("the drain takes too long; aborting open transactions", "drain_timeout", p.cfg.DrainTimeout)
		p.abort()
	case <-p.hard.Done():
	}
}

// firstError returns the error that says most: one that is not a mere abort comes first. It names the lane if there are
// several.
func firstError(errs []error) error {
	var first error
	for i, err := range errs {
		if err != nil && (first == nil || errors.Is(first, ErrAborted)) {
			if first = err; len(errs) > 1 {
				first = fmt.Errorf("lane %d: %w", i, err)
			}
		}
	}
	return first
}
