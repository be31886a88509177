package processortest_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

// A handler in a test: outputs of the inputs before the one that fails, and which one that is.
func TestHandle(t *testing.T) {
	half := processor.Map(func(n int) (string, error) {
		if n%2 == 1 {
			return "", errors.New("odd")
		}
		return fmt.Sprint(n / 2), nil
	})
	outs, err := processortest.Handle(t.Context(), half, processortest.In(2), processortest.In(4))
	require.NoError(t, err)
	require.Equal(t, "2", outs[1].Value)
	outs, err = processortest.Handle(t.Context(), half, processortest.In(2), processortest.In(3))
	require.EqualError(t, err, "input 1: odd")
	require.Len(t, outs, 1)
}
