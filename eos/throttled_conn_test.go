package eos

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// answerTo is an answer to version of an API that throttles for so many milliseconds, with some bytes behind that.
func answerTo(version int16, flexible bool, millis uint32) []byte {
	body := []byte{0, 0, 0, byte(version)} // the correlation id
	if flexible {
		body = append(body, 0)
	}
	body = binary.BigEndian.AppendUint32(body, millis)
	body = append(body, "some records"...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// throttledPair returns a connection, its other end, and what it has told.
func throttledPair(t *testing.T) (conn *throttledConn, broker net.Conn, told *[]time.Duration) {
	ours, broker := net.Pipe()
	told = new([]time.Duration)
	conn = newThrottledConn(ours, func(_ kgo.BrokerMetadata, _ int64, d time.Duration) { *told = append(*told, d) })
	t.Cleanup(func() { _ = conn.Close(); _ = broker.Close() })
	return conn, broker, told
}

// ask has the connection write a request, and the broker write the answer.
func question(t *testing.T, conn, broker net.Conn, key kmsg.Key, version int16, answer []byte) {
	t.Helper()
	go func() {
		request := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{0, 0, 0, 4}, uint16(key)), uint16(version))
		_, _ = conn.Write(request)
	}()
	_, err := io.ReadFull(broker, make([]byte, 8))
	require.NoError(t, err)
	go func() { _, _ = broker.Write(answer) }()
}

// An answer to a fetch that throttles is held back for so long, and says nothing of it then; one that does not, and other answers, come at once
// as they are. So nobody else waits for what is throttled.
func TestThrottledConnHoldsFetches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		key      kmsg.Key
		version  int16
		flexible bool
		millis   uint32
		held     time.Duration
	}{
		{"throttled", kmsg.Fetch, 17, true, 5000, 5 * time.Second},
		{"the first with tagged fields", kmsg.Fetch, 12, true, 5000, 5 * time.Second},
		{"the last without", kmsg.Fetch, 11, false, 5000, 5 * time.Second},
		{"not throttled", kmsg.Fetch, 17, true, 0, 0},
		{"without the field", kmsg.Fetch, 0, false, 5000, 0},
		{"not a fetch", kmsg.Heartbeat, 4, true, 5000, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				conn, broker, told := throttledPair(t)
				for range 2 { // one after the other
					*told = nil
					began, answer := time.Now(), answerTo(c.version, c.flexible, c.millis)
					require.NoError(t, conn.SetReadDeadline(began.Add(time.Second)), "that of kgo for the answer")
					question(t, conn, broker, c.key, c.version, answer)
					got := make([]byte, len(answer))
					_, err := io.ReadFull(conn, got)
					require.NoError(t, err)
					require.Equal(t, c.held, time.Since(began))
					if c.held > 0 {
						require.Equal(t, []time.Duration{c.held}, *told)
						answer = answerTo(c.version, c.flexible, 0)
					}
					require.Equal(t, answer, got)
					require.NoError(t, conn.SetReadDeadline(time.Time{}))
				}
			})
		})
	}
}

// Whoever gives a request up, or closes the connection, does not wait for what is held back.
func TestThrottledConnLetsGo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		end  func(net.Conn) error
		want error
	}{
		{"the request is given up", func(c net.Conn) error { return c.SetReadDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		{"the client is closed", func(c net.Conn) error { return c.SetDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		{"the connection is closed", net.Conn.Close, net.ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				conn, broker, _ := throttledPair(t)
				began := time.Now()
				question(t, conn, broker, kmsg.Fetch, 17, answerTo(17, true, 60_000))
				time.AfterFunc(time.Second, func() { _ = c.end(conn) })
				_, err := io.ReadAll(conn)
				require.ErrorIs(t, err, c.want)
				require.Equal(t, time.Second, time.Since(began))
			})
		})
	}
}
