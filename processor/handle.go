package processor

import (
	"context"
	"fmt"
	"runtime/debug"
)

// handle is the second stage: the handler's records, or its error. A panic of the handler is an error of the record.
func (p Pipe[In, Out]) handle(ctx context.Context, in Record[In]) (outs []Record[Out], err error) {
	defer func() {
		if r := recover(); r != nil {
			outs, err = nil, &PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	return p.Handle(ctx, in)
}

// PanicError is the cause when a handler panicked.
type PanicError struct {
	Value any
	Stack []byte
}

// Error returns the value of the panic; the stack is in the field.
func (e *PanicError) Error() string { return fmt.Sprintf("the handler panicked: %v", e.Value) }
