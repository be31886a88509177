package security_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/certtest"
	"github.com/eos-pipe/eos-pipe/security"
)

// What does not fit together is said, all of it at once.
func TestValidate(t *testing.T) {
	t.Parallel()
	secret := security.MustSecret("env:NOT_READ")
	scram := security.SASL{Mechanism: security.ScramSHA512, Username: "u", Password: secret}
	for _, test := range []struct {
		name   string
		config security.Config
		want   []string
	}{
		{"nothing", security.Config{}, nil},
		{"scram over TLS", security.Config{Protocol: security.SASLSSL, SASL: scram}, nil},
		{"scram without TLS", security.Config{Protocol: security.SASLPlaintext, SASL: scram}, nil},
		{"iam", security.Config{Protocol: security.SASLSSL, SASL: security.SASL{Mechanism: security.AWSMSKIAM}}, nil},
		{"unknown protocol", security.Config{Protocol: "TLS"}, []string{`security.protocol "TLS" is none`}},
		{
			"settings without effect",
			security.Config{TLS: security.TLS{CAFile: "ca"}, SASL: scram},
			[]string{"TLS is configured, but security.protocol PLAINTEXT does not use it", "SASL is configured, but security.protocol PLAINTEXT does not use it"},
		},
		{
			"halves",
			security.Config{Protocol: security.SASLSSL, TLS: security.TLS{KeyFile: "key", CAPassword: secret}, SASL: security.SASL{Mechanism: security.Plain}},
			[]string{"a key without its certificate", "a password for the authorities' store", "the user name is missing", "the password is missing"},
		},
		{"no mechanism", security.Config{Protocol: security.SASLSSL}, []string{"sasl.mechanism is missing"}},
		{"unknown mechanism", security.Config{Protocol: security.SASLSSL, SASL: security.SASL{Mechanism: "GSSAPI"}}, []string{`sasl.mechanism "GSSAPI" is not supported`}},
		{
			"token and password",
			security.Config{Protocol: security.SASLSSL, SASL: security.SASL{Mechanism: security.OAuthBearer, Username: "u"}},
			[]string{"OAUTHBEARER has none", "the token is missing"},
		},
		{
			"token without TLS",
			security.Config{Protocol: security.SASLPlaintext, SASL: security.SASL{Mechanism: security.OAuthBearer, Token: secret}},
			[]string{"OAUTHBEARER without TLS is refused"},
		},
		{
			"checks on and off",
			security.Config{Protocol: security.SSL, TLS: security.TLS{CAFile: "ca", InsecureSkipVerify: true}},
			[]string{"verification is switched off"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := test.config.Validate()
			if len(test.want) == 0 {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			lines := strings.Split(err.Error(), "\n")
			require.Len(t, lines, len(test.want), "%v", err)
			for i, want := range test.want {
				require.Contains(t, lines[i], want)
			}
		})
	}
}

// A file that is not there, or not what it should be, is an error before anything is connected.
func TestFilesAreReadAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := certtest.NewAuthority(t, "a")
	p, other := a.Issue("p"), a.Issue("other")
	cert := certtest.File(t, dir, "cert.pem", p.Cert)
	encrypted := []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
	for _, test := range []struct {
		want string
		tls  security.TLS
	}{
		{"no such file", security.TLS{CAFile: filepath.Join(dir, "missing")}},
		{"holds no certificate", security.TLS{CAFile: certtest.File(t, dir, "key-as-ca.pem", p.Key)}},
		{"neither PEM nor a PKCS#12 store", security.TLS{CAFile: certtest.File(t, dir, "text", []byte("hello"))}},
		{"is empty", security.TLS{CAFile: certtest.File(t, dir, "empty", nil)}},
		{"keytool -importkeystore", security.TLS{CertFile: certtest.File(t, dir, "store.jks", []byte{0xFE, 0xED, 0xFE, 0xED, 0, 0})}},
		{"cannot be read (is its password right?)", security.TLS{CertFile: certtest.File(t, dir, "broken.p12", []byte{0x30, 0})}},
		{"private key does not match", security.TLS{CertFile: cert, KeyFile: certtest.File(t, dir, "other.pem", other.Key)}},
		{"is encrypted", security.TLS{CertFile: cert, KeyFile: certtest.File(t, dir, "encrypted.pem", encrypted)}},
	} {
		_, err := security.Config{Protocol: security.SSL, TLS: test.tls}.Options()
		require.ErrorContains(t, err, test.want)
	}
	_, err := security.Config{Protocol: security.SASLSSL, SASL: security.SASL{
		Mechanism: security.ScramSHA512, Username: "u", Password: security.MustSecret("env:SECURITY_TEST_NOT_SET"),
	}}.Options()
	require.ErrorContains(t, err, "the environment variable SECURITY_TEST_NOT_SET is empty or not set")
}

// AWS credentials come from the environment, else from the profile of the shared file, and are asked for each time.
func TestAWSCredentials(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "credentials"))
	t.Setenv("AWS_PROFILE", "pipe")
	t.Setenv("AWS_REGION", "eu-central-1")
	cfg := security.Config{Protocol: security.SASLSSL, SASL: security.SASL{Mechanism: security.AWSMSKIAM}}
	_, err := cfg.Options()
	require.ErrorContains(t, err, "there is no credentials file")

	certtest.File(t, dir, "credentials", []byte("[default]\naws_access_key_id = WRONG\naws_secret_access_key = x\n"))
	_, err = cfg.Options()
	require.ErrorContains(t, err, "has no keys for the profile pipe")

	certtest.File(t, dir, "credentials", []byte("[default]\naws_access_key_id = WRONG\n\n[pipe]\n# a comment = no\naws_access_key_id = RIGHT\naws_secret_access_key = x\n"))
	require.Contains(t, firstMessage(t, cfg), "RIGHT/")
	t.Setenv("AWS_ACCESS_KEY_ID", "FROMENV")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "y")
	require.Contains(t, firstMessage(t, cfg), "FROMENV/")
}

// firstMessage is what a client by cfg would first send.
func firstMessage(t *testing.T, cfg security.Config) string {
	t.Helper()
	cl, err := kgo.NewClient(options(t, cfg)...)
	require.NoError(t, err)
	defer cl.Close()
	_, message, err := mechanismOf(cl).Authenticate(t.Context(), "broker:9098")
	require.NoError(t, err)
	return string(message)
}

// Tokens are read from their file for each connection.
func TestToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := security.Config{Protocol: security.SASLSSL, SASL: security.SASL{
		Mechanism: security.OAuthBearer, Token: security.MustSecret("file:" + certtest.File(t, dir, "token", []byte("first\n"))),
	}}
	cl, err := kgo.NewClient(options(t, cfg)...)
	require.NoError(t, err)
	defer cl.Close()
	send := func() string {
		_, message, err := mechanismOf(cl).Authenticate(t.Context(), "broker:9098")
		require.NoError(t, err)
		return string(message)
	}
	require.Contains(t, send(), "auth=Bearer first\x01")
	certtest.File(t, dir, "token", []byte("second\n"))
	require.Contains(t, send(), "auth=Bearer second\x01")
	require.NoError(t, os.Remove(filepath.Join(dir, "token")))
	require.Contains(t, send(), "auth=Bearer second\x01")
}
