package jq

import (
	"context"
	"time"
)

// bound is the context of one run of a program: the caller's, and an end. It is for gojq only, which asks for Done before each step and
// never waits for it. So it needs no timer, and nothing that tells it of the caller's end: it looks, at one step in some.
type bound struct {
	context.Context //nolint:containedctx // it is a context itself

	until time.Time
	steps int
	err   error
}

// stepsUnseen is how many steps go by between two looks.
const stepsUnseen = 16

// over is a channel that is closed.
var over = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Done returns a channel that is closed if the run is to end, and otherwise nil.
func (b *bound) Done() <-chan struct{} {
	if b.steps++; b.steps%stepsUnseen == 0 && b.err == nil {
		if b.err = b.Context.Err(); b.err == nil && time.Now().After(b.until) {
			b.err = context.DeadlineExceeded
		}
	}
	if b.err != nil {
		return over
	}
	return nil
}

// Err returns why the run is to end.
func (b *bound) Err() error { return b.err }
