package processor_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/security"
)

// Config.Security is how the lanes log in, and how the end of the input is looked for. Its faults, and those of its
// files, are reported by New together with the others.
func TestConfigSecurity(t *testing.T) {
	t.Setenv("EOS_TEST_PASSWORD", "secret")
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "in", "out"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", "secret"),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.SASL(plain.Auth{User: "user", Pass: "secret"}.AsMechanism()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	b := &broker{t: t, fake: cluster, servers: cluster.ListenAddrs(), cl: cl}
	b.produce(20)
	cfg := b.config()
	cfg.Security = security.Config{Protocol: security.SASLPlaintext, SASL: security.SASL{
		Mechanism: security.Plain, Username: "user", Password: security.MustSecret("env:EOS_TEST_PASSWORD"), AllowCleartext: true,
	}}
	var count processor.Counter
	p, err := processor.New(counted(cfg, &count), double)
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.EqualValues(t, 20, count.Stats().In)

	cfg.Security.SASL.AllowCleartext, cfg.Lanes = false, -1
	_, err = processor.New(cfg, double)
	require.ErrorContains(t, err, "PLAIN without TLS is refused")
	require.ErrorContains(t, err, "-1 lanes")

	cfg.Lanes = 1
	cfg.Security = security.Config{Protocol: security.SSL, TLS: security.TLS{CAFile: t.TempDir() + "/ca.pem"}}
	_, err = processor.New(cfg, double)
	require.ErrorContains(t, err, "ca.pem")
	cfg.Security = security.Config{Protocol: security.SSL}
	_, err = processor.New(cfg, double)
	require.NoError(t, err)
	cfg.Session.Client = []kgo.Opt{kgo.Dialer(new(net.Dialer).DialContext)}
	_, err = processor.New(cfg, double)
	require.ErrorContains(t, err, "kgo.Dialer, which would replace it")
}
