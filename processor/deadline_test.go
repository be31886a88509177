package processor_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

// timed processes the values by handle, each call of which may take a second.
func timed(ctx context.Context, parallel int, handle func(context.Context, processor.Record[string]) error, in ...string) error {
	pipe := double
	pipe.Handle = processor.Each(func(ctx context.Context, r processor.Record[string]) ([]processor.Record[string], error) {
		return nil, handle(ctx, r)
	})
	_, err := processortest.Run(ctx, processor.Config{Parallel: parallel, Errors: processor.Errors{HandlerTimeout: time.Second}}, pipe, inputs(in...)...)
	return err
}

type callKey struct{}

// The context of a call ends when the call's time is over, for a handler that waits for it, asks it, or derives others from it; it has the
// values of the processor's, and a deadline of its own, which starts with the call.
func TestCallContextEnds(t *testing.T) {
	for name, wait := range map[string]func(ctx context.Context){
		"waits": func(ctx context.Context) { <-ctx.Done() },
		"asks": func(ctx context.Context) {
			for ctx.Err() == nil {
				time.Sleep(time.Millisecond) //nolint:forbidigo // the clock of the bubble
			}
			<-ctx.Done()
		},
		"has a child wait": func(ctx context.Context) {
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			<-child.Done()
		},
		"is called after it": func(ctx context.Context) {
			told := make(chan struct{})
			defer context.AfterFunc(ctx, func() { close(told) })()
			<-told
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.WithValue(t.Context(), callKey{}, "value")
				err := timed(ctx, 1, func(ctx context.Context, r processor.Record[string]) error {
					began := time.Now()
					until, ok := ctx.Deadline()
					require.True(t, ok)
					require.Equal(t, time.Second, until.Sub(began))
					require.Equal(t, "value", ctx.Value(callKey{}))
					require.NoError(t, ctx.Err())
					if r.Value == "slow" {
						time.Sleep(999 * time.Millisecond) //nolint:forbidigo // the clock of the bubble
						return ctx.Err()
					}
					wait(ctx)
					require.Equal(t, time.Second, time.Since(began))
					require.Equal(t, context.DeadlineExceeded, context.Cause(ctx))
					return ctx.Err()
				}, "slow", "slow", "hangs")
				late, ok := errors.AsType[*processor.TimeoutError](err)
				require.True(t, ok, "%v", err)
				require.Equal(t, context.DeadlineExceeded, late.Err)
			})
		})
	}
}

// A handler that keeps its context, or what it derived from it, finds it canceled when it has returned, and never ended by the time of a later
// record, whether it had waited for it before or not. Nothing goes on that would hold a goroutine or a timer.
func TestCallContextIsOverWithTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept []context.Context
		var told atomic.Int32
		require.NoError(t, timed(t.Context(), 1, func(ctx context.Context, r processor.Record[string]) error {
			for _, before := range kept {
				require.Equal(t, context.Canceled, before.Err())
			}
			if r.Value == "waits" {
				child, cancel := context.WithTimeout(ctx, time.Hour)
				context.AfterFunc(child, cancel)
				context.AfterFunc(child, func() { told.Add(1) })
				kept = append(kept, child)
			}
			kept = append(kept, ctx)
			return nil
		}, "a", "waits", "b", "waits"))
		synctest.Wait()
		require.EqualValues(t, 2, told.Load())
		time.Sleep(2 * time.Second) //nolint:forbidigo // the clock of the bubble
		for _, ctx := range kept {
			require.Equal(t, context.Canceled, ctx.Err())
			<-ctx.Done()
			child, cancel := context.WithCancel(ctx)
			require.Equal(t, context.Canceled, child.Err())
			cancel()
		}
	})
}

// The end of the processor's context ends those of the calls under way, with its cause, and that is no time-out of the record. A deadline
// that is earlier than the call's own holds.
func TestCallContextEndsWithTheProcessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("aborted")
		for _, waits := range []bool{true, false} {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Millisecond, func() { cancel(cause) })
			err := timed(ctx, 1, func(ctx context.Context, _ processor.Record[string]) error {
				if waits {
					<-ctx.Done()
				}
				time.Sleep(2 * time.Millisecond) //nolint:forbidigo // the clock of the bubble
				require.Equal(t, cause, context.Cause(ctx))
				return ctx.Err()
			}, "a")
			require.ErrorIs(t, err, context.Canceled)
			_, late := errors.AsType[*processor.TimeoutError](err)
			require.False(t, late)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.NoError(t, timed(ctx, 1, func(ctx context.Context, _ processor.Record[string]) error {
			until, _ := ctx.Deadline()
			require.Equal(t, time.Millisecond, time.Until(until))
			return nil
		}, "a"))
	})
}

// Handlers that run at once have a context each, and so have goroutines of one handler that ask the same one.
func TestCallContextsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		values := make([]string, 64)
		var ended atomic.Int32
		pipe := double
		pipe.Handle = processor.Each(func(ctx context.Context, _ processor.Record[string]) ([]processor.Record[string], error) {
			done := make(chan error)
			for range 2 {
				go func() { <-ctx.Done(); done <- ctx.Err() }()
				go func() {
					for ctx.Err() == nil && ctx.Value(callKey{}) == nil {
						time.Sleep(100 * time.Millisecond) //nolint:forbidigo // the clock of the bubble
					}
					done <- ctx.Err()
				}()
			}
			for range 4 {
				if errors.Is(<-done, context.DeadlineExceeded) {
					ended.Add(1)
				}
			}
			return nil, ctx.Err()
		})
		in := inputs(values...)
		for i, r := range in {
			r.Key = []byte{byte(i)}
		}
		res, err := processortest.Run(t.Context(), processor.Config{Parallel: 8, Errors: processor.Errors{Policy: processor.SkipOnError, HandlerTimeout: time.Second}}, pipe, in...)
		require.NoError(t, err)
		require.Equal(t, len(values), res.Skipped)
		require.EqualValues(t, 4*len(values), ended.Load())
	})
}
