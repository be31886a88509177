package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/eos-pipe/eos-pipe/processor"
)

// When a run is to drain, /readyz says so before the lanes are told, and until they have ended; then nobody listens any more.
func TestReadyIsOffBeforeTheDrain(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.ClusterID(t.Name()), kfake.NumBrokers(1), kfake.SeedTopics(1, "in", "out"), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	s := streams{Log: slog.New(slog.DiscardHandler)}
	opts := runOptions{
		connection: connection{BootstrapServers: cluster.ListenAddrs()}, OnError: "stop", From: []string{"in"}, To: "out", Group: "g", TransactionalID: "g-a", InstanceID: "a", Lanes: 1,
		Start: "earliest", GroupProtocol: "classic", SessionTimeout: 10 * time.Second, TransactionTimeout: 10 * time.Second, HTTP: "127.0.0.1:0",
	}
	shown := opts.monitored(s)
	p, err := processor.New(shown.observe(opts.config(s.Log)), opts.pipe())
	require.NoError(t, err)
	drain, signal := context.WithCancel(t.Context())
	ctx, hide, err := shown.start(drain, s)
	require.NoError(t, err)
	ready := func() (int, string) {
		t.Helper()
		resp, err := http.Get("http://" + shown.m.Addr().String() + "/readyz")
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	for code, _ := ready(); code != http.StatusOK; code, _ = ready() {
		require.NoError(t, t.Context().Err())
	}
	seen := make(chan bool)
	context.AfterFunc(ctx, func() { seen <- shown.m.Status().Draining }) // with the lanes
	signal()
	require.True(t, <-seen)
	require.NoError(t, <-done)
	code, body := ready()
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "draining")
	at := shown.m.Addr().String()
	hide()
	_, err = http.Get("http://" + at + "/readyz")
	require.Error(t, err)
}
