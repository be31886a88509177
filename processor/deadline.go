package processor

import (
	"context"
	"sync"
	"time"
)

// callContext is the context of one call of a handler. It acts as that of context.WithTimeout, for a fraction of the cost if
// the handler does not wait for it: only Done, and the end of the time, make a real one.
//
// It belongs to one call and is not used again: a handler that keeps it finds it canceled, and never sees the time of a
// later record.
type callContext struct {
	parent context.Context //nolint:containedctx // it is a context itself
	until  time.Time

	mu     sync.Mutex
	real   context.Context //nolint:containedctx // nil until it is needed
	cancel context.CancelFunc
	over   bool
}

func newCallContext(parent context.Context, timeout time.Duration) *callContext {
	c := &callContext{parent: parent, until: time.Now().Add(timeout)}
	if earlier, ok := parent.Deadline(); ok && earlier.Before(c.until) {
		c.until = earlier
	}
	return c
}

// end cancels the context: the call has returned.
func (c *callContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.cancel != nil {
		c.cancel()
	}
}

// made returns the context that context.WithDeadline makes, the same one from then on.
func (c *callContext) made() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.real != nil:
	case c.over:
		c.real, c.cancel = context.WithCancel(c.parent)
		c.cancel()
	default:
		c.real, c.cancel = context.WithDeadline(c.parent, c.until)
	}
	return c.real
}

// Deadline implements context.Context.
func (c *callContext) Deadline() (time.Time, bool) { return c.until, true }

// Done implements context.Context.
func (c *callContext) Done() <-chan struct{} { return c.made().Done() }

// Err implements context.Context. Once it has ended, the real context gives the reason.
func (c *callContext) Err() error {
	c.mu.Lock()
	lasts := c.real == nil && !c.over && c.parent.Err() == nil && time.Now().Before(c.until)
	c.mu.Unlock()
	if lasts {
		return nil
	}
	return c.made().Err()
}

// Value implements context.Context. Children ask by it for the context that ends them, after they have asked for Done.
func (c *callContext) Value(key any) any {
	c.mu.Lock()
	from := c.real
	c.mu.Unlock()
	if from == nil {
		from = c.parent
	}
	return from.Value(key)
}
