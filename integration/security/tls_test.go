package security

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/integration/internal/guard"
	"github.com/eos-pipe/eos-pipe/internal/certtest"
	"github.com/eos-pipe/eos-pipe/security"
)

// mutual is how a client connects that shows a certificate.
func mutual(g *guard.Broker) security.Config {
	return security.Config{Protocol: security.SSL, TLS: security.TLS{CAFile: g.Dir + "/ca.pem", CertFile: g.Dir + "/cert.pem", KeyFile: g.Dir + "/key.pem"}}
}

// certify gives the client a certificate of that authority, as two files that change one after the other.
func certify(g *guard.Broker, by *certtest.Authority) {
	g.T.Helper()
	p := by.Issue(guard.User)
	certtest.File(g.T, g.Dir, "cert.pem", p.Cert)
	certtest.File(g.T, g.Dir, "key.pem", p.Key)
}

// Certificates end and are renewed on both sides while a session runs: the broker gets one of another authority, and takes no
// clients of the old one any more. The client's files are changed, and all connections are made anew. The session goes on.
// Without a certificate, and with one of the old authority, it is refused at once.
func TestSecurityCertificatesChange(t *testing.T) {
	clients := certtest.NewAuthority(t, "clients")
	g := guard.New(t, "SSL", map[string]string{
		"ssl.client.auth": "required", "ssl.truststore.certificates": guard.OnOneLine(clients.PEM),
		"ssl.principal.mapping.rules": "RULE:^CN=([a-z]+)$/$1/,DEFAULT",
	})
	g.Grant(g.ACLs()...)
	certify(g, clients)
	w := g.Work(g.Open(g.Config(mutual(g))))
	stop := g.Feed()
	works := func() {
		t.Helper()
		commits := w.Commits.Load()
		g.Eventually("it works", func() bool { return w.Commits.Load() > commits+20 })
	}
	works()

	brokers2, clients2 := certtest.NewAuthority(t, "brokers 2"), certtest.NewAuthority(t, "clients 2")
	var changes []kadm.AlterConfig
	for name, value := range guard.Stores(brokers2, clients2) {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: "listener.name.secure." + name, Value: new(guard.Unfolded(value))})
	}
	results, err := g.Adm.AlterBrokerConfigs(t.Context(), changes, 1)
	require.NoError(t, err)
	for _, r := range results {
		require.NoError(t, r.Err, r.ErrMessage)
	}
	certtest.File(t, g.Dir, "ca.pem", brokers2.PEM)
	certify(g, clients2)
	works() // on the old connections
	stop()
	g.Cluster.Kill(t, 1)
	g.Cluster.Restart(t, 1)
	stop = g.Feed()
	works()
	stop()
	g.CaughtUp()
	w.Stop(t)
	g.RequireOnce()

	refused := mutual(g)
	refused.TLS.CertFile, refused.TLS.KeyFile = "", ""
	requireRefused(g, refused)
	certify(g, clients)
	requireRefused(g, mutual(g))
	certtest.File(t, g.Dir, "ca.pem", g.Brokers.PEM)
	certify(g, clients2)
	requireRefused(g, mutual(g))
}

// requireRefused opens a session, which must fail for a certificate.
func requireRefused(g *guard.Broker, sec security.Config) {
	g.T.Helper()
	ctx, cancel := context.WithTimeout(g.T.Context(), bench.Deadline)
	defer cancel()
	_, err := eos.Open(ctx, g.Config(sec))
	require.Error(g.T, err)
	require.True(g.T, security.IsCertificateError(err), "%v", err)
}
