package eos

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// clientOf returns a client with the options of a session that has these, and is not connected.
func clientOf(t *testing.T, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	cfg := Config{BootstrapServers: []string{"127.0.0.1:1"}, Group: "g", TransactionalID: "t", Topics: []string{"in"}, Tuning: Tuning{Client: more}}.withDefaults()
	d, err := newDecompressor(1<<20, cfg.InputBuffer)
	require.NoError(t, err)
	s := &Session{cfg: cfg, decompressor: d, fetch: newFetchSize(1<<20, cfg.InputBuffer, 1), dial: new(net.Dialer).DialContext}
	s.throttles = newThrottles(s)
	s.plain, err = kgo.NewClient(s.connection()...)
	require.NoError(t, err)
	t.Cleanup(s.plain.Close)
	gts, err := kgo.NewGroupTransactSession(s.options(&client{s: s})...)
	require.NoError(t, err)
	t.Cleanup(gts.Close)
	return gts.Client()
}

// Partitions that are added to the input are found within 30 s, as new topics are, or sooner where the user has it so.
func TestMetadataAge(t *testing.T) {
	t.Parallel()
	require.Equal(t, 30*time.Second, clientOf(t).OptValue(kgo.MetadataMaxAge))
	require.Equal(t, time.Second, clientOf(t, kgo.MetadataMaxAge(time.Second)).OptValue(kgo.MetadataMaxAge))
}

// The client id is the session's own, or what the user's options say.
func TestClientID(t *testing.T) {
	t.Parallel()
	require.Equal(t, DefaultClientID, clientOf(t).OptValue(kgo.ClientID))
	require.Equal(t, "mine", clientOf(t, kgo.ClientID("mine")).OptValue(kgo.ClientID))
}
