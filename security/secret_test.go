package security_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/eos-pipe/eos-pipe/internal/certtest"
	"github.com/eos-pipe/eos-pipe/security"
)

// canary is a secret that must not be found anywhere.
const canary = "canary-Tr0ub4dor"

func mechanismOf(cl *kgo.Client) sasl.Mechanism {
	return cl.OptValue(kgo.SASL).([]sasl.Mechanism)[0]
}

// A reference is read each time; a secret itself is refused without being repeated.
func TestParseSecret(t *testing.T) {
	dir := t.TempDir()
	path := certtest.File(t, dir, "secret", []byte("one\r\n"))
	s, err := security.ParseSecret("file:" + path)
	require.NoError(t, err)
	value, err := s.Read()
	require.NoError(t, err)
	require.Equal(t, "one", value)
	certtest.File(t, dir, "secret", []byte(" two "))
	value, err = s.Read()
	require.NoError(t, err)
	require.Equal(t, " two ", value)

	t.Setenv("SECURITY_TEST_SECRET", "three")
	value, err = security.MustSecret("env:SECURITY_TEST_SECRET").Read()
	require.NoError(t, err)
	require.Equal(t, "three", value)

	for _, text := range []string{canary, "pass:" + canary, "env:", "file:", "file:" + canary, "ENV:" + canary, ":" + canary} {
		_, err := security.ParseSecret(text)
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), canary)
	}
	_, err = security.ParseSecret(canary)
	require.ErrorIs(t, err, security.ErrLiteralSecret)
	require.PanicsWithValue(t, "security.MustSecret: "+security.ErrLiteralSecret.Error(), func() { security.MustSecret(canary) })

	var none security.Secret
	require.True(t, none.IsZero())
	_, err = none.Read()
	require.Error(t, err)
}

// canaryProperties hold the canary wherever a client.properties can.
const canaryProperties = `security.protocol=SASL_SSL
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="` + canary + `";
ssl.truststore.location=/nonexistent/trust.p12
ssl.truststore.password=` + canary + `
ssl.keystore.certificate.chain=x
ssl.keystore.key=` + canary + `
ssl.keystore.password=` + canary + `
`

// recorder takes what testify says of a failure.
type recorder struct{ text strings.Builder }

func (r *recorder) Errorf(format string, args ...any) { fmt.Fprintf(&r.text, format, args...) }

// A secret is not found in what is printed of it, nor in what is printed of a configuration that holds it, exported or
// not, by fmt, JSON, slog, or the printer of testify, which follows pointers.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	props, err := security.FromProperties(strings.NewReader(canaryProperties))
	require.NoError(t, err)
	password := props.Config.SASL.Password
	value, err := password.Read()
	require.NoError(t, err)
	require.Equal(t, canary, value, "the canary must be in what is printed")
	type hidden struct {
		config security.Config
		secret *security.Secret
	}
	for _, v := range []any{password, &password, props, &props, hidden{props.Config, &password}, []any{&hidden{props.Config, &password}}} {
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if text, err := json.Marshal(v); err == nil {
			out.Write(text)
		}
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("x", "v", v)
		}
		var r recorder
		require.False(t, assert.Equal(&r, v, "something else"))
		out.WriteString(r.text.String())
		for _, text := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("% d", []byte(canary))} {
			require.NotContains(t, out.String(), text)
		}
	}
	require.Equal(t, "[redacted]", fmt.Sprint(password))
	text, err := json.Marshal(password)
	require.NoError(t, err)
	require.JSONEq(t, `"[redacted]"`, string(text))
	require.Empty(t, fmt.Sprint(security.Secret{}))
}

// Nor is it in what a panic writes.
func TestSecretsAreNotInPanics(t *testing.T) {
	t.Parallel()
	if os.Getenv("SECURITY_TEST_PANIC") != "" {
		props, err := security.FromProperties(strings.NewReader(canaryProperties))
		require.NoError(t, err)
		defer func() { panic(fmt.Errorf("%+v, before: %v", props, recover())) }()
		panic(props.Config.SASL.Password)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSecretsAreNotInPanics$")
	cmd.Env = append(os.Environ(), "SECURITY_TEST_PANIC=1", "GOTRACEBACK=all")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "before: [redacted]")
	require.NotContains(t, string(out), canary)
}

// A secret is not found in errors: not of Validate, of files that cannot be read, of a client.properties that is wrong in every line.
func TestSecretsAreNotInErrors(t *testing.T) {
	t.Parallel()
	props, err := security.FromProperties(strings.NewReader(canaryProperties))
	require.NoError(t, err)
	var errs []error
	_, err = props.Config.Options()
	errs = append(errs, err)
	props.Config.TLS.CAFile = ""
	_, err = props.Config.Options() // the key is no key
	errs = append(errs, err)
	for _, text := range []string{
		"sasl.jaas.config=" + canary,
		`sasl.jaas.config=a.B required password="` + canary + `";`,
		`sasl.jaas.config=a.B required password="` + canary,
		`sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required other="` + canary + `";`,
		`sasl.jaas.config=a.B required; c.D required password=` + canary + `;`,
		"ssl.keystore.unknown=" + canary, "sasl.login.secret=" + canary, "x=\\uZZZZ" + canary,
	} {
		_, err := security.FromProperties(strings.NewReader(text))
		errs = append(errs, err)
	}
	for _, err := range errs {
		require.Error(t, err)
		require.NotContains(t, err.Error(), canary)
		for ; err != nil; err = errors.Unwrap(err) {
			require.NotContains(t, fmt.Sprintf("%+v %#v", err, err), canary)
		}
	}
}

// Neither the log of the client at its most talkative, nor an error of a broker holds the secret.
func TestSecretsAreNotLogged(t *testing.T) {
	t.Parallel()
	for _, mechanism := range []security.Mechanism{security.Plain, security.ScramSHA512} {
		for _, right := range []string{canary, "another"} {
			c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser(string(mechanism), "user", right))
			require.NoError(t, err)
			t.Cleanup(c.Close)
			var log bytes.Buffer
			opts := options(t, security.Config{
				Protocol: security.SASLPlaintext, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
				SASL: security.SASL{Mechanism: mechanism, Username: "user", AllowCleartext: true, Password: security.MustSecret("file:" + certtest.File(t, t.TempDir(), "p", []byte(canary)))},
			})
			err = ping(t, c, opts, kgo.WithLogger(kgo.BasicLogger(&log, kgo.LogLevelDebug, nil)))
			require.Equal(t, right == canary, err == nil, "%v", err)
			require.Contains(t, log.String(), "beginning sasl authentication")
			require.NotContains(t, log.String(), canary)
			require.NotContains(t, fmt.Sprintf("%+v", err), canary)
		}
	}
}

// Files with secrets that every user may read are named in a warning; others are not.
func TestOpenFilesAreSaid(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "password")
	for mode, said := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true, 0o602: true} {
		require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
		require.NoError(t, os.Chmod(path, mode))
		var log bytes.Buffer
		options(t, security.Config{
			Protocol: security.SASLSSL, SASL: security.SASL{Mechanism: security.ScramSHA512, Username: "u", Password: security.MustSecret("file:" + path)},
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		require.Equal(t, said, strings.Contains(log.String(), "every user of the machine may read it"), "%v", mode)
	}
}

// A reference is what was given, so that settings can be printed; what stands in a file has none.
func TestReference(t *testing.T) {
	t.Parallel()
	for _, ref := range []string{"", "env:NAME", "file:/path"} {
		s, err := security.ParseSecret(ref)
		require.NoError(t, err)
		require.Equal(t, ref, s.Reference())
	}
	props, err := security.FromProperties(strings.NewReader("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\n" +
		`sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="canary";`))
	require.NoError(t, err)
	require.Empty(t, props.Config.SASL.Password.Reference())
	require.False(t, props.Config.SASL.Password.IsZero())
}
