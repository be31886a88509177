package proc

import (
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// Proxied returns a proxy in front of the pipe's brokers, which connects to them with dial. It ends with the test, which fails if
// something got past it.
func (p *Pipe) Proxied(dial wiretap.DialFunc) *wiretap.Proxy {
	p.T.Helper()
	proxy, err := wiretap.NewProxy(dial, p.Cluster.Bootstrap()...)
	require.NoError(p.T, err)
	p.T.Cleanup(func() {
		proxy.Close()
		require.NoError(p.T, proxy.Err())
	})
	return proxy
}

// StartBehind starts an instance of `eos-pipe run` that knows the brokers by the proxy only.
func (p *Pipe) StartBehind(proxy *wiretap.Proxy, instance string) *Process {
	p.T.Helper()
	ends := p.Ends()
	require.Equal(p.T, "-b", ends[0])
	ends[1] = strings.Join(proxy.Bootstrap(), ",")
	args := []string{"run", "--group", p.Group, "--instance-id", instance, "--provenance", "--json", "--log-level", "debug"}
	return p.Spawn(instance, slices.Concat(args, ends, p.Flags))
}
