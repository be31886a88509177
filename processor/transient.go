package processor

import "errors"

// ErrTransient is what errors.Is finds in an error of Transient.
var ErrTransient = errors.New("transient")

// Transient returns an error that is not the record's fault: a database that is away, a schema registry that does not answer. A handler
// or a [Codec] may return it; any other error of these is about the record. After Errors.Retries the batch is left uncommitted and polled
// again, with growing pauses, for as long as it takes: such a record is never given up, and nothing behind it in its partition is
// committed before it.
func Transient(err error) error { return &transientError{err: orUnknown(err)} }

type transientError struct{ err error }

// Error implements error.
func (t *transientError) Error() string { return t.err.Error() }

// Unwrap returns what Transient was given.
func (t *transientError) Unwrap() error { return t.err }

// Is says that it is ErrTransient.
func (t *transientError) Is(target error) bool { return target == ErrTransient }

func isTransient(err error) bool { return errors.Is(err, ErrTransient) }
