package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// errDrain is the cause of a drain context that the first signal ended.
var errDrain = errors.New("asked to stop by a signal")

// sameSignal is within what time of the first signal another one is the same wish, told twice: timeout(1), a shell or a supervisor sends it to the
// process and to its group.
const sameSignal = time.Second

// drainOnSignal returns a context that the first SIGTERM or SIGINT ends, with the cause errDrain: take no new work and
// finish what is open. A second signal, sameSignal later or more, calls abort, once; a third ends the process as if nobody listened. stop ends the
// listening and waits for it; it may be called twice.
func drainOnSignal(ctx context.Context, log *slog.Logger, abort func()) (drain context.Context, stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	return drainOn(ctx, log, abort, signals, func() { signal.Stop(signals) })
}

// unlessStopped returns err, or nil if a signal has ended drain: what was not begun is drained.
func unlessStopped(drain context.Context, err error) error {
	if errors.Is(context.Cause(drain), errDrain) {
		return nil
	}
	return err
}

func drainOn(ctx context.Context, log *slog.Logger, abort func(), signals <-chan os.Signal, release func()) (context.Context, func()) {
	drain, cancel := context.WithCancelCause(ctx)
	stopped := make(chan struct{})
	var listening sync.WaitGroup
	listening.Go(func() {
		select {
		case s := <-signals:
			log.Info("draining: finishing open transactions; a second signal aborts them", "signal", s.String())
			cancel(errDrain)
		case <-stopped:
			return
		}
		for first := time.Now(); ; {
			select {
			case s := <-signals:
				if time.Since(first) < sameSignal {
					continue
				}
				log.Warn("aborting open transactions", "signal", s.String())
				release()
				abort()
			case <-stopped:
			}
			return
		}
	})
	return drain, sync.OnceFunc(func() {
		release()
		close(stopped)
		listening.Wait()
		cancel(nil)
	})
}
