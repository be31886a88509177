package wiretap

import (
	"context"
	"encoding/binary"
	"net"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
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

// In every API and version, a request that kmsg writes is decoded as it was, with its client id.
func TestEveryRequestIsDecoded(t *testing.T) {
	for key := range int16(kmsg.MaxKey + 1) {
		request := kmsg.RequestForKey(key)
		if request == nil {
			continue
		}
		for version := range request.MaxVersion() + 1 {
			request.SetVersion(version)
			if key == kmsg.ControlledShutdown.Int16() && version == 0 {
				continue // below
			}
			frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("client")).AppendRequest(nil, request, 7)
			req, ok := parseRequest(frame, new(topicNames))
			require.True(t, ok)
			decoded, err := req.Decode()
			require.NoError(t, err)
			require.Equal(t, request.AppendTo(nil), decoded.AppendTo(nil), "%s v%d", kmsg.NameForKey(key), version)
			require.Equal(t, "client", req.ClientID())
			require.Equal(t, int32(7), req.CorrelationID)
			_, err = Request{API: req.API, Version: req.Version, frame: frame[:minRequest]}.Decode()
			if key != kmsg.ControlledShutdown.Int16() {
				require.Error(t, err)
			}
		}
	}
	// ControlledShutdown v0 is the one request without a client id.
	req, _ := parseRequest([]byte("\x00\x00\x00\x0c\x00\x07\x00\x00\x00\x00\x00\x07\x00\x00\x00\x05"), new(topicNames))
	decoded, err := req.Decode()
	require.NoError(t, err)
	require.Equal(t, int32(5), decoded.(*kmsg.ControlledShutdownRequest).BrokerID)
	require.Empty(t, req.ClientID())
}

// In every API and version that has error codes at its top level, they are rewritten, and the frame stays well formed. The header of the
// reply is written here as the protocol has it: tags after the correlation id in flexible versions, never for ApiVersions.
func TestEveryReplyIsRewritten(t *testing.T) {
	rewritten := 0
	for key := range int16(kmsg.MaxKey + 1) {
		reply := kmsg.ResponseForKey(key)
		if reply == nil {
			continue
		}
		for version := range reply.MaxVersion() + 1 {
			reply.SetVersion(version)
			frame := []byte{0, 0, 0, 0, 0, 0, 0, 7}
			header := len(frame)
			if reply.IsFlexible() && key != 18 {
				frame = append(frame, 1, 9, 2, 0xca, 0xfe) // one tag, which no client knows
			}
			frame = reply.AppendTo(frame)
			binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
			got, err := rewriteError(frame, kmsg.Key(key), version, 42)
			if err != nil {
				require.ErrorContains(t, err, "no error code", "%s v%d", kmsg.NameForKey(key), version)
				continue
			}
			require.Equal(t, len(got)-4, int(binary.BigEndian.Uint32(got)))
			if reply.IsFlexible() && key != 18 {
				require.Zero(t, got[header])
				header++
			}
			want := kmsg.ResponseForKey(key)
			want.SetVersion(version)
			require.NoError(t, want.ReadFrom(got[header:]))
			if code := reflect.ValueOf(want).Elem().FieldByName("ErrorCode"); code.IsValid() && code.Int() == 42 {
				rewritten++
			}
		}
	}
	require.Greater(t, rewritten, 100)
}

// A connection that has ended is forgotten.
func TestEndedConnectionsAreForgotten(t *testing.T) {
	tap := New(Over(func(context.Context, string, string) (net.Conn, error) {
		client, _ := net.Pipe()
		return client, nil
	}))
	defer tap.Close()
	for range 3 {
		c, err := tap.Dial(t.Context(), "tcp", "broker")
		require.NoError(t, err)
		require.Len(t, tap.conns, 1)
		require.NoError(t, c.Close())
		require.Empty(t, tap.conns)
	}
}
