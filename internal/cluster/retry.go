package cluster

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// Settle is how long a cluster may take to have all coordinators and leaders after it was made or its broker was started.
	Settle = 30 * time.Second
	// NewTopic is how long a broker may not know a topic that another broker has just created, or that it has not loaded yet.
	NewTopic = 3 * time.Second
	// SlowAfter is how long a wait may take before it is logged.
	SlowAfter = 2 * time.Second

	pause = 200 * time.Millisecond // between two tries of Await
)

// Options are for a kgo client whose questions Await repeats. The client itself retries only once: when a context ends
// its retries, it returns the context's error and hides the cause. Each try asks for topics and leaders anew.
func Options() []kgo.Opt { return []kgo.Opt{kgo.RequestRetries(1), kgo.MetadataMinAge(pause / 2)} }

// Retry says how a question is repeated.
type Retry struct {
	First   time.Duration    // the wait after the first failure; each later wait is twice the one before
	Longest time.Duration    // the longest wait
	IsFinal func(error) bool // says of an error that another try is useless; nil: the function IsFinal
	// Again is called after each failure that is not final, with the error and the wait that follows. Optional.
	Again func(err error, wait time.Duration)
}

// Until calls try until it succeeds, its error is final, or ctx ends. It returns the error of the last try: nil after a
// success, and never the bare error of ctx. try gets ctx.
func (r Retry) Until(ctx context.Context, try func(context.Context) error) error {
	isFinal := r.IsFinal
	if isFinal == nil {
		isFinal = IsFinal
	}
	for wait := r.First; ; wait = min(2*wait, r.Longest) {
		err := try(ctx)
		if err == nil || ctx.Err() != nil || isFinal(err) {
			return err
		}
		if r.Again != nil {
			r.Again(err, wait)
		}
		if !Sleep(ctx, wait) {
			return err
		}
	}
}

// Await calls try until it succeeds. It gives up at an error that is final, when no broker has answered for as long as
// patience, when brokers have answered only with errors that pass for as long as Settle, and when ctx ends. The error is
// that of the newest try that was not cut short by the end of its context, if there is one.
// A wait longer than SlowAfter is logged once; what names what is awaited.
func Await(ctx context.Context, patience time.Duration, log *slog.Logger, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, max(patience, Settle))
	defer cancel()
	w := wait{patience: patience, heard: time.Now()}
	defer LogSlow(log, what, w.why)()
	each := Retry{First: pause, Longest: pause, IsFinal: w.isOver}
	if each.Until(ctx, func(ctx context.Context) error { return w.try(ctx, try) }) == nil {
		return nil
	}
	return w.why()
}

// wait is one call of Await. All but cause belongs to its goroutine.
type wait struct {
	patience time.Duration
	heard    time.Time // when a broker answered last
	unknown  time.Time // since when the topic has been unknown; zero: it is not
	isCut    bool      // the end of its context has cut the newest try short

	cause atomic.Pointer[error] // of the newest try that was not cut short; LogSlow reads it on its own goroutine
}

// why returns the error to report; nil before the first try has failed.
func (w *wait) why() error {
	if err := w.cause.Load(); err != nil {
		return *err
	}
	return nil
}

// try calls f once and notes what its error says.
func (w *wait) try(ctx context.Context, f func(context.Context) error) (err error) {
	if w.isCut, err = tryUntil(ctx, w.heard.Add(w.patience), f); err == nil {
		return nil
	}
	if !w.isCut || w.cause.Load() == nil {
		w.cause.Store(&err)
	}
	if isAnswer(err) {
		w.heard = time.Now()
	}
	switch noTopic := errors.Is(err, kerr.UnknownTopicOrPartition); {
	case !noTopic:
		w.unknown = time.Time{}
	case w.unknown.IsZero():
		w.unknown = time.Now()
	}
	return err
}

// isOver says whether the newest try, which has failed with err, is the last one.
func (w *wait) isOver(err error) bool {
	isLate := !w.unknown.IsZero() && time.Since(w.unknown) > NewTopic || time.Since(w.heard)+pause > w.patience
	return w.isCut || isLate || IsFinal(err) && !errors.Is(err, kerr.UnknownServerError)
}

// tryUntil calls try, and reports whether its error is only the end of its context. A connection that is being made may
// notice its deadline a moment before the context does.
func tryUntil(ctx context.Context, deadline time.Time, try func(context.Context) error) (isCut bool, err error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if err = try(ctx); err == nil {
		return false, nil
	}
	deadline, _ = ctx.Deadline()
	if ctx.Err() == nil && time.Now().Before(deadline) {
		return false, err
	}
	timeout, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout(), err
}

// LogSlow logs after SlowAfter that what is awaited, with the error that why returns, unless stop is called before.
// why is called on another goroutine; it may be nil.
func LogSlow(log *slog.Logger, what string, why func() error) (stop func() bool) {
	return time.AfterFunc(SlowAfter, func() {
		args := []any{"waited", SlowAfter}
		if why != nil {
			if err := why(); err != nil {
				args = append(args, "err", err)
			}
		}
		log.Info("waiting for "+what, args...)
	}).Stop
}

// IsFinal reports whether the same question would get the same answer again: a broker has answered, with an error that
// does not pass. A question that got no answer, for want of a connection or for its form, may be answered later.
func IsFinal(err error) bool {
	if _, ok := errors.AsType[*final](err); ok || errors.Is(err, kgo.ErrClientClosed) {
		return true
	}
	answer, ok := errors.AsType[*kerr.Error](err)
	return ok && !answer.Retriable
}

// Final wraps err as one that IsFinal reports, so that Await does not try again.
func Final(err error) error { return &final{err} }

type final struct{ error }

// Unwrap returns the cause.
func (f *final) Unwrap() error { return f.error }

// isAnswer reports whether err is a broker's answer.
func isAnswer(err error) bool {
	_, ok := errors.AsType[*kerr.Error](err)
	return ok
}

// Sleep waits for d and returns true, or returns false as soon as ctx ends.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
