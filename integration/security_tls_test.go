package integration

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/certtest"
	"github.com/eos-pipe/eos-pipe/security"
)

// mutual is how a client connects that shows a certificate.
func (g *guarded) mutual() security.Config {
	return security.Config{Protocol: security.SSL, TLS: security.TLS{CAFile: g.dir + "/ca.pem", CertFile: g.dir + "/cert.pem", KeyFile: g.dir + "/key.pem"}}
}

// certify gives the client a certificate of that authority, as two files that change one after the other.
func (g *guarded) certify(by *certtest.Authority) {
	g.t.Helper()
	p := by.Issue(guardedUser)
	certtest.File(g.t, g.dir, "cert.pem", p.Cert)
	certtest.File(g.t, g.dir, "key.pem", p.Key)
}

// Certificates end and are renewed on both sides while a session runs: the broker gets one of another authority, and takes no
// clients of the old one any more. The client's files are changed, and all connections are made anew. The session goes on.
// Without a certificate, and with one of the old authority, it is refused at once.
func TestSecurityCertificatesChange(t *testing.T) {
	clients := certtest.NewAuthority(t, "clients")
	g := newGuarded(t, "SSL", map[string]string{
		"ssl.client.auth": "required", "ssl.truststore.certificates": onOneLine(clients.PEM),
		"ssl.principal.mapping.rules": "RULE:^CN=([a-z]+)$/$1/,DEFAULT",
	})
	g.grant(g.acls()...)
	g.certify(clients)
	w := g.work(g.open(g.config(g.mutual())))
	stop := g.feed()
	works := func() {
		t.Helper()
		commits := w.commits.Load()
		g.eventually("it works", func() bool { return w.commits.Load() > commits+20 })
	}
	works()

	brokers2, clients2 := certtest.NewAuthority(t, "brokers 2"), certtest.NewAuthority(t, "clients 2")
	var changes []kadm.AlterConfig
	for name, value := range storesOf(brokers2, clients2) {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: "listener.name.secure." + name, Value: new(unfolded(value))})
	}
	results, err := g.adm.AlterBrokerConfigs(t.Context(), changes, 1)
	require.NoError(t, err)
	for _, r := range results {
		require.NoError(t, r.Err, r.ErrMessage)
	}
	certtest.File(t, g.dir, "ca.pem", brokers2.PEM)
	g.certify(clients2)
	works() // on the old connections
	stop()
	g.kafka.Kill(t, 1)
	g.kafka.Restart(t, 1)
	stop = g.feed()
	works()
	stop()
	g.caughtUp()
	w.stop(t)
	g.requireOnce()

	refused := g.mutual()
	refused.TLS.CertFile, refused.TLS.KeyFile = "", ""
	g.requireRefused(refused)
	g.certify(clients)
	g.requireRefused(g.mutual())
	certtest.File(t, g.dir, "ca.pem", g.brokers.PEM)
	g.certify(clients2)
	g.requireRefused(g.mutual())
}

// requireRefused opens a session, which must fail for a certificate.
func (g *guarded) requireRefused(sec security.Config) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), sessionDeadline)
	defer cancel()
	_, err := eos.Open(ctx, g.config(sec))
	require.Error(g.t, err)
	require.True(g.t, security.IsCertificateError(err), "%v", err)
}
