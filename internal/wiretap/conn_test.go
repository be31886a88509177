package wiretap_test

import (
	"context"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// dialled returns a connection through tap, closed at the end of the test.
func dialled(t *testing.T, tap *wiretap.Tap) net.Conn {
	t.Helper()
	conn, err := tap.Dial(t.Context(), "tcp", "broker")
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// A connection closed by its client while a request is held stays open for the broker until it has answered the request, late.
func TestLateRequestIsAnsweredBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		result := make(chan error, 3)
		tap := pipeTap(func(conn net.Conn) {
			frame, err := readFrame(conn)
			result <- err
			time.Sleep(lateAnswer) //nolint:forbidigo // virtual time: in a synctest bubble
			_, err = conn.Write(answer(frame))
			result <- err
			_, err = readFrame(conn)
			result <- err
		})
		defer tap.Close()
		hold := tap.Hold(wiretap.Rule{API: kmsg.EndTxn})
		lost := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropReply})
		conn := dialled(t, tap)
		read := make(chan error, 1)
		go func() { _, err := conn.Read(make([]byte, 1)); read <- err }()
		_, err := conn.Write(request(kmsg.EndTxn, 1, 10))
		require.NoError(t, err)
		<-hold.Reached()
		require.NoError(t, conn.Close())
		require.ErrorIs(t, <-read, net.ErrClosed)
		require.ErrorIs(t, conn.Close(), net.ErrClosed)
		require.ErrorIs(t, conn.SetDeadline(time.Time{}), net.ErrClosed)

		released := time.Now()
		hold.Release()
		require.NoError(t, <-result)
		require.NoError(t, <-result, "the connection was closed before the broker's answer")
		require.ErrorIs(t, <-result, io.EOF)
		require.Equal(t, lateAnswer, time.Since(released), "it was kept open after the answer")
		require.Zero(t, lost.Hits(), "nobody was there to lose the answer")
		log := tap.Log()
		require.Len(t, log, 2)
		require.True(t, log[1].Dropped)
	})
}

// lateAnswer is how long a broker takes to answer in virtual time; less than the tap waits for it.
const lateAnswer = 5 * time.Second

// A broker that never answers a late request does not keep the connection for ever.
func TestLateRequestIsNotAwaitedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Time, 1)
		tap := pipeTap(func(conn net.Conn) {
			readFrame(conn)
			readFrame(conn)
			ended <- time.Now()
		})
		defer tap.Close()
		hold := tap.Hold(wiretap.Rule{API: kmsg.EndTxn})
		conn := dialled(t, tap)
		_, err := conn.Write(request(kmsg.EndTxn, 1, 10))
		require.NoError(t, err)
		<-hold.Reached()
		require.NoError(t, conn.Close())
		time.Sleep(time.Hour) //nolint:forbidigo // virtual time: in a synctest bubble; the wait begins when the request is sent
		released := time.Now()
		hold.Release()
		require.Equal(t, 10*time.Second, (<-ended).Sub(released))
	})
}

// After Cut the client gets nothing of what is in the tap: neither a reply that was held, nor one that came with another.
func TestCutDiscardsReplies(t *testing.T) {
	for _, held := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			frame := request(kmsg.EndTxn, 1, 10)
			tap := pipeTap(func(conn net.Conn) {
				readFrame(conn)
				conn.Write(append(answer(frame), answer(frame)...))
			})
			defer tap.Close()
			conn := dialled(t, tap)
			p := make([]byte, 1000)
			if held {
				hold := tap.Hold(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.HoldReply})
				go conn.Write(frame)
				require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
				_, err := conn.Read(p)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				<-hold.Reached()
				tap.Cut()
				hold.Release()
			} else {
				go conn.Write(frame)
				n, err := conn.Read(p)
				require.NoError(t, err)
				require.Equal(t, answer(frame), p[:n])
				tap.Cut()
			}
			_, err := conn.Read(p)
			require.ErrorIs(t, err, io.EOF)
			_, err = conn.Write(frame)
			require.ErrorContains(t, err, "broken pipe")
		})
	}
}

// A write deadline is the client's: it ends a Write that the broker does not take, not a request that the tap has taken.
func TestWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		arrived := make(chan []byte, 1)
		tap := pipeTap(func(conn net.Conn) { // it reads one request and no more
			frame, _ := readFrame(conn)
			arrived <- frame
		})
		defer tap.Close()
		delay := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DelayRequest, Delay: time.Minute})
		conn := dialled(t, tap)
		frame := request(kmsg.EndTxn, 1, 10)
		require.NoError(t, conn.SetWriteDeadline(time.Now().Add(time.Second)))
		_, err := conn.Write(frame)
		require.NoError(t, err)
		require.NoError(t, conn.SetWriteDeadline(time.Now().Add(2*time.Second)))
		time.Sleep(10 * time.Second) //nolint:forbidigo // virtual time: in a synctest bubble
		_, err = conn.Write(frame)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, conn.SetWriteDeadline(time.Now().Add(2*time.Minute)))
		require.Equal(t, frame, <-arrived, "the client's deadline has stopped the delayed request")
		require.Equal(t, 1, delay.Hits())

		synctest.Wait()
		_, err = conn.Write(frame)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the deadline was forgotten")
	})
}

// A Write that its deadline ended half way can be continued, as on any connection: the broker gets the request once, unchanged.
func TestWriteGoesOnAfterItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const head = 10
		frames := make(chan []byte, 2)
		step := make(chan struct{})
		tap := pipeTap(func(conn net.Conn) {
			begin := make([]byte, head)
			io.ReadFull(conn, begin)
			<-step
			rest := make([]byte, 22-head)
			io.ReadFull(conn, rest)
			frames <- append(begin, rest...)
			frame, _ := readFrame(conn)
			frames <- frame
		})
		defer tap.Close()
		conn := dialled(t, tap)
		frame := request(kmsg.EndTxn, 1, 8)
		require.Len(t, frame, 22)
		require.NoError(t, conn.SetWriteDeadline(time.Now().Add(time.Second)))
		n, err := conn.Write(frame)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, head, n)
		require.NoError(t, conn.SetWriteDeadline(time.Time{}))
		close(step)
		_, err = conn.Write(append(frame[head:], frame...))
		require.NoError(t, err)
		require.Equal(t, frame, <-frames)
		require.Equal(t, frame, <-frames)
		require.Equal(t, 2, tap.Count(kmsg.EndTxn))
	})
}

// If the bytes that failed had been taken in an earlier Write, the client cannot send them again: the connection ends, it does not skip.
func TestWriteOfAKeptStartCannotGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tap := pipeTap(func(conn net.Conn) { io.ReadFull(conn, make([]byte, 3)) })
		defer tap.Close()
		conn := dialled(t, tap)
		frame := request(kmsg.EndTxn, 1, 8)
		_, err := conn.Write(frame[:10])
		require.NoError(t, err)
		require.NoError(t, conn.SetWriteDeadline(time.Now().Add(time.Second)))
		n, err := conn.Write(frame[10:])
		require.Error(t, err)
		require.Zero(t, n)
		require.NoError(t, conn.SetWriteDeadline(time.Time{}))
		_, err = conn.Write(frame[10:])
		require.ErrorContains(t, err, "broken pipe")
	})
}

// Requests written while one is held wait behind it: nothing overtakes on a connection, other connections go on.
func TestNothingOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		order := make(chan byte, 10)
		tap := pipeTap(func(conn net.Conn) {
			for {
				frame, err := readFrame(conn)
				if err != nil {
					return
				}
				order <- frame[11]
			}
		})
		defer tap.Close()
		hold := tap.Hold(wiretap.Rule{API: kmsg.EndTxn})
		held, other := dialled(t, tap), dialled(t, tap)
		for id, api := range []kmsg.Key{kmsg.Heartbeat, kmsg.EndTxn, kmsg.Heartbeat, kmsg.EndTxn} {
			_, err := held.Write(request(api, int32(id), 0))
			require.NoError(t, err)
		}
		_, err := other.Write(request(kmsg.EndTxn, 9, 0))
		require.NoError(t, err)
		synctest.Wait()
		require.Len(t, order, 2)
		hold.Release()
		synctest.Wait()
		close(order)
		got := make([]byte, 0, 10)
		for id := range order {
			if id != 9 {
				got = append(got, id)
			}
		}
		require.Equal(t, []byte{0, 1, 2, 3}, got)
	})
}

// A dial that Cut overtakes gives no connection, and leaves none open.
func TestCutOvertakesADial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, broker := net.Pipe()
		var tap *wiretap.Tap
		tap = wiretap.New(wiretap.Over(func(context.Context, string, string) (net.Conn, error) {
			tap.Cut()
			return client, nil
		}))
		defer tap.Close()
		_, err := tap.Dial(t.Context(), "tcp", "broker")
		require.ErrorContains(t, err, "refused")
		_, err = broker.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
	})
}

// Rules bound to a request that Cut discards while it is held are not used up, except the hold that has happened.
func TestCutGivesRulesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tap := pipeTap(func(conn net.Conn) { (&fakeBroker{}).serve(conn) })
		defer tap.Close()
		hold := tap.Hold(wiretap.Rule{API: kmsg.EndTxn})
		call := func(wiretap.Event) {}
		faults := []*wiretap.Fault{
			tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.CallOnRequest, Call: call}),
			tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.CallOnReply, Call: call}),
			tap.Add(wiretap.Rule{API: kmsg.Heartbeat, Action: wiretap.CallOnRequest, Call: call}),
			tap.Add(wiretap.Rule{API: kmsg.Heartbeat, Action: wiretap.CallOnReply, Call: call}),
		}
		conn := dialled(t, tap)
		_, err := conn.Write(append(request(kmsg.EndTxn, 1, 10), request(kmsg.Heartbeat, 2, 10)...))
		require.NoError(t, err)
		<-hold.Reached()
		tap.Cut()
		synctest.Wait()
		for _, f := range faults {
			require.Zero(t, f.Hits(), f)
		}
		tap.Restore()
		conn = dialled(t, tap)
		for id, api := range []kmsg.Key{kmsg.EndTxn, kmsg.Heartbeat} {
			_, err = conn.Write(request(api, int32(id), 10))
			require.NoError(t, err)
			_, err = readFrame(conn)
			require.NoError(t, err)
		}
		for _, f := range faults {
			require.Equal(t, 1, f.Hits(), f)
		}
	})
}

// A client that closes in the middle of a reply, with a request still held: the rest of the reply is read away, and the end comes right
// after the late answer.
func TestClosedWithinAReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended, step := make(chan time.Time, 1), make(chan struct{})
		tap := pipeTap(func(conn net.Conn) {
			first, _ := readFrame(conn)
			reply := answer(first)
			conn.Write(reply[:20])
			<-step
			conn.Write(reply[20:])
			late, _ := readFrame(conn)
			conn.Write(answer(late))
			readFrame(conn)
			ended <- time.Now()
		})
		defer tap.Close()
		hold := tap.Hold(wiretap.Rule{API: kmsg.EndTxn})
		conn := dialled(t, tap)
		go conn.Write(append(request(kmsg.Heartbeat, 1, 100), request(kmsg.EndTxn, 2, 10)...))
		_, err := io.ReadFull(conn, make([]byte, 20))
		require.NoError(t, err)
		<-hold.Reached()
		require.NoError(t, conn.Close())
		close(step)
		begin := time.Now()
		hold.Release()
		require.Equal(t, begin, <-ended)
	})
}
