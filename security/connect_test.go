package security_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/eos-pipe/eos-pipe/internal/certtest"
	"github.com/eos-pipe/eos-pipe/security"
)

// broker is kfake behind TLS, whose certificate can be changed.
type broker struct {
	*kfake.Cluster
	mu   sync.Mutex
	cert tls.Certificate
	seen []string // common names of the clients' certificates

	versions []uint16 // of TLS that the last client has offered, least first
}

// newBroker takes connections with that certificate; clients is the authority of the clients' certificates, nil: they need none.
func newBroker(t *testing.T, cert tls.Certificate, clients *certtest.Authority, opts ...kfake.Opt) *broker {
	t.Helper()
	b := &broker{cert: cert}
	cfg := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.versions = slices.Sorted(slices.Values(hello.SupportedVersions))
		return &b.cert, nil
	}}
	if clients != nil {
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		cfg.ClientCAs.AddCert(clients.Cert)
		cfg.VerifyConnection = func(s tls.ConnectionState) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.seen = append(b.seen, s.PeerCertificates[0].Subject.CommonName)
			return nil
		}
	}
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.TLS(cfg)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	b.Cluster = c
	return b
}

func (b *broker) use(cert tls.Certificate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cert = cert
}

func (b *broker) offered() []uint16 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.versions
}

func (b *broker) lastSeen() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.seen) == 0 {
		return ""
	}
	return b.seen[len(b.seen)-1]
}

// ping makes a new client by opts, and asks the broker something.
func ping(t *testing.T, c *kfake.Cluster, opts []kgo.Opt, more ...kgo.Opt) error {
	t.Helper()
	cl, err := kgo.NewClient(append(append([]kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.RetryTimeout(2 * time.Second)}, opts...), more...)...)
	require.NoError(t, err)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = kadm.NewClient(cl).ListTopics(ctx)
	return err
}

func options(t *testing.T, c security.Config) []kgo.Opt {
	t.Helper()
	opts, err := c.Options()
	require.NoError(t, err)
	return opts
}

// What is accepted as the broker's certificate, and what is not.
func TestBrokerCertificate(t *testing.T) {
	t.Parallel()
	right, wrong := certtest.NewAuthority(t, "right"), certtest.NewAuthority(t, "wrong")
	dir := t.TempDir()
	ca, other := certtest.File(t, dir, "ca.pem", right.PEM), certtest.File(t, dir, "other.pem", wrong.PEM)
	elsewhere := func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"kafka.example.org"} }
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	for _, test := range []struct {
		name   string
		tls    security.TLS
		cert   certtest.Pair
		reason string // "" where it is accepted
	}{
		{"right authority", security.TLS{CAFile: ca}, right.Issue("b"), ""},
		{"wrong authority", security.TLS{CAFile: other}, right.Issue("b"), "signed by unknown authority"},
		{"the machine's authorities", security.TLS{}, right.Issue("b"), "unknown authority"},
		{"wrong host", security.TLS{CAFile: ca}, right.Issue("b", elsewhere), "cannot validate certificate for 127.0.0.1"},
		{"the name that is asked for", security.TLS{CAFile: ca, ServerName: "kafka.example.org"}, right.Issue("b", elsewhere), ""},
		{"any host", security.TLS{CAFile: ca, SkipHostVerify: true}, right.Issue("b", elsewhere), ""},
		{"any host, wrong authority", security.TLS{CAFile: other, SkipHostVerify: true}, right.Issue("b", elsewhere), "signed by unknown authority"},
		{"any host, expired", security.TLS{CAFile: ca, SkipHostVerify: true}, right.Issue("b", expired), "expired"},
		{"expired", security.TLS{CAFile: ca}, right.Issue("b", expired), "expired"},
		{"anything", security.TLS{InsecureSkipVerify: true}, wrong.Issue("b", elsewhere, expired), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBroker(t, test.cert.TLS(), nil)
			err := ping(t, b.Cluster, options(t, security.Config{Protocol: security.SSL, TLS: test.tls}))
			if test.reason == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.reason)
			require.True(t, security.IsCertificateError(err))
		})
	}
}

// A client shows its certificate, be it PEM in two files, in one, or a PKCS#12 store; without one, or with one of another
// authority, it is refused.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	a, foreign := certtest.NewAuthority(t, "a"), certtest.NewAuthority(t, "foreign")
	p, f := a.Issue("client"), foreign.Issue("client")
	dir := t.TempDir()
	c := p.TLS()
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	require.NoError(t, err)
	store, err := pkcs12.Modern.Encode(c.PrivateKey, leaf, []*x509.Certificate{a.Cert}, "store password")
	require.NoError(t, err)
	trust, err := pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{a.Cert}, "trust password")
	require.NoError(t, err)
	ca := certtest.File(t, dir, "ca.pem", a.PEM)
	cert, key := certtest.File(t, dir, "cert.pem", p.Cert), certtest.File(t, dir, "key.pem", p.Key)
	password := security.MustSecret("file:" + certtest.File(t, dir, "password", []byte("store password\n")))
	trustPassword := security.MustSecret("file:" + certtest.File(t, dir, "trust", []byte("trust password")))
	for _, test := range []struct {
		name string
		tls  security.TLS
		ok   bool
	}{
		{"two files", security.TLS{CAFile: ca, CertFile: cert, KeyFile: key}, true},
		{"one file", security.TLS{CAFile: ca, CertFile: certtest.File(t, dir, "both.pem", append(p.Key, p.Cert...))}, true},
		{"stores", security.TLS{CAFile: certtest.File(t, dir, "trust.p12", trust), CAPassword: trustPassword, CertFile: certtest.File(t, dir, "client.p12", store), KeyPassword: password}, true},
		{"none", security.TLS{CAFile: ca}, false},
		{"of another authority", security.TLS{CAFile: ca, CertFile: certtest.File(t, dir, "f.pem", append(f.Key, f.Cert...))}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBroker(t, a.Issue("broker").TLS(), a)
			err := ping(t, b.Cluster, options(t, security.Config{Protocol: security.SSL, TLS: test.tls}))
			if test.ok {
				require.NoError(t, err)
				require.Equal(t, "client", b.lastSeen())
				return
			}
			require.Error(t, err)
			require.True(t, security.IsCertificateError(err), "%v", err)
		})
	}
}

// Authorities and the client's certificate are renewed in a run: the next connection takes what the files hold by then.
// While a file is half written, or the key not yet that of the certificate, what was there before is used.
func TestCertificatesAreReadAgain(t *testing.T) {
	t.Parallel()
	old, renewed := certtest.NewAuthority(t, "old"), certtest.NewAuthority(t, "new")
	dir := t.TempDir()
	first := old.Issue("first")
	ca, cert, key := certtest.File(t, dir, "ca.pem", old.PEM), certtest.File(t, dir, "cert.pem", first.Cert), certtest.File(t, dir, "key.pem", first.Key)
	var log bytes.Buffer
	opts := options(t, security.Config{
		Protocol: security.SSL, TLS: security.TLS{CAFile: ca, CertFile: cert, KeyFile: key},
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	b := newBroker(t, old.Issue("broker").TLS(), old)
	require.NoError(t, ping(t, b.Cluster, opts))
	require.Equal(t, "first", b.lastSeen())

	second := old.Issue("second")
	certtest.File(t, dir, "cert.pem", second.Cert) // its key is still to come
	require.NoError(t, ping(t, b.Cluster, opts))
	require.Equal(t, "first", b.lastSeen())
	require.Contains(t, log.String(), "cannot be read again")
	certtest.File(t, dir, "key.pem", second.Key)
	require.NoError(t, ping(t, b.Cluster, opts))
	require.Equal(t, "second", b.lastSeen())

	b.use(renewed.Issue("broker").TLS())
	require.True(t, security.IsCertificateError(ping(t, b.Cluster, opts)))
	certtest.File(t, dir, "ca.pem", renewed.PEM)
	require.NoError(t, ping(t, b.Cluster, opts))
	require.NoError(t, os.Remove(ca))
	require.NoError(t, ping(t, b.Cluster, opts))
}

// PLAIN and SCRAM log in; a wrong password is the brokers' error; a password that is changed in its file is taken by the
// next connection.
func TestPasswords(t *testing.T) {
	t.Parallel()
	a := certtest.NewAuthority(t, "a")
	ca := certtest.File(t, t.TempDir(), "ca.pem", a.PEM)
	for _, mechanism := range []security.Mechanism{security.Plain, security.ScramSHA256, security.ScramSHA512} {
		t.Run(string(mechanism), func(t *testing.T) {
			t.Parallel()
			b := newBroker(t, a.Issue("b").TLS(), nil, kfake.EnableSASL(), kfake.Superuser(string(mechanism), "user", "right"))
			dir := t.TempDir()
			path := certtest.File(t, dir, "password", []byte("wrong\n"))
			opts := options(t, security.Config{
				Protocol: security.SASLSSL, TLS: security.TLS{CAFile: ca},
				SASL: security.SASL{Mechanism: mechanism, Username: "user", Password: security.MustSecret("file:" + path)},
			})
			require.Error(t, ping(t, b.Cluster, opts)) // kfake closes the connection; Kafka says SASL_AUTHENTICATION_FAILED
			certtest.File(t, dir, "password", []byte("right\n"))
			require.NoError(t, ping(t, b.Cluster, opts))
			certtest.File(t, dir, "password", nil) // being written
			require.NoError(t, ping(t, b.Cluster, opts))
		})
	}
}

// Without TLS, SCRAM works as it is, and PLAIN only where that is allowed.
func TestCleartext(t *testing.T) {
	t.Setenv("SECURITY_TEST_PASSWORD", "right")
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", "right"), kfake.Superuser("SCRAM-SHA-256", "user", "right"))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	cfg := security.Config{Protocol: security.SASLPlaintext, SASL: security.SASL{
		Mechanism: security.ScramSHA256, Username: "user", Password: security.MustSecret("env:SECURITY_TEST_PASSWORD"),
	}}
	require.NoError(t, ping(t, c, options(t, cfg)))
	cfg.SASL.Mechanism = security.Plain
	_, err = cfg.Options()
	require.ErrorContains(t, err, "PLAIN without TLS is refused")
	cfg.SASL.AllowCleartext = true
	require.NoError(t, ping(t, c, options(t, cfg)))
}

// A broker that takes a connection and says nothing does not hold a client for good.
func TestSilentBroker(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	cl, err := kgo.NewClient(append(options(t, security.Config{Protocol: security.SSL}), kgo.SeedBrokers(l.Addr().String()))...)
	require.NoError(t, err)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err = cl.Ping(ctx)
	require.True(t, errors.Is(err, context.DeadlineExceeded), "%v", err)
}
