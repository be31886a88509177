package processor_test

import (
	"context"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/processor"
)

func TestTempAdvertised(t *testing.T) {
	b := setup(t)
	// The bootstrap server answers, and the address that it advertises refuses.
	advertised := kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "localhost:") {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	})

	cfg := b.config()
	cfg.BootstrapServers, cfg.Session.ConnectTimeout = []string{strings.Replace(b.servers[0], "127.0.0.1", "localhost", 1)}, time.Second
	cfg.Session.Client = []kgo.Opt{advertised}
	p, err := processor.New(cfg, double)
	require.NoError(t, err)
	began := time.Now()
	err = p.Run(t.Context())
	t.Log(time.Since(began), err)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}
