package security_test

import (
	"os"
	"path/filepath"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/certtest"
	"github.com/eos-pipe/eos-pipe/security"
)

const mark = "\xEF\xBB\xBF"

// asUTF16 is a text as PowerShell's > writes it.
func asUTF16(text string) []byte {
	out := []byte{0xFF, 0xFE}
	for _, unit := range utf16.Encode([]rune(text)) {
		out = append(out, byte(unit), byte(unit>>8))
	}
	return out
}

// Byte order marks in a bundle of authorities, in front and where files were put together, take no authority away: brokers of each are trusted.
func TestBundleWithByteOrderMarks(t *testing.T) {
	t.Parallel()
	first, second := certtest.NewAuthority(t, "first"), certtest.NewAuthority(t, "second")
	bundle := certtest.File(t, t.TempDir(), "ca.pem", []byte(mark+string(first.PEM)+mark+string(second.PEM)))
	for _, a := range []*certtest.Authority{first, second} {
		b := newBroker(t, a.Issue("b").TLS(), nil)
		require.NoError(t, ping(t, b.Cluster, options(t, security.Config{Protocol: security.SSL, TLS: security.TLS{CAFile: bundle}})))
	}
}

// A certificate of a bundle that cannot be read is an error, and not an authority that is quietly not trusted.
func TestBundleIsReadWhole(t *testing.T) {
	t.Parallel()
	a := string(certtest.NewAuthority(t, "a").PEM)
	for text, want := range map[string]string{
		"":                    "is empty",
		"-----BEGIN EC KEY":   "no certificate",
		a + "x" + a:           "2 certificates begin there, but only 1 can be read",
		a[:60] + "!" + a[61:]: "1 certificates begin there, but only 0 can be read",
		a + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": "certificate 2 of 2 cannot be read",
		string(asUTF16(a)): "UTF-16",
	} {
		c := security.Config{Protocol: security.SSL, TLS: security.TLS{CAFile: certtest.File(t, t.TempDir(), "ca.pem", []byte(text))}}
		_, err := c.Options()
		require.ErrorContains(t, err, want, "%.70q", text)
	}
}

// A secret's file and a client.properties are read without the mark in front of them; UTF-16 is refused by name, and does not become the password.
func TestTextsFromWindows(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	write := func(content []byte) { require.NoError(t, os.WriteFile(path, content, 0o600)) }
	secret := security.MustSecret("file:" + path)
	write([]byte(mark + "pass\r\n"))
	require.Equal(t, "pass", read(t, secret))
	write(asUTF16("pass"))
	_, err := secret.Read()
	require.ErrorContains(t, err, "UTF-16")

	write([]byte(mark + "bootstrap.servers=a:9092\r\nsecurity.protocol=SSL\r\n"))
	p, err := security.FromFile(path)
	require.NoError(t, err)
	require.Equal(t, []string{"a:9092"}, p.BootstrapServers)
	require.Empty(t, p.Ignored)
	write(asUTF16("bootstrap.servers=a:9092"))
	_, err = security.FromFile(path)
	require.ErrorContains(t, err, "UTF-16")
}
