package wiretap_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// proxied returns a kfake cluster of three brokers, and a proxy in front of the first one, which finds the others by itself.
func proxied(t *testing.T, tap *wiretap.Tap) (*kfake.Cluster, *wiretap.Proxy) {
	c, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(6, "orders"))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	for p := range int32(6) { // by itself, two brokers might lead all of them
		require.NoError(t, c.MoveTopicPartition("orders", p, p%3))
	}
	proxy, err := wiretap.NewProxy(tap.Dial, c.ListenAddrs()[0])
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	return c, proxy
}

// A client that knows only the proxy stays behind it, whichever broker it is told of: it copies in transactions, and connects to nothing
// else. The rules of the tap hold for it.
func TestProxyKeepsClientsBehindIt(t *testing.T) {
	tap := wiretap.New()
	defer tap.Close()
	c, proxy := proxied(t, tap)
	lost := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropReply})
	brokers := map[string]bool{}
	for _, addr := range c.ListenAddrs() {
		brokers[addr] = true
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if brokers[address] {
			t.Errorf("it connects to the broker %s, past the proxy", address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(proxy.Bootstrap()...), kgo.Dialer(dial), kgo.TransactionalID("txn"), kgo.AlwaysRetryEOF(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ConsumeTopics("orders"), kgo.ConsumerGroup("group"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.BeginTransaction())
	for p := range int32(6) {
		require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Partition: p, Value: []byte("v")}).FirstErr())
	}
	require.NoError(t, client.EndTransaction(t.Context(), kgo.TryCommit))
	for got := 0; got < 6; {
		fetches := client.PollFetches(t.Context())
		require.NoError(t, fetches.Err())
		got += fetches.NumRecords()
	}
	require.Equal(t, 1, lost.Hits())
	reached := map[string]bool{}
	for _, e := range tap.Log() {
		reached[e.Addr] = true
	}
	require.Equal(t, brokers, reached)
	require.NoError(t, proxy.Err())
}

// Every answer that names brokers names the proxy, in each version; the brokers of new leaders too (KIP-951).
func TestProxyRenamesBrokers(t *testing.T) {
	const host, port = "broker.example", 9092
	answers := map[kmsg.Key]func(version int16) kmsg.Response{
		kmsg.Metadata: func(int16) kmsg.Response {
			return &kmsg.MetadataResponse{Brokers: []kmsg.MetadataResponseBroker{{NodeID: 1, Host: host, Port: port}}}
		},
		kmsg.FindCoordinator: func(version int16) kmsg.Response {
			if version < 4 {
				return &kmsg.FindCoordinatorResponse{Host: host, Port: port}
			}
			return &kmsg.FindCoordinatorResponse{Coordinators: []kmsg.FindCoordinatorResponseCoordinator{{Host: host, Port: port}, {ErrorCode: 15, Port: -1}}}
		},
		kmsg.DescribeCluster: func(int16) kmsg.Response {
			return &kmsg.DescribeClusterResponse{Brokers: []kmsg.DescribeClusterResponseBroker{{Host: host, Port: port}}}
		},
		kmsg.Produce: func(version int16) kmsg.Response {
			if version < 10 {
				return nil
			}
			return &kmsg.ProduceResponse{Brokers: []kmsg.ProduceResponseBroker{{NodeID: 2, Host: host, Port: port}}}
		},
		kmsg.Fetch: func(version int16) kmsg.Response {
			if version < 16 {
				return nil
			}
			return &kmsg.FetchResponse{Brokers: []kmsg.FetchResponseBroker{{NodeID: 2, Host: host, Port: port}}}
		},
	}
	for api, make := range answers {
		for version := range kmsg.RequestForKey(api.Int16()).MaxVersion() + 1 {
			if resp := make(version); resp != nil {
				resp.SetVersion(version)
				requireRenamed(t, resp, net.JoinHostPort(host, strconv.Itoa(port)))
			}
		}
	}
}

// requireRenamed sends an answer through a proxy, and requires that it names the proxy in the place of the broker, and is else the same.
func requireRenamed(t *testing.T, resp kmsg.Response, broker string) {
	t.Helper()
	name := kmsg.Key(resp.Key()).Name() + " v" + strconv.Itoa(int(resp.GetVersion()))
	proxy, err := wiretap.NewProxy(func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			readFrame(server)
			server.Write(replyFrame(resp))
		}()
		return client, nil
	}, "first:1", broker)
	require.NoError(t, err)
	defer proxy.Close()
	conn, err := net.Dial("tcp", proxy.Bootstrap()[0])
	require.NoError(t, err)
	defer conn.Close()
	req := resp.RequestKind()
	req.SetVersion(resp.GetVersion())
	if produce, ok := req.(*kmsg.ProduceRequest); ok {
		produce.Acks = -1
	}
	_, err = conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1))
	require.NoError(t, err)
	got, err := readFrame(conn)
	require.NoError(t, err, "%s: %v", name, proxy.Err())
	host, port, err := net.SplitHostPort(proxy.Bootstrap()[1])
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	switch resp := resp.(type) {
	case *kmsg.MetadataResponse:
		resp.Brokers[0].Host, resp.Brokers[0].Port = host, int32(n)
	case *kmsg.FindCoordinatorResponse:
		if resp.GetVersion() < 4 {
			resp.Host, resp.Port = host, int32(n)
		} else {
			resp.Coordinators[0].Host, resp.Coordinators[0].Port = host, int32(n)
		}
	case *kmsg.DescribeClusterResponse:
		resp.Brokers[0].Host, resp.Brokers[0].Port = host, int32(n)
	case *kmsg.ProduceResponse:
		resp.Brokers[0].Host, resp.Brokers[0].Port = host, int32(n)
	case *kmsg.FetchResponse:
		resp.Brokers[0].Host, resp.Brokers[0].Port = host, int32(n)
	}
	require.Equal(t, replyFrame(resp), got, name)
}

// replyFrame is the answer with correlation id 1.
func replyFrame(resp kmsg.Response) []byte {
	frame := []byte{0, 0, 0, 0, 0, 0, 0, 1}
	if resp.IsFlexible() {
		frame = append(frame, 0)
	}
	frame = resp.AppendTo(frame)
	frame[2], frame[3] = byte((len(frame)-4)>>8), byte(len(frame)-4)
	return frame
}

// A broker that cannot be reached shows as a connection that ends; an answer that cannot be read ends its connection and is told, since
// the client would get past the proxy.
func TestProxyFailures(t *testing.T) {
	unreachable, err := wiretap.NewProxy(func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("away") }, "b:1")
	require.NoError(t, err)
	defer unreachable.Close()
	conn, err := net.Dial("tcp", unreachable.Bootstrap()[0])
	require.NoError(t, err)
	defer conn.Close()
	_, err = readFrame(conn)
	require.Error(t, err)

	garbled, err := wiretap.NewProxy(func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go (&fakeBroker{}).serve(server)
		return client, nil
	}, "b:1")
	require.NoError(t, err)
	defer garbled.Close()
	conn, err = net.Dial("tcp", garbled.Bootstrap()[0])
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write(request(kmsg.Metadata, 1, 3))
	require.NoError(t, err)
	_, err = readFrame(conn)
	require.Error(t, err)
	require.ErrorContains(t, garbled.Err(), "Metadata")
}

// Close ends connections on both sides and takes no new ones; the function of CallAfterReply runs when the proxy has written the answer
// to the client's socket.
func TestProxyClose(t *testing.T) {
	tap := wiretap.New(pipeServer())
	defer tap.Close()
	proxy, err := wiretap.NewProxy(tap.Dial, "b:1")
	require.NoError(t, err)
	after := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.CallAfterReply, Call: func(wiretap.Event) {}})
	conn, err := net.Dial("tcp", proxy.Bootstrap()[0])
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write(request(kmsg.EndTxn, 1, 10))
	require.NoError(t, err)
	got, err := readFrame(conn)
	require.NoError(t, err)
	require.Equal(t, answer(request(kmsg.EndTxn, 1, 10)), got)
	wait(t, after.Reached())
	address := proxy.Bootstrap()[0]
	proxy.Close()
	_, err = readFrame(conn)
	require.Error(t, err)
	_, err = net.Dial("tcp", address)
	require.Error(t, err)
}
