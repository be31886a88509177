package wiretap_test

import (
	"bufio"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// BenchmarkThroughput compares a plain TCP connection with a tapped one, on which no rule, or no matching rule, is in force: 16 requests
// in flight, answered with replies of the same size.
func BenchmarkThroughput(b *testing.B) {
	dial := map[string]func() *wiretap.Tap{
		"plain":      func() *wiretap.Tap { return nil },
		"tap":        func() *wiretap.Tap { return wiretap.New() },
		"tap+10rule": tapWithRules,
	}
	for _, size := range []struct {
		name string
		body int
	}{{"100B", 100}, {"16KiB", 16 << 10}, {"1MiB", 1 << 20}} {
		for _, name := range []string{"plain", "tap", "tap+10rule"} {
			b.Run(size.name+"/"+name, func(b *testing.B) { throughput(b, dial[name](), size.body) })
		}
	}
}

func tapWithRules() *wiretap.Tap {
	tap := wiretap.New()
	for range 10 {
		tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropReply})
	}
	return tap
}

func throughput(b *testing.B, tap *wiretap.Tap, body int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer listener.Close()
	frame := request(kmsg.Fetch, 1, body)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		reply := answer(frame)
		r := bufio.NewReaderSize(conn, 64<<10)
		for {
			if _, err := r.Discard(len(frame)); err != nil {
				return
			}
			if _, err := conn.Write(reply); err != nil {
				return
			}
		}
	}()
	dial := (&net.Dialer{}).DialContext
	if tap != nil {
		defer tap.Close()
		dial = tap.Dial
	}
	conn, err := dial(b.Context(), "tcp", listener.Addr().String())
	require.NoError(b, err)
	defer conn.Close()

	inFlight := make(chan struct{}, 16)
	reply := make([]byte, len(answer(frame)))
	b.SetBytes(int64(len(frame) + len(reply)))
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			inFlight <- struct{}{}
			if _, err := conn.Write(frame); err != nil {
				return
			}
		}
	}()
	r := bufio.NewReaderSize(conn, 4<<10) // as kgo reads
	for range b.N {
		if _, err := io.ReadFull(r, reply); err != nil {
			b.Fatal(err)
		}
		<-inFlight
	}
}
