package frames_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/broker/frames"
)

// The client's id, null and empty, then tags, then the body; and no prefix of it is taken for whole.
func TestFrames(t *testing.T) {
	for id, bytes := range map[string][]byte{"kgo": {0, 3, 'k', 'g', 'o'}, "": {0xff, 0xff}} {
		tags := []byte{2, 0, 1, 'x', 7, 0}
		frame := append(append(append([]byte{}, bytes...), tags...), "body"...)
		got, rest, err := frames.ClientID(frame)
		require.NoError(t, err)
		require.Equal(t, id, got)
		rest, err = frames.SkipTags(rest)
		require.NoError(t, err)
		require.Equal(t, "body", string(rest))
		for n := range bytes {
			_, _, err = frames.ClientID(bytes[:n])
			require.ErrorIs(t, err, frames.ErrShort)
		}
		for n := range tags {
			_, err = frames.SkipTags(tags[:n])
			require.ErrorIs(t, err, frames.ErrShort)
		}
	}
}
