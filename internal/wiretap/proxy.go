package wiretap

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Proxy is a tap for clients whose dialer cannot be given: other processes. It listens on 127.0.0.1 for each broker, connects to the
// brokers with a dialer, such as [Tap.Dial], and writes its own addresses into the answers that name brokers, so that clients stay
// behind it. A broker that is named for the first time gets an address then. Its methods may be called by several goroutines at once.
type Proxy struct {
	dial    DialFunc
	brokers []string // as given to NewProxy
	cancel  context.CancelFunc
	work    sync.WaitGroup // every goroutine of the proxy

	mu     sync.Mutex
	fronts map[string]net.Listener // by the broker's address
	conns  map[net.Conn]struct{}   // of both sides
	closed bool
	err    error // the first answer that could not be read
}

// NewProxy starts a proxy in front of brokers at these addresses, which connects to them with dial. What dial returns gets requests whole,
// one in each Write. Close ends the proxy.
func NewProxy(dial DialFunc, brokers ...string) (*Proxy, error) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{dial: dial, brokers: brokers, cancel: cancel, fronts: map[string]net.Listener{}, conns: map[net.Conn]struct{}{}}
	for _, broker := range brokers {
		if _, err := p.front(ctx, broker); err != nil {
			p.Close()
			return nil, err
		}
	}
	return p, nil
}

// Bootstrap returns where clients reach the brokers given to NewProxy, in the same order.
func (p *Proxy) Bootstrap() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	addrs := make([]string, 0, len(p.brokers))
	for _, broker := range p.brokers {
		addrs = append(addrs, p.fronts[broker].Addr().String())
	}
	return addrs
}

// Err returns why an answer that names brokers could not be read, and so its connection was closed: clients would have got past the proxy.
func (p *Proxy) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Close closes all connections for good, and returns when no goroutine of the proxy is left. It must not be called from a hook: those of
// CallAfterReply run in such a goroutine.
func (p *Proxy) Close() {
	p.cancel()
	p.mu.Lock()
	p.closed = true
	for _, l := range p.fronts {
		_ = l.Close()
	}
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}

// front returns where the proxy listens for a broker.
func (p *Proxy) front(ctx context.Context, broker string) (net.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.fronts[broker]; l != nil {
		return l.Addr(), nil
	}
	if p.closed {
		return nil, net.ErrClosed
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("wiretap: listen for broker %s: %w", broker, err)
	}
	p.fronts[broker] = l
	p.work.Go(func() { p.accept(ctx, l, broker) })
	return l.Addr(), nil
}

// accept serves clients until the listener is closed.
func (p *Proxy) accept(ctx context.Context, l net.Listener, broker string) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(ctx, client, broker) })
	}
}

// keep remembers a connection for Close; false means that the proxy is closed, and so is the connection.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

// drop closes a connection.
func (p *Proxy) drop(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// serve connects a client to its broker, until one of them closes. A broker that cannot be reached shows as a connection that is closed
// at once.
func (p *Proxy) serve(ctx context.Context, client net.Conn, broker string) {
	if !p.keep(client) {
		return
	}
	defer p.drop(client)
	server, err := p.dial(ctx, "tcp", broker)
	if err != nil || !p.keep(server) {
		return
	}
	l := &link{proxy: p, client: client, server: server, asked: map[int32]exchange{}}
	p.work.Go(func() {
		l.requests()
		p.drop(server)
	})
	l.replies(ctx)
	p.drop(server)
}

// link is one client's connection and its counterpart to the broker.
type link struct {
	proxy          *Proxy
	client, server net.Conn

	mu    sync.Mutex
	asked map[int32]exchange // requests whose answers may name brokers, by correlation id
}

// requests forwards what the client sends until it closes.
func (l *link) requests() {
	var frames assembler
	buf := make([]byte, readBuffer)
	for {
		n, err := l.client.Read(buf)
		for p := buf[:n]; len(p) > 0; {
			frame, used := frames.next(p)
			p = p[used:]
			if frame == nil {
				break
			}
			if req, ok := parseRequest(frame, nil); ok && !frames.opaque {
				l.note(req)
			}
			if _, err := l.server.Write(frame); err != nil {
				return
			}
		}
		if err != nil {
			_, _ = l.server.Write(frames.partial) // the client is gone in the middle of a request
			return
		}
	}
}

// note remembers a request whose answer may name brokers.
func (l *link) note(req Request) {
	switch req.API {
	case kmsg.Metadata, kmsg.FindCoordinator, kmsg.DescribeCluster, kmsg.Produce, kmsg.Fetch, kmsg.ShareFetch, kmsg.ShareAcknowledge:
		if req.answered() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.asked[req.CorrelationID] = exchange{api: req.API, version: req.Version}
		}
	default: // the answers to all others name none
	}
}

// replies hands the client what the broker answers, until the connection to the broker ends. Each answer is written whole before more is
// read, so what the tap does after an answer comes after the client has got it.
func (l *link) replies(ctx context.Context) {
	r := reader{buf: bufio.NewReaderSize(l.server, readBuffer)}
	for {
		frame, whole, err := r.readFrame()
		if whole && err == nil {
			var bad error
			if frame, bad = l.rename(ctx, frame); bad != nil {
				l.proxy.fail(bad)
				return
			}
		}
		if _, writeErr := l.client.Write(frame); err != nil || writeErr != nil {
			return
		}
	}
}

// fail remembers the first error.
func (p *Proxy) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil && !p.closed && !errors.Is(err, net.ErrClosed) {
		p.err = err
	}
}

// rename returns a reply with the proxy's addresses in place of the brokers'.
func (l *link) rename(ctx context.Context, frame []byte) ([]byte, error) {
	id := int32(binary.BigEndian.Uint32(frame[4:]))
	l.mu.Lock()
	x, ok := l.asked[id]
	delete(l.asked, id)
	l.mu.Unlock()
	if !ok {
		return frame, nil
	}
	decoded, err := decodeReply(frame, x.api, x.version)
	if err != nil {
		return nil, err
	}
	hosts := hostsIn(decoded)
	if len(hosts) == 0 {
		return frame, nil
	}
	for _, h := range hosts {
		addr, err := l.proxy.front(ctx, net.JoinHostPort(*h.host, fmt.Sprint(*h.port)))
		if err != nil {
			return nil, err
		}
		tcp := addr.(*net.TCPAddr)
		*h.host, *h.port = tcp.IP.String(), int32(tcp.Port)
	}
	return encodeReply(frame, decoded), nil
}

// hostPort is where an answer names a broker's address.
type hostPort struct {
	host *string
	port *int32
}

// hostsIn returns where an answer names brokers. An answer that names none, for an error, has an empty host.
func hostsIn(decoded kmsg.Response) (hosts []hostPort) {
	add := func(host *string, port *int32) {
		if *host != "" {
			hosts = append(hosts, hostPort{host, port})
		}
	}
	switch resp := decoded.(type) {
	case *kmsg.MetadataResponse:
		for i := range resp.Brokers {
			add(&resp.Brokers[i].Host, &resp.Brokers[i].Port)
		}
	case *kmsg.FindCoordinatorResponse:
		add(&resp.Host, &resp.Port)
		for i := range resp.Coordinators {
			add(&resp.Coordinators[i].Host, &resp.Coordinators[i].Port)
		}
	case *kmsg.DescribeClusterResponse:
		for i := range resp.Brokers {
			add(&resp.Brokers[i].Host, &resp.Brokers[i].Port)
		}
	case *kmsg.ProduceResponse: // the brokers of new leaders (KIP-951)
		for i := range resp.Brokers {
			add(&resp.Brokers[i].Host, &resp.Brokers[i].Port)
		}
	case *kmsg.FetchResponse:
		for i := range resp.Brokers {
			add(&resp.Brokers[i].Host, &resp.Brokers[i].Port)
		}
	case *kmsg.ShareFetchResponse:
		for i := range resp.NodeEndpoints {
			add(&resp.NodeEndpoints[i].Host, &resp.NodeEndpoints[i].Port)
		}
	case *kmsg.ShareAcknowledgeResponse:
		for i := range resp.NodeEndpoints {
			add(&resp.NodeEndpoints[i].Host, &resp.NodeEndpoints[i].Port)
		}
	}
	return hosts
}
