// Package ask is how clients ask the brokers for what is no part of a transaction: is anybody there, where does a log end, what has a group
// committed. A broker that has just started, or a topic that has just been created, answers with errors that pass; they are tried again.
// What does not pass in time is reported with its cause.
package ask

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
	// Settle is how long a cluster may take to have a coordinator and leaders for all: a new one, or one whose broker has just started.
	Settle = 30 * time.Second
	// NewTopic is how long a broker may not know a topic that another one has just created, or that it has not loaded yet.
	NewTopic = 3 * time.Second
	// SlowAfter is after how long a wait is said.
	SlowAfter = 2 * time.Second

	pause = 200 * time.Millisecond // between two tries
)

// Options are those of a client whose requests are tried again by For. Its own tries are few: when a context ends them, the client returns the
// context's error, and what was wrong is hidden. What it knows of topics and leaders it asks for anew in each try.
func Options() []kgo.Opt { return []kgo.Opt{kgo.RequestRetries(1), kgo.MetadataMinAge(pause / 2)} }

// For calls try until it succeeds, until its error is final, until no broker has answered for as long as patience, or has answered with
// errors that pass for as long as Settle, or until ctx ends. Of a try that the end of its context has cut short the error says nothing: then For
// returns that of the newest try that came to its end, if there is one. A wait is said once, after SlowAfter, in log; what is what is waited for.
func For(ctx context.Context, patience time.Duration, log *slog.Logger, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, max(patience, Settle))
	defer cancel()
	var cause atomic.Pointer[error]
	defer Slow(log, what, func() error {
		if e := cause.Load(); e != nil {
			return *e
		}
		return nil
	})()
	heard := time.Now()   // when a broker answered last
	var unknown time.Time // since when the topic is not known
	for {
		isCut, err := tryUntil(ctx, heard.Add(patience), try)
		if err == nil {
			return nil
		}
		if !isCut || cause.Load() == nil {
			cause.Store(&err)
		}
		if isAnswer(err) {
			heard = time.Now()
		}
		switch noTopic := errors.Is(err, kerr.UnknownTopicOrPartition); {
		case !noTopic:
			unknown = time.Time{}
		case unknown.IsZero():
			unknown = time.Now()
		}
		isLate := !unknown.IsZero() && time.Since(unknown) > NewTopic || time.Since(heard)+pause > patience
		if isCut || isLate || IsFinal(err) && !errors.Is(err, kerr.UnknownServerError) || !Sleep(ctx, pause) {
			return *cause.Load()
		}
	}
}

// tryUntil calls try, and says whether its error is nothing but the end of its context. A connection that is being made may be told of its
// deadline a moment before the context is.
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

// Slow logs after SlowAfter that what is waited for, and why if why says so, unless stop is called before. why may be nil.
func Slow(log *slog.Logger, what string, why func() error) (stop func() bool) {
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

// IsFinal says that the same question would get the same answer again: a broker has answered, and not with an error that passes. What was
// not answered, for want of a connection or for its form, may be answered later.
func IsFinal(err error) bool {
	if _, ok := errors.AsType[*final](err); ok || errors.Is(err, kgo.ErrClientClosed) {
		return true
	}
	answer, ok := errors.AsType[*kerr.Error](err)
	return ok && !answer.Retriable
}

// Final returns err as one that For does not try again.
func Final(err error) error { return &final{err} }

type final struct{ error }

// Unwrap returns the cause.
func (f *final) Unwrap() error { return f.error }

// isAnswer says whether err is a broker's.
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
