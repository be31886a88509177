package processor

import "errors"

// Transient returns an error that is not the record's fault: a database that is away, a registry that does not answer. A handler or a
// codec may return it. After Errors.Retries the batch is left uncommitted and polled again, with growing pauses, for as long as it
// takes: such a record is never given up, and nothing behind it in its partition is committed before it.
func Transient(err error) error { return &transientError{err: orUnknown(err)} }

type transientError struct{ err error }

// Error implements error.
func (t *transientError) Error() string { return t.err.Error() }

// Unwrap returns what Transient was given.
func (t *transientError) Unwrap() error { return t.err }

func isTransient(err error) bool {
	_, ok := errors.AsType[*transientError](err)
	return ok
}
