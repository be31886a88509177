package integration

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// proxied returns a proxy in front of the pipe's brokers, which connects to them with dial. It ends with the test, which fails if
// something got past it.
func (p *pipe) proxied(dial wiretap.DialFunc) *wiretap.Proxy {
	p.t.Helper()
	proxy, err := wiretap.NewProxy(dial, p.cluster.Bootstrap()...)
	require.NoError(p.t, err)
	p.t.Cleanup(func() {
		proxy.Close()
		require.NoError(p.t, proxy.Err())
	})
	return proxy
}

// startBehind starts an instance of `eos-pipe run` that knows the brokers by the proxy only.
func (p *pipe) startBehind(proxy *wiretap.Proxy, instance string) *process {
	p.t.Helper()
	ends := p.ends()
	require.Equal(p.t, "-b", ends[0])
	ends[1] = strings.Join(proxy.Bootstrap(), ",")
	args := []string{"run", "--group", p.group, "--instance-id", instance, "--provenance", "--json", "--log-level", "debug"}
	return p.spawn(instance, slices.Concat(args, ends, p.flags))
}

// tapFor returns a tap that ends with the test.
func tapFor(t *testing.T, options ...wiretap.Option) *wiretap.Tap {
	tap := wiretap.New(options...)
	t.Cleanup(tap.Close)
	return tap
}
