package frames_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/eos-pipe/eos-pipe/internal/broker/frames"
)

// However a stream is cut into pieces, each wanted frame comes out once, whole and in order; the others are not kept.
func TestCutter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		var want []string
		for range rapid.IntRange(0, 6).Draw(t, "frames") {
			body := append([]byte{0, 0, 0, byte(rapid.IntRange(0, 1).Draw(t, "wanted"))}, rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "body")...)
			frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
			stream = append(stream, frame...)
			if body[3] == 1 {
				want = append(want, string(frame))
			}
		}
		var got []string
		f := frames.Cutter{HeadLength: 8, IsWanted: func(head []byte) bool { return head[7] == 1 }, Take: func(frame []byte) { got = append(got, string(frame)) }}
		for len(stream) > 0 {
			n := rapid.IntRange(1, len(stream)).Draw(t, "piece")
			f.Feed(stream[:n])
			stream = stream[n:]
		}
		require.Equal(t, want, got)
		require.False(t, f.IsForeign())
	})
}

// A size that no frame has, or that does not even cover the head, shows that the stream is not Kafka's.
func TestCutterOfForeignStream(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"GET / HTTP/1.1", "\xff\xff\xff\xff\x00\x00\x00\x00", "\x00\x00\x00\x03\x00\x00\x00\x00"} {
		f := frames.Cutter{HeadLength: 8, IsWanted: func([]byte) bool { return true }, Take: func([]byte) { t.Error("a frame") }}
		f.Feed([]byte(stream))
		require.True(t, f.IsForeign())
		f.Feed([]byte(stream))
	}
}
