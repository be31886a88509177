package wiretap

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzAssembler cuts any bytes, given in pieces of any size, into frames: no byte is lost, added, or moved, frames are whole, and what
// is left over is less than a frame.
func FuzzAssembler(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x03abc\x00\x00\x00\x00\x00\x00\x00\x01d"), byte(2))
	f.Add([]byte("\x00\x00\x00\x03abc\xff\xff\xff\xffrest"), byte(5))
	f.Add([]byte("\x00\x10\x00\x00abc"), byte(1))
	f.Fuzz(func(t *testing.T, stream []byte, piece byte) {
		size := int(piece) + 1
		var a assembler
		out := []byte{}
		for begin := 0; begin < len(stream); begin += size {
			p := stream[begin:min(begin+size, len(stream))]
			for len(p) > 0 {
				frame, used := a.next(p)
				require.Positive(t, used)
				p = p[used:]
				if frame != nil && !a.opaque {
					require.Len(t, frame, 4+int(binary.BigEndian.Uint32(frame)))
				}
				out = append(out, frame...)
			}
		}
		require.Equal(t, stream, append(out, a.partial...))
		if len(a.partial) >= 4 {
			length, ok := frameSize(a.partial)
			require.True(t, ok)
			require.Less(t, len(a.partial), length)
		}
	})
}

// FuzzRequest has hostile requests decoded in every way a rule may: no panic.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x0d\x00\x00\x00\x0d\x00\x00\x00\x01\x00\x01c\x00\x05txn\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x0d\x00\x1a\x00\x05\x00\x00\x00\x01\xff\xff\x00\x04txn\x00\x00"))
	f.Fuzz(func(_ *testing.T, frame []byte) {
		req, ok := parseRequest(frame, new(topicNames))
		if !ok {
			return
		}
		req.answered()
		req.ClientID()
		req.Topics()
		if len(frame) >= replyHeader {
			rewriteError(frame, req.API, req.Version, 1)
		}
	})
}
