package wiretap_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// fakeBroker answers every request frame, in order, with its correlation id and its body reversed, in chunks of random size.
type fakeBroker struct {
	seed  uint64
	count int // requests answered
	hash  uint64
}

func (b *fakeBroker) serve(conn net.Conn) error {
	defer conn.Close()
	random := rand.New(rand.NewPCG(b.seed, 2))
	hash := fnv.New64a()
	r := bufio.NewReader(conn)
	for {
		frame, err := readFrame(r)
		if err != nil {
			b.hash = hash.Sum64()
			return err
		}
		hash.Write(frame)
		b.count++
		if err := writeChunks(conn, random, answer(frame)); err != nil {
			return err
		}
	}
}

func readFrame(r io.Reader) ([]byte, error) {
	size := make([]byte, 4)
	if _, err := io.ReadFull(r, size); err != nil {
		return nil, err
	}
	frame := append(size, make([]byte, binary.BigEndian.Uint32(size))...)
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}

func answer(frame []byte) []byte {
	body := frame[12:]
	reply := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
	reply = append(reply, frame[8:12]...)
	for i := range body {
		reply = append(reply, body[len(body)-1-i])
	}
	return reply
}

func writeChunks(w io.Writer, random *rand.Rand, p []byte) error {
	for len(p) > 0 {
		n := min(len(p), 1+random.IntN(1<<random.IntN(14)))
		if _, err := w.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// request returns a frame of a random size; the API is one that is neither Produce (acks) nor Metadata, unless asked.
func request(api kmsg.Key, correlationID int32, body int) []byte {
	frame := binary.BigEndian.AppendUint32(nil, uint32(8+2+body))
	frame = binary.BigEndian.AppendUint16(frame, uint16(api))
	frame = binary.BigEndian.AppendUint16(frame, 0)
	frame = binary.BigEndian.AppendUint32(frame, uint32(correlationID))
	frame = binary.BigEndian.AppendUint16(frame, 0xffff) // no client id
	for i := range body {
		frame = append(frame, byte(i)+byte(correlationID))
	}
	return frame
}

// pipeTap returns a tap whose connections lead to served pipes.
func pipeTap(serve func(net.Conn), options ...wiretap.Option) *wiretap.Tap {
	dial := func(context.Context, string, string) (net.Conn, error) {
		client, broker := net.Pipe()
		go serve(broker)
		return client, nil
	}
	return wiretap.New(append(options, wiretap.Over(dial))...)
}

// Thousands of requests in flight, written and read in chunks of random size on both sides, arrive and are answered byte for byte, in
// order; with no rule, with rules that never match, and with rules that queue frames on their way.
func TestBytesPassUnchanged(t *testing.T) {
	rules := map[string][]string{
		"no rule":       nil,
		"never matches": {"EndTxn: drop-reply skip 1000000", "Fetch topic=t: drop-reply always", "Produce topic=t: drop-request always", "Metadata: drop-reply skip 1000000"},
		"delays":        {"Heartbeat: delay-request 20us always", "SyncGroup: delay-reply 20us always"},
	}
	for name, texts := range rules {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(3) {
				t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { passUnchanged(t, seed, texts) })
			}
		})
	}
}

func passUnchanged(t *testing.T, seed uint64, rules []string) {
	const requests = 2000
	broker := &fakeBroker{seed: seed}
	done := make(chan error, 1)
	tap := pipeTap(func(conn net.Conn) { done <- broker.serve(conn) })
	defer tap.Close()
	var faults []*wiretap.Fault
	for _, text := range rules {
		rule, err := wiretap.Parse(text)
		require.NoError(t, err)
		faults = append(faults, tap.Add(rule))
	}
	conn, err := tap.Dial(t.Context(), "tcp", "broker")
	require.NoError(t, err)

	apis := []kmsg.Key{kmsg.Fetch, kmsg.Heartbeat, kmsg.SyncGroup, kmsg.EndTxn, kmsg.Metadata, kmsg.JoinGroup}
	random := rand.New(rand.NewPCG(seed, 1))
	var sent, want []byte
	for i := range int32(requests) {
		frame := request(apis[random.IntN(len(apis))], i*7-500, random.IntN(1<<random.IntN(13)))
		sent, want = append(sent, frame...), append(want, answer(frame)...)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := writeChunks(conn, random, sent); err != nil {
			conn.Close()
		}
	})
	got := readChunks(t, conn, rand.New(rand.NewPCG(seed, 3)), len(want))
	wg.Wait()
	require.True(t, bytes.Equal(want, got), "the replies changed on their way")
	require.NoError(t, conn.Close())
	<-done
	hash := fnv.New64a()
	hash.Write(sent)
	require.Equal(t, requests, broker.count)
	require.Equal(t, hash.Sum64(), broker.hash, "the requests changed on their way")

	require.Len(t, tap.Log(), 2*requests)
	for _, f := range faults {
		if f.Rule().Delay > 0 {
			require.Equal(t, tap.Count(f.Rule().API), f.Hits())
		} else {
			require.Zero(t, f.Hits())
		}
	}
}

func readChunks(t *testing.T, r io.Reader, random *rand.Rand, total int) []byte {
	t.Helper()
	var got []byte
	chunk := make([]byte, 1<<14)
	for len(got) < total {
		n, err := r.Read(chunk[:1+random.IntN(1<<random.IntN(14))])
		got = append(got, chunk[:n]...)
		require.NoError(t, err)
	}
	return got
}

// A read deadline that ends a Read within a reply, or while a rule holds the reply, loses no byte: the next Read goes on. A deadline set
// meanwhile ends a Read that waits already.
func TestReadDeadlineLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step := make(chan struct{})
		frame := request(kmsg.Heartbeat, 1, 100)
		tap := pipeTap(func(conn net.Conn) {
			readFrame(conn)
			reply := answer(frame)
			for _, part := range [][]byte{reply[:3], reply[3:50], reply[50:], reply} {
				<-step
				conn.Write(part)
			}
		})
		defer tap.Close()
		hold := tap.Hold(wiretap.Rule{API: kmsg.Heartbeat, Action: wiretap.HoldReply})
		conn := dialled(t, tap)
		_, err := conn.Write(frame)
		require.NoError(t, err)

		p := make([]byte, 1000)
		late := func() {
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
			n, err := conn.Read(p)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.Zero(t, n)
		}
		late()
		for range 3 {
			step <- struct{}{}
			late()
		}
		<-hold.Reached()
		late()
		hold.Release()
		read := func() {
			require.NoError(t, conn.SetReadDeadline(time.Time{}))
			n, err := conn.Read(p)
			require.NoError(t, err)
			require.Equal(t, answer(frame), p[:n])
		}
		read()
		late()
		require.NoError(t, conn.SetReadDeadline(time.Time{}))
		ended := make(chan error, 1)
		go func() { _, err := conn.Read(p); ended <- err }()
		synctest.Wait()
		require.NoError(t, conn.SetDeadline(time.Now()))
		require.ErrorIs(t, <-ended, os.ErrDeadlineExceeded)
		step <- struct{}{}
		read()
	})
}

// When the broker closes within a reply, or within its size, the client gets the bytes there were, and then the end; and it may send
// nothing more.
func TestStreamEndsWithinAFrame(t *testing.T) {
	for _, rule := range []string{"EndTxn: drop-reply skip 9", "Heartbeat: delay-reply 1s"} {
		for _, tail := range []int{1, 5, 20} {
			synctest.Test(t, func(t *testing.T) {
				frame := request(kmsg.Heartbeat, 1, 100)
				sent := append(answer(frame), answer(frame)[:tail]...)
				tap := pipeTap(func(conn net.Conn) {
					readFrame(conn)
					conn.Write(sent)
					conn.Close()
				})
				defer tap.Close()
				parsed, err := wiretap.Parse(rule)
				require.NoError(t, err)
				tap.Add(parsed)
				conn := dialled(t, tap)
				go conn.Write(frame)
				got, err := io.ReadAll(conn)
				require.NoError(t, err)
				require.Equal(t, sent, got)
				_, err = conn.Write(frame)
				require.Error(t, err)
			})
		}
	}
}

// Frames that cannot be Kafka's make the connection opaque, not broken: bytes pass in both directions.
func TestOpaqueBytesPass(t *testing.T) {
	for name, text := range map[string]string{
		"negative size": "\xff\xff\xff\xff and more",
		"huge size":     "HTTP/1.1 400 Bad Request\r\n\r\n",
		"empty frames":  "\x00\x00\x00\x00\x00\x00\x00\x02ab",
	} {
		t.Run(name, func(t *testing.T) {
			tap := pipeTap(func(conn net.Conn) { io.Copy(conn, conn) })
			defer tap.Close()
			tap.Add(wiretap.Rule{API: wiretap.AnyAPI, Action: wiretap.DropReply, Count: wiretap.Always})
			conn, err := tap.Dial(t.Context(), "tcp", "broker")
			require.NoError(t, err)
			defer conn.Close()
			for _, chunk := range []int{1, 3, len(text)} {
				go writeFixed(conn, chunk, text)
				got := make([]byte, len(text))
				_, err = io.ReadFull(conn, got)
				require.NoError(t, err)
				require.Equal(t, text, string(got))
			}
		})
	}
}

func writeFixed(w io.Writer, chunk int, text string) {
	for len(text) > 0 {
		n := min(chunk, len(text))
		io.WriteString(w, text[:n])
		text = text[n:]
	}
}

// Delays are latency, not a queue: three pipelined requests that are each delayed by a second all arrive after one second, in order.
func TestDelayIsLatency(t *testing.T) {
	for _, action := range []wiretap.Action{wiretap.DelayRequest, wiretap.DelayReply} {
		t.Run(action.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tap := pipeTap(func(conn net.Conn) { (&fakeBroker{}).serve(conn) })
				defer tap.Close()
				fault := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: action, Delay: time.Second, Count: wiretap.Always})
				conn, err := tap.Dial(t.Context(), "tcp", "broker")
				require.NoError(t, err)
				defer conn.Close()
				begin := time.Now()
				go func() {
					for id := range int32(3) {
						conn.Write(request(kmsg.EndTxn, id, 10))
					}
				}()
				for id := range int32(3) {
					frame, err := readFrame(conn)
					require.NoError(t, err)
					require.Equal(t, answer(request(kmsg.EndTxn, id, 10)), frame)
				}
				require.Equal(t, time.Second, time.Since(begin))
				require.Equal(t, 3, fault.Hits())
			})
		})
	}
}

// A dropped reply ends the connection only when the broker has sent all of it, and the replies before it are still read.
func TestDropReplyWaitsForTheWholeAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, lost := request(kmsg.Heartbeat, 1, 10), request(kmsg.EndTxn, 2, 10)
		rest := make(chan struct{})
		tap := pipeTap(func(conn net.Conn) {
			readFrame(conn)
			readFrame(conn)
			reply := answer(lost)
			conn.Write(append(answer(first), reply[:len(reply)-1]...))
			<-rest
			conn.Write(reply[len(reply)-1:])
		})
		defer tap.Close()
		fault := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropReply})
		conn, err := tap.Dial(t.Context(), "tcp", "broker")
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write(append(first, lost...))
		require.NoError(t, err)
		frame, err := readFrame(conn)
		require.NoError(t, err)
		require.Equal(t, answer(first), frame)

		ended := make(chan error, 1)
		go func() {
			_, err := conn.Read(make([]byte, 1))
			ended <- err
		}()
		synctest.Wait()
		require.Empty(t, ended, "closed before the answer was complete")
		require.Zero(t, fault.Hits())
		close(rest)
		require.ErrorIs(t, <-ended, io.EOF)
		<-fault.Spent()
		_, err = conn.Write(first)
		require.Error(t, err)
	})
}

// A rule that was bound to a request whose connection ended first takes the next match instead: Count is faults that happened.
func TestRuleIsNotUsedUpByALostConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := true
		tap := pipeTap(func(conn net.Conn) {
			if silent {
				readFrame(conn)
				conn.Close()
				return
			}
			(&fakeBroker{}).serve(conn)
		})
		defer tap.Close()
		fault := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropReply})
		for range 2 {
			conn, err := tap.Dial(t.Context(), "tcp", "broker")
			require.NoError(t, err)
			_, err = conn.Write(request(kmsg.EndTxn, 1, 10))
			require.NoError(t, err)
			_, err = conn.Read(make([]byte, 10))
			require.ErrorIs(t, err, io.EOF)
			require.NoError(t, conn.Close())
			if silent {
				require.Zero(t, fault.Hits())
			}
			silent = false
		}
		require.Equal(t, 1, fault.Hits())
	})
}

// A Produce with acks=0 has no answer: nothing waits for one, and a rule about the reply is not used up by it.
func TestProduceWithoutAcksHasNoReply(t *testing.T) {
	for _, version := range []int16{0, 3, 8, 9, 13} {
		for _, txn := range []*string{nil, new("txn")} {
			synctest.Test(t, func(t *testing.T) {
				tap := pipeTap(func(conn net.Conn) {
					readFrame(conn) // acks=0: no answer
					frame, _ := readFrame(conn)
					conn.Write(answer(frame))
				})
				defer tap.Close()
				call := tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.CallOnReply, Call: func(wiretap.Event) {}})
				fault := tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.DropReply, When: wiretap.Where(
					func(r *kmsg.ProduceRequest) bool { return r.Acks != 0 },
				)})
				conn := dialled(t, tap)
				produce := kmsg.NewPtrProduceRequest()
				produce.SetVersion(version)
				produce.TransactionID = txn
				for _, acks := range []int16{0, -1} {
					produce.Acks = acks
					// The same correlation id: only the second can be what the reply answers.
					_, err := conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("c")).AppendRequest(nil, produce, 1))
					require.NoError(t, err)
				}
				_, err := conn.Read(make([]byte, 1))
				require.ErrorIs(t, err, io.EOF)
				require.Equal(t, 1, fault.Hits())
				require.Equal(t, 1, call.Hits())
				require.Equal(t, 2, tap.Count(kmsg.Produce))
			})
		}
	}
}

// Tap.Close returns only when no hook runs any more.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tap := pipeTap(func(conn net.Conn) { (&fakeBroker{}).serve(conn) })
		running, done := make(chan struct{}), make(chan struct{})
		tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.CallOnRequest, Call: func(wiretap.Event) { close(running); <-done }})
		_, err := dialled(t, tap).Write(request(kmsg.EndTxn, 1, 10))
		require.NoError(t, err)
		<-running
		closed := make(chan struct{})
		go func() { tap.Close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			require.Fail(t, "closed while a hook runs")
		default:
		}
		close(done)
		<-closed
	})
}

// Tap.Close ends every goroutine, even those of requests that are held for ever by connections nobody uses. The bubble fails if one is
// left.
func TestCloseLeavesNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tap := pipeTap(func(conn net.Conn) { (&fakeBroker{}).serve(conn) })
		held := tap.Hold(wiretap.Rule{API: kmsg.EndTxn, Count: wiretap.Always})
		heldReply := tap.Hold(wiretap.Rule{API: kmsg.Heartbeat, Action: wiretap.HoldReply, Count: wiretap.Always})
		tap.Add(wiretap.Rule{API: kmsg.JoinGroup, Action: wiretap.DelayRequest, Delay: 1000 * time.Hour})
		for i, api := range []kmsg.Key{kmsg.EndTxn, kmsg.Heartbeat, kmsg.JoinGroup, kmsg.EndTxn, kmsg.Heartbeat} {
			conn, err := tap.Dial(t.Context(), "tcp", "broker")
			require.NoError(t, err)
			_, err = conn.Write(request(api, 1, 10))
			require.NoError(t, err)
			go conn.Read(make([]byte, 1))
			synctest.Wait()
			if i < 3 {
				require.NoError(t, conn.Close())
			}
		}
		<-held.Reached()
		<-heldReply.Reached()
		tap.Close()
		_, err := tap.Dial(t.Context(), "tcp", "broker")
		require.Error(t, err)
		tap.Restore()
		_, err = tap.Dial(t.Context(), "tcp", "broker")
		require.Error(t, err, "Close is for good")
	})
}

// pipeServer has a tap's connections lead to a fakeBroker each.
func pipeServer() wiretap.Option {
	return wiretap.Over(func(context.Context, string, string) (net.Conn, error) {
		client, broker := net.Pipe()
		go (&fakeBroker{}).serve(broker)
		return client, nil
	})
}
