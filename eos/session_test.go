package eos_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A plain copy: what is in the input is in the output, once, and the group's offsets stand at the input's end.
func TestCopy(t *testing.T) {
	b := setup(t)
	b.produce(3000)
	s := b.open(b.config())
	require.Empty(t, run(t, s, 3000))
	b.requireOnce(3000)
	require.NoError(t, s.Close(t.Context()))
	lag, err := b.adm.Lag(t.Context(), "g")
	require.NoError(t, err)
	require.Zero(t, lag["g"].Lag.Total())
}
