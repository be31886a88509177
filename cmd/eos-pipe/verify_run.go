package main

import (
	"context"
	"errors"
)

// runVerify compares the two sides of a pipe. nil means that every input record is in the output once; a finding is an
// *exitError with exitFailure.
func runVerify(ctx context.Context, s streams, opts verifyOptions) error {
	_, _, _ = ctx, s, opts
	return errors.New("verify is not wired yet")
}
