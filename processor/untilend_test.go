package processor_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/processor"
)

// A broker that has just started does not lead its partitions yet, has no coordinator, and does not know a topic: what asks for the end of the
// input asks again, more often than the client does by itself.
func TestUntilEndAsksAgain(t *testing.T) {
	b := setup(t)
	b.produce(20)
	var faults []*kfake.FaultHandle
	for key, err := range map[kmsg.Key]*kerr.Error{
		kmsg.ListOffsets: kerr.NotLeaderForPartition, kmsg.OffsetFetch: kerr.NotCoordinator, kmsg.Metadata: kerr.UnknownTopicOrPartition,
	} {
		faults = append(faults, b.fake.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: err, Count: 4}))
	}
	var count processor.Counter
	p, err := processor.New(counted(b.config(), &count), double)
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.EqualValues(t, 20, count.Stats().In)
	for _, f := range faults {
		require.EqualValues(t, 4, f.Hits())
	}
}

// Where nobody can be asked, the error is why, and not that the time is over.
func TestUntilEndSaysWhy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	secured := httptest.NewTLSServer(handler)
	t.Cleanup(secured.Close)
	web := answering(t, "HTTP/1.1 400 Bad Request\r\n\r\n")
	// The bootstrap server answers, and the address that it advertises refuses.
	advertised := kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "localhost:") {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	})
	host := func(url string) string { return url[strings.LastIndex(url, "/")+1:] }
	for _, test := range []struct {
		name, server string
		opt          kgo.Opt
		isWhy        func(error) bool
	}{
		{"refused", closed.Addr().String(), nil, func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }},
		{"not Kafka", web, nil, func(err error) bool { return strings.Contains(err.Error(), "invalid large response size") }},
		{"untrusted", host(secured.URL), kgo.DialTLSConfig(&tls.Config{}), func(err error) bool {
			_, ok := errors.AsType[x509.UnknownAuthorityError](err)
			return ok
		}},
		{"no TLS there", b.servers[0], kgo.DialTLSConfig(&tls.Config{}), func(err error) bool { return !strings.Contains(err.Error(), "timeout") }},
		{"advertised", strings.Replace(b.servers[0], "127.0.0.1", "localhost", 1), advertised, func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }},
	} {
		for _, untilEnd := range []bool{true, false} { // false: as a session says it
			if test.name == "advertised" && !untilEnd {
				continue // a session waits for its coordinator, and says so
			}
			t.Run(fmt.Sprint(test.name, untilEnd), func(t *testing.T) {
				t.Parallel()
				cfg := b.config()
				cfg.UntilEnd = untilEnd
				cfg.BootstrapServers, cfg.Session.ConnectTimeout = []string{test.server}, time.Second
				if test.opt != nil {
					cfg.Session.Client = []kgo.Opt{test.opt}
				}
				p, err := processor.New(cfg, double)
				require.NoError(t, err)
				err = p.Run(t.Context())
				require.True(t, test.isWhy(err), "%v", err)
			})
		}
	}
}

// answering is a server that says this to everybody at once. It returns its address.
func answering(t *testing.T, text string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = c.Write([]byte(text))
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	return l.Addr().String()
}

// An offset that the group has committed past the log's end is no end that was reached: the session finds it, and Run says so.
func TestUntilEndPastTheLog(t *testing.T) {
	b := setup(t)
	b.produce(20)
	past := kadm.Offsets{}
	for partition := range int32(4) {
		past.AddOffset("in", partition, 15, -1)
	}
	require.NoError(t, kadm.NewClient(b.cl).CommitAllOffsets(t.Context(), "app", past))
	p, err := processor.New(b.config(), double)
	require.NoError(t, err)
	var lost *eos.LostOffsetsError
	require.ErrorAs(t, p.Run(t.Context()), &lost)
	require.EqualValues(t, 15, lost.From)
	require.EqualValues(t, 5, lost.To)
}

// Where all is committed already, what keeps a session from working is said all the same: here the output is not there.
func TestUntilEndWithoutWork(t *testing.T) {
	b := setup(t)
	pipe := double
	pipe.Sink = processor.To(processor.String(), "nowhere")
	done := kadm.Offsets{}
	for partition := range int32(4) {
		done.AddOffset("in", partition, 0, -1)
	}
	require.NoError(t, kadm.NewClient(b.cl).CommitAllOffsets(t.Context(), "app", done))
	p, err := processor.New(b.config(), pipe)
	require.NoError(t, err)
	require.ErrorIs(t, p.Run(t.Context()), eos.ErrNoTopic)
}

// Who is asked to stop while no broker answers has begun nothing, and stops without an error.
func TestUntilEndStopsBeforeItBegins(t *testing.T) {
	b := setup(t)
	ctx, stop := context.WithCancel(t.Context())
	cfg := b.config()
	cfg.Session.Client = []kgo.Opt{kgo.Dialer(func(context.Context, string, string) (net.Conn, error) {
		stop()
		return nil, syscall.ECONNREFUSED
	})}
	p, err := processor.New(cfg, double)
	require.NoError(t, err)
	require.NoError(t, p.Run(ctx))
}
