package wiretap_test

import (
	"context"
	"encoding/binary"
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

// A cut request arrives half, a cut answer too, and then the connection ends.
func TestCutInTheMiddleOfAFrame(t *testing.T) {
	for _, action := range []wiretap.Action{wiretap.CutRequest, wiretap.CutReply} {
		synctest.Test(t, func(t *testing.T) {
			frame := request(kmsg.EndTxn, 1, 100)
			arrived := make(chan int, 1)
			tap := pipeTap(func(conn net.Conn) {
				got := make([]byte, len(frame))
				n, _ := io.ReadFull(conn, got)
				arrived <- n
				conn.Write(answer(frame))
			})
			defer tap.Close()
			fault := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: action})
			conn := dialled(t, tap)
			go conn.Write(frame)
			got, err := io.ReadAll(conn)
			require.NoError(t, err)
			if action == wiretap.CutRequest {
				require.Equal(t, len(frame)/2, <-arrived)
				require.Empty(t, got)
			} else {
				require.Equal(t, answer(frame)[:len(answer(frame))/2], got)
			}
			wait(t, fault.Reached())
			require.True(t, tap.Log()[len(tap.Log())-1].Dropped)
		})
	}
}

// A hung connection stays open: reads and writes tell nothing, nothing comes, until the client gives up. A hung request never arrives,
// nor does one after it; a hung answer was made.
func TestHang(t *testing.T) {
	for _, action := range []wiretap.Action{wiretap.HangRequest, wiretap.HangReply} {
		synctest.Test(t, func(t *testing.T) {
			broker := &fakeBroker{}
			ended := make(chan struct{})
			tap := pipeTap(func(conn net.Conn) { broker.serve(conn); close(ended) })
			defer tap.Close()
			fault := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: action})
			conn := dialled(t, tap)
			go func() { // each waits until the one before is read
				for id := range int32(3) {
					conn.Write(request(kmsg.EndTxn, id, 10))
				}
			}()
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Hour)))
			_, err := conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.Equal(t, 1, fault.Hits())
			require.NoError(t, conn.Close())
			<-ended // the broker sees the end only now
			if action == wiretap.HangRequest {
				require.Zero(t, broker.count)
			} else {
				require.Equal(t, 3, broker.count)
			}
		})
	}
}

// A request is delivered twice: the same bytes to the same broker, over a connection of its own, after the request itself, and the client
// gets one answer. A held copy waits for Release, and is discarded by Cut.
func TestDouble(t *testing.T) {
	frame := request(kmsg.Heartbeat, 7, 20)
	double := func(t *testing.T, rule wiretap.Rule) (*wiretap.Tap, *wiretap.Fault, chan []byte, net.Conn) {
		arrived := make(chan []byte, 10)
		tap := pipeTap(func(conn net.Conn) {
			for {
				frame, err := readFrame(conn)
				if err != nil {
					return
				}
				arrived <- frame
				conn.Write(answer(frame))
			}
		})
		t.Cleanup(tap.Close)
		fault := tap.Add(rule)
		conn := dialled(t, tap)
		go conn.Write(frame)
		got, err := readFrame(conn)
		require.NoError(t, err)
		require.Equal(t, answer(frame), got)
		require.Equal(t, frame, <-arrived)
		return tap, fault, arrived, conn
	}
	t.Run("after a delay", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			tap, fault, arrived, _ := double(t, wiretap.Rule{API: kmsg.Heartbeat, Action: wiretap.DoubleRequest, Delay: time.Minute})
			require.Equal(t, frame, <-arrived)
			require.Equal(t, time.Minute, time.Since(begin))
			<-fault.Reached()
			require.Equal(t, 1, tap.Count(kmsg.Heartbeat), "the client has made one request")
			require.True(t, tap.Log()[3].Copy)
			require.EqualValues(t, 2, tap.Log()[3].Conn)
			tap.Close()
		})
	})
	t.Run("held", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tap, fault, arrived, conn := double(t, wiretap.Rule{API: kmsg.Heartbeat, Action: wiretap.HoldDouble})
			require.NoError(t, conn.Close())
			synctest.Wait()
			require.Empty(t, arrived)
			fault.Release()
			require.Equal(t, frame, <-arrived)
			<-fault.Reached()
			tap.Close()
		})
	})
	t.Run("cut", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tap, fault, arrived, _ := double(t, wiretap.Rule{API: kmsg.Heartbeat, Action: wiretap.HoldDouble})
			tap.Cut()
			fault.Release()
			synctest.Wait()
			require.Empty(t, arrived)
			require.Zero(t, fault.Hits())
			tap.Close()
		})
	})
}

// The three points of a request: a function runs before it is forwarded, when it was applied, and when the client has the answer and
// reads on. A client that does not read on is not one that has the answer.
func TestPointsOfARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		tap := pipeTap(func(conn net.Conn) {
			for {
				frame, err := readFrame(conn)
				if err != nil {
					return
				}
				order = append(order, "broker")
				conn.Write(answer(frame))
			}
		})
		defer tap.Close()
		call := func(name string, action wiretap.Action) *wiretap.Fault {
			return tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: action, Count: 2, Call: func(wiretap.Event) { order = append(order, name) }})
		}
		after := call("after", wiretap.CallAfterReply)
		call("before", wiretap.CallOnRequest)
		call("applied", wiretap.CallOnReply)
		conn := dialled(t, tap)
		go conn.Write(request(kmsg.EndTxn, 1, 10))
		_, err := readFrame(conn)
		require.NoError(t, err)
		order = append(order, "client")
		require.Zero(t, after.Hits())
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, 1, after.Hits())
		require.Equal(t, []string{"before", "broker", "applied", "client", "after"}, order)

		require.NoError(t, conn.SetReadDeadline(time.Time{}))
		go conn.Write(request(kmsg.EndTxn, 2, 10))
		_, err = readFrame(conn)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		synctest.Wait() // the connection lingers while its sender ends
		require.Equal(t, 1, after.Hits())
		again := dialled(t, tap)
		go again.Write(request(kmsg.EndTxn, 3, 10))
		_, err = readFrame(again)
		require.NoError(t, err)
		again.SetReadDeadline(time.Now().Add(time.Second))
		again.Read(make([]byte, 1))
		require.Equal(t, 2, after.Hits(), "the rule got its match back")
	})
}

// A drop with a function runs it at its step, before the connection ends.
func TestDropWithCall(t *testing.T) {
	for _, action := range []wiretap.Action{wiretap.DropRequest, wiretap.DropReply} {
		synctest.Test(t, func(t *testing.T) {
			broker := &fakeBroker{}
			tap := pipeTap(func(conn net.Conn) { broker.serve(conn) })
			defer tap.Close()
			var answered int
			rule := wiretap.Rule{API: kmsg.EndTxn, Action: action, Call: func(wiretap.Event) { answered = broker.count }}
			require.Equal(t, "EndTxn: "+action.String()+" with call", rule.String())
			fault := tap.Add(rule)
			conn := dialled(t, tap)
			go conn.Write(request(kmsg.EndTxn, 1, 10))
			_, err := conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
			<-fault.Reached()
			require.Equal(t, action == wiretap.DropReply, answered == 1)
		})
	}
}

// A flipped bit is in the records, under their checksum, and nowhere else; what has no records passes as it is and is not a hit.
func TestFlip(t *testing.T) {
	batch := make([]byte, 100)
	binary.BigEndian.PutUint32(batch[8:], uint32(len(batch)-12))
	for name, c := range map[string]struct {
		records []byte
		flips   bool
	}{"records": {batch, true}, "none": {nil, false}, "the beginning of a batch": {batch[:80], false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				req, resp := kmsg.NewPtrProduceRequest(), kmsg.NewPtrFetchResponse()
				req.SetVersion(3)
				resp.SetVersion(4)
				req.Acks = -1
				req.Topics = []kmsg.ProduceRequestTopic{{Topic: "t", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: c.records}}}}
				resp.Topics = []kmsg.FetchResponseTopic{{Topic: "t", Partitions: []kmsg.FetchResponseTopicPartition{{RecordBatches: c.records}}}}
				produce := kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)
				fetch := kmsg.NewRequestFormatter().AppendRequest(nil, &kmsg.FetchRequest{Version: 4}, 2)
				fetched := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 0}, 2)
				fetched = resp.AppendTo(fetched)
				binary.BigEndian.PutUint32(fetched, uint32(len(fetched)-4))

				got := make(chan []byte, 1)
				tap := pipeTap(func(conn net.Conn) {
					frame, _ := readFrame(conn)
					got <- frame
					readFrame(conn)
					conn.Write(fetched)
				})
				defer tap.Close()
				onRequest := tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.FlipRequest})
				onReply := tap.Add(wiretap.Rule{API: kmsg.Fetch, Action: wiretap.FlipReply})
				conn := dialled(t, tap)
				go func() { conn.Write(produce); conn.Write(fetch) }()
				answer, err := readFrame(conn)
				require.NoError(t, err)
				require.Equal(t, c.flips, onRequest.Hits() == 1)
				require.Equal(t, c.flips, onReply.Hits() == 1)
				require.Equal(t, c.flips, differ(t, produce, <-got) == 1)
				require.Equal(t, c.flips, differ(t, fetched, answer) == 1)
				require.Equal(t, c.flips, tap.Log()[0].Err == nil)
			})
		})
	}
}

// differ returns in how many bytes two frames of one length differ.
func differ(t *testing.T, a, b []byte) (n int) {
	require.Len(t, b, len(a))
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// A rule for one broker leaves the others alone.
func TestRuleForOneBroker(t *testing.T) {
	address := func(t *testing.T) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go (&fakeBroker{}).serve(conn)
			}
		}()
		return l.Addr().String()
	}
	bad, good := address(t), address(t)
	tap := wiretap.New()
	defer tap.Close()
	rule, err := wiretap.Parse("* broker=" + bad + ": drop-request always")
	require.NoError(t, err)
	fault := tap.Add(rule)
	for _, addr := range []string{bad, good} {
		conn, err := tap.Dial(context.Background(), "tcp", addr)
		require.NoError(t, err)
		conn.Write(request(kmsg.EndTxn, 1, 10))
		_, err = readFrame(conn)
		require.Equal(t, addr == good, err == nil, "%v", err)
		conn.Close()
	}
	require.Equal(t, 1, fault.Hits())
}
