package main

import (
	"context"
	"errors"
)

// runPipe runs the pipe until it is done, a signal stops it, or it fails. nil means that all it has begun is committed.
func runPipe(ctx context.Context, s streams, opts runOptions) error {
	work, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	drain, stop := drainOnSignal(work, s.Log, func() { abort(errAborted) })
	defer stop()
	_, _ = drain, opts
	return errors.New("run is not wired yet")
}
