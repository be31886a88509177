package bench

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/eos"
)

// Next is what the caller of a failed operation is told to do.
func Next(err error) eos.Next {
	if e, ok := errors.AsType[*eos.Error](err); ok {
		return e.Next
	}
	return eos.Stop
}

// Worker copies in the background.
type Worker struct {
	Session *eos.Session
	Failed  chan error         // the error that ended it, nil after stop
	Cancel  context.CancelFunc // it polls no more
	Kill    context.CancelFunc // it does not go on with a commit either
	wg      sync.WaitGroup
	Commits atomic.Int64 // with records

	failures []error // of commits; to be read when it has ended
}

// Work starts a worker on the session. It goes on wherever the session says so.
func (b *Bench) Work(s *eos.Session) *Worker {
	ctx, cancel := context.WithCancel(context.Background())
	life, kill := context.WithCancel(context.Background())
	w := &Worker{Session: s, Failed: make(chan error, 1), Cancel: cancel, Kill: kill}
	w.wg.Go(func() { w.Failed <- w.run(ctx, life, b) })
	b.T.Cleanup(func() {
		cancel()
		kill()
		w.wg.Wait()
		if b.T.Failed() {
			b.T.Logf("a worker committed %d batches with records; commits failed with %q", w.Commits.Load(), w.failures)
		}
	})
	return w
}

func (w *Worker) run(ctx, life context.Context, b *Bench) error {
	for {
		batch, err := w.Session.Poll(ctx)
		if err == nil {
			err = w.Session.Commit(life, batch, b.Copies(batch))
			if err != nil {
				w.failures = append(w.failures, err)
			} else if len(batch.Records) > 0 {
				w.Commits.Add(1)
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && Next(err) != eos.PollAgain:
			return err
		}
	}
}

// Works waits until a worker has committed something more. It writes to the input every now and then, since the others may be done with
// what is there before the worker has a partition.
func (b *Bench) Works(w *Worker) {
	b.T.Helper()
	before, asked := w.Commits.Load(), 0
	b.Eventually("the worker works", func() bool {
		if asked%20 == 0 {
			b.Write(Partitions)
		}
		asked++
		return w.Commits.Load() > before
	})
}

// Stop ends the worker after the batch it has, and returns why its commits failed.
func (w *Worker) Stop(t *testing.T) []error {
	t.Helper()
	w.Cancel()
	require.NoError(t, w.Wait(t))
	return w.failures
}

// Wait returns the error that ended the worker.
func (w *Worker) Wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-w.Failed:
		return err
	case <-time.After(Deadline):
		require.FailNow(t, "the session goes on")
		return nil
	}
}
