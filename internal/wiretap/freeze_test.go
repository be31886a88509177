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

// Freeze stops what is written, read, and dialled; deadlines still end a Read; and a connection closed while frozen stays open for the
// broker until Thaw, when what was written to it arrives.
func TestFreezeStopsEveryByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		arrived := make(chan []byte, 10)
		ended := make(chan struct{}, 10)
		tap := pipeTap(func(conn net.Conn) {
			for {
				frame, err := readFrame(conn)
				if err != nil {
					ended <- struct{}{}
					return
				}
				arrived <- frame
				conn.Write(answer(frame))
			}
		})
		defer tap.Close()
		conn, err := tap.Dial(t.Context(), "tcp", "broker")
		require.NoError(t, err)
		idle := dialled(t, tap)

		tap.Freeze()
		require.NoError(t, idle.Close())
		frame := request(kmsg.EndTxn, 1, 10)
		_, err = conn.Write(frame)
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = tap.Dial(ctx, "tcp", "broker")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, conn.Close())
		synctest.Wait()
		require.Empty(t, arrived)
		require.Empty(t, ended, "a byte, or the end of the connection, passed")

		tap.Thaw()
		require.Equal(t, frame, <-arrived)
		<-ended
		<-ended
		_, err = tap.Dial(t.Context(), "tcp", "broker")
		require.NoError(t, err)
	})
}

// A reply that has come while the tap is frozen is read after Thaw.
func TestFreezeHoldsRepliesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step := make(chan struct{})
		frame := request(kmsg.EndTxn, 1, 10)
		tap := pipeTap(func(conn net.Conn) {
			readFrame(conn)
			<-step
			conn.Write(answer(frame))
		})
		defer tap.Close()
		conn, err := tap.Dial(t.Context(), "tcp", "broker")
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write(frame)
		require.NoError(t, err)
		got := make(chan []byte, 1)
		go func() {
			reply, _ := readFrame(conn)
			got <- reply
		}()
		synctest.Wait() // the Read waits for the broker already
		tap.Freeze()
		close(step)
		synctest.Wait()
		require.Empty(t, got)
		tap.Thaw()
		require.Equal(t, answer(frame), <-got)
	})
}

// No rule acts while the tap is frozen, and what a rule lets go while it is frozen stays until Thaw.
func TestFreezeStopsRules(t *testing.T) {
	for _, action := range []wiretap.Action{wiretap.DropRequest, wiretap.DropReply, wiretap.HoldRequest, wiretap.HoldReply} {
		t.Run(action.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				arrived, step := make(chan []byte, 1), make(chan struct{})
				tap := pipeTap(func(conn net.Conn) {
					frame, err := readFrame(conn)
					if err != nil {
						return
					}
					arrived <- frame
					<-step
					conn.Write(answer(frame))
				})
				defer tap.Close()
				fault := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: action})
				conn := dialled(t, tap)
				read := make(chan error, 1)
				go func() { _, err := readFrame(conn); read <- err }()
				freezeAtRule(t, tap, fault, conn, step)
				synctest.Wait()
				require.Empty(t, read)
				if action == wiretap.HoldRequest || action == wiretap.DropRequest {
					require.Empty(t, arrived)
				}
				tap.Thaw()
				if action == wiretap.HoldRequest {
					close(step)
				}
				if err := <-read; action == wiretap.DropRequest || action == wiretap.DropReply {
					require.ErrorIs(t, err, io.EOF)
				} else {
					require.NoError(t, err)
				}
				require.Equal(t, 1, fault.Hits())
			})
		})
	}
}

// freezeAtRule writes a request and freezes the tap just before the rule would drop it or its answer, or lets go what it holds.
func freezeAtRule(t *testing.T, tap *wiretap.Tap, fault *wiretap.Fault, conn net.Conn, step chan struct{}) {
	t.Helper()
	write := func() {
		_, err := conn.Write(request(kmsg.EndTxn, 1, 10))
		require.NoError(t, err)
		synctest.Wait()
	}
	switch fault.Rule().Action {
	case wiretap.DropRequest:
		tap.Freeze()
		write()
		require.Zero(t, fault.Hits())
	case wiretap.DropReply:
		write()
		tap.Freeze()
		close(step)
		synctest.Wait()
		require.Zero(t, fault.Hits())
	case wiretap.HoldRequest, wiretap.HoldReply:
		write()
		if fault.Rule().Action == wiretap.HoldReply {
			close(step)
		}
		<-fault.Reached()
		tap.Freeze()
		fault.Release()
	default:
		require.Fail(t, "no such case")
	}
}
