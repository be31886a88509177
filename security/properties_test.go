package security_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/certtest"
	"github.com/eos-pipe/eos-pipe/security"
)

// What a client.properties of Kafka's tools says is understood: names, escapes, continued lines and quotes as in Java.
func TestFromProperties(t *testing.T) {
	t.Parallel()
	p, err := security.FromProperties(strings.NewReader(`
# comments
! of both kinds
bootstrap.servers = a:9092, b:9092
security.protocol : sasl_ssl
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
    username="bob" \
    password="a\\"b=c;d\\\\e${x}";
ssl.truststore.location=/etc/ca.p12
ssl.truststore.type=PKCS12
ssl.truststore.password=open
ssl.endpoint.identification.algorithm=
client.id=me
request.timeout.ms=1
`))
	require.NoError(t, err)
	require.Equal(t, []string{"a:9092", "b:9092"}, p.BootstrapServers)
	require.Equal(t, []string{"request.timeout.ms"}, p.Ignored)
	require.Equal(t, "me", p.ClientID)
	c := p.Config
	require.NoError(t, c.Validate())
	require.Equal(t, security.SASLSSL, c.Protocol)
	require.Equal(t, security.ScramSHA512, c.SASL.Mechanism)
	require.Equal(t, "bob", c.SASL.Username)
	require.Equal(t, `a"b=c;d\e${x}`, read(t, c.SASL.Password))
	require.Equal(t, "/etc/ca.p12", c.TLS.CAFile)
	require.Equal(t, "open", read(t, c.TLS.CAPassword))
	require.True(t, c.TLS.SkipHostVerify)
}

func read(t *testing.T, s security.Secret) string {
	t.Helper()
	value, err := s.Read()
	require.NoError(t, err)
	return value
}

// What would change the connection and is not supported is refused, all of it at once.
func TestPropertiesRefused(t *testing.T) {
	t.Parallel()
	_, err := security.FromProperties(strings.NewReader(`
ssl.cipher.suites=X
ssl.keystore.type=BCFKS
sasl.mechanism.inter.broker.protocol=PLAIN
ssl.engine.factory.class=x
security.providers=x
config.providers=file
sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required;
ssl.enabled.protocols=TLSv1
sasl.client.callback.handler.class=my.Handler
ssl.endpoint.identification.algorithm=ldaps
client.id=fine
`))
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 10)
	require.Equal(t, "ssl.cipher.suites is not supported: Go chooses among safe ciphers; remove it", lines[0])
	for _, line := range lines {
		require.Regexp(t, "remove (it|them)|write the values|may be|TLS before 1.2|login module", line, "each says what to do")
	}
	require.Contains(t, err.Error(), "the login module com.sun.security.auth.module.Krb5LoginModule is not supported")
}

// Certificates that stand in the file itself connect, on one line or with line feeds; PEM is PEM whatever ssl.keystore.type says.
func TestPropertiesWithCertificates(t *testing.T) {
	t.Parallel()
	a := certtest.NewAuthority(t, "a")
	p := a.Issue("client")
	b := newBroker(t, a.Issue("b").TLS(), a)
	for name, fold := range map[string]func([]byte) string{
		"spaces":     func(pem []byte) string { return strings.ReplaceAll(strings.TrimSpace(string(pem)), "\n", " ") },
		"line feeds": func(pem []byte) string { return strings.ReplaceAll(string(pem), "\n", `\n`) },
	} {
		props, err := security.FromProperties(strings.NewReader("security.protocol=SSL\nssl.truststore.type=PEM\nssl.keystore.type=PEM\nssl.truststore.certificates=" + fold(a.PEM) +
			"\nssl.keystore.certificate.chain=" + fold(p.Cert) + "\nssl.keystore.key=" + fold(p.Key) + "\n"))
		require.NoError(t, err)
		require.NoError(t, ping(t, b.Cluster, options(t, props.Config)), name)
	}
}

// A file's passwords are read from it again; that everybody may read it is said, if it holds one.
func TestFromFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "client.properties")
	write := func(password string) {
		require.NoError(t, os.WriteFile(path, []byte("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\n"+
			`sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="`+password+`";`), 0o600))
	}
	write("one")
	p, err := security.FromFile(path)
	require.NoError(t, err)
	require.False(t, p.Open)
	require.Equal(t, "one", read(t, p.Config.SASL.Password))
	write("two")
	require.Equal(t, "two", read(t, p.Config.SASL.Password))
	require.NoError(t, os.Chmod(path, 0o644))
	p, err = security.FromFile(path)
	require.NoError(t, err)
	require.True(t, p.Open)
	require.NoError(t, os.WriteFile(path, []byte("security.protocol=SSL\n"), 0o600))
	p, err = security.FromFile(path)
	require.NoError(t, err)
	require.False(t, p.Open)
	_, err = security.FromFile(path + ".missing")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// One version of TLS alone is used alone; older versions in a list are passed over, as long as one that is safe is there.
func TestEnabledProtocols(t *testing.T) {
	t.Parallel()
	a := certtest.NewAuthority(t, "a")
	b := newBroker(t, a.Issue("b").TLS(), nil)
	ca := certtest.File(t, t.TempDir(), "ca.pem", a.PEM)
	for value, want := range map[string][]uint16{
		"TLSv1.2":               {tls.VersionTLS12},
		"TLSv1.3":               {tls.VersionTLS13},
		"TLSv1.3, TLSv1.2":      {tls.VersionTLS12, tls.VersionTLS13},
		"TLSv1.2,TLSv1.1,TLSv1": {tls.VersionTLS12},
	} {
		p, err := security.FromProperties(strings.NewReader("security.protocol=SSL\nssl.truststore.location=" + ca + "\nssl.enabled.protocols=" + value + "\n"))
		require.NoError(t, err, value)
		require.NoError(t, ping(t, b.Cluster, options(t, p.Config)), value)
		require.Equal(t, want, b.offered(), value)
	}
}
