package processor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
)

// PanicError is the cause when a handler or a codec panicked.
type PanicError struct {
	Value any
	Stack []byte
}

// Error returns the value of the panic; the stack is in the field.
func (e *PanicError) Error() string { return fmt.Sprintf("it panicked: %v", e.Value) }

// TimeoutError is the cause when a call of a handler failed after Errors.HandlerTimeout had ended its context.
type TimeoutError struct {
	After time.Duration
	Err   error // what the handler returned
}

// Error names the time-out and what the handler made of it.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("the handler was not done within %v: %v", e.After, e.Err)
}

// Unwrap returns what the handler returned.
func (e *TimeoutError) Unwrap() error { return e.Err }

// attempts calls f, and again after an error, until it succeeds, decides by Skip or DeadLetter, or has failed for good. It says how
// often it has called f.
func (e Errors) attempts(ctx context.Context, f func(context.Context) error) (calls int, err error) {
	for pause := e.Backoff; ; pause = min(2*pause, e.MaxBackoff) {
		calls++
		err = e.once(ctx, f)
		if err == nil || calls > e.Retries || ctx.Err() != nil || isVerdict(err) || isTooLarge(err) || isRejected(err) {
			return calls, err
		}
		if !cluster.Sleep(ctx, pause/2+rand.N(pause/2+1)) {
			return calls, err
		}
	}
}

// once is one call of f, with its deadline.
func (e Errors) once(ctx context.Context, f func(context.Context) error) error {
	if e.HandlerTimeout == 0 {
		return f(ctx)
	}
	bounded := newCallContext(ctx, e.HandlerTimeout)
	defer bounded.end()
	err := f(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil && !isVerdict(err) && !isTransient(err) {
		return &TimeoutError{After: e.HandlerTimeout, Err: err}
	}
	return err
}

// recovered turns a panic of the function that defers it into its error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = &PanicError{Value: r, Stack: debug.Stack()}
	}
}

func isVerdict(err error) bool {
	_, ok := errors.AsType[*verdict](err)
	return ok
}
