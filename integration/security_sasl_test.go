package integration

import (
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/certtest"
	"github.com/eos-pipe/eos-pipe/security"
)

// reauth is after how long connections must authenticate again. franz-go does it a second earlier.
const reauth = 3 * time.Second

// A session copies through SASL_SSL with SCRAM-SHA-512. Its connections authenticate again all the time; with another
// password it is told so at once, not after the time that a broker gets to answer.
func TestSecurityScram(t *testing.T) {
	g := newScram(t, reauth)
	g.grant(g.acls()...)
	g.write(300)
	s := g.open(g.config(g.scram()))
	w := g.work(s)
	stop := g.feed()
	logins := g.logins.Load()
	g.eventually("its connections authenticate again", func() bool { return g.logins.Load() >= logins+20 })
	stop()
	g.caughtUp()
	require.Empty(t, w.stop(t))
	g.requireOnce()

	g.storePassword("wrong")
	cfg := g.config(g.scram())
	began := time.Now()
	_, err := eos.Open(t.Context(), cfg)
	require.ErrorIs(t, err, kerr.SaslAuthenticationFailed)
	require.Equal(t, eos.Stop, sessionNext(err))
	require.Less(t, time.Since(began), eos.DefaultConnectTimeout)
}

// The user's password is changed while a session runs, first at the broker, and in the client's file when the old one has been refused for a while: the
// session goes on, though all connections must authenticate again every few seconds.
func TestSecurityPasswordChanges(t *testing.T) {
	g := newScram(t, reauth)
	g.grant(g.acls()...)
	w := g.work(g.open(g.config(g.scram())))
	stop := g.feed()
	for i := range 3 {
		password := "password " + strconv.Itoa(i)
		refusals := g.refusals.Load()
		g.setPassword(password)
		g.eventually("the old password is refused again and again", func() bool { return g.refusals.Load() > refusals+10 })
		g.storePassword(password)
		commits, logins := w.commits.Load(), g.logins.Load()
		g.eventually("it works with the new one", func() bool { return w.commits.Load() > commits+20 && g.logins.Load() >= logins+2 })
	}
	stop()
	g.caughtUp()
	w.stop(t)
	g.requireOnce()
}

// The command connects with flags; its password is found in no output, not at debug level, and not on its command line. A
// wrong one ends it with exit code 4, one line that says so, and a hint.
func TestSecurityCommand(t *testing.T) {
	g := newScram(t, 0)
	g.grant(g.acls()...)
	g.write(300)
	pr := g.run("right")
	g.eventually("it is at work", func() bool { return strings.Contains(pr.stderr(), "committed") })
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pr.cmd.Process.Pid) + "/cmdline")
	require.NoError(t, err)
	require.Contains(t, string(line), "--sasl-password")
	require.NotContains(t, string(line), guardedCanary)
	g.caughtUp()
	pr.drain(syscall.SIGTERM)
	require.NotContains(t, pr.stderr()+pr.stdout.String(), guardedCanary)
	g.requireOnce()

	g.setPassword("another")
	pr = g.run("wrong")
	pr.wait(20 * time.Second)
	pr.requireSaid(4, "SASL_AUTHENTICATION_FAILED")
	require.NotContains(t, pr.stderr()+pr.stdout.String(), guardedCanary)
}

// Tokens end after some seconds, and are renewed in their file: the session goes on, authenticating with each new one. One that has
// ended is refused.
func TestSecurityTokenEnds(t *testing.T) {
	g := newGuarded(t, "SASL_SSL", map[string]string{
		"sasl.enabled.mechanisms":                        "OAUTHBEARER",
		"oauthbearer.sasl.jaas.config":                   `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
		"oauthbearer.connections.max.reauth.ms":          "3600000",
		"oauthbearer.sasl.server.callback.handler.class": "org.apache.kafka.common.security.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler",
	})
	g.grant(g.acls()...)
	g.storeToken(tokenLife)
	first, err := os.ReadFile(g.dir + "/token")
	require.NoError(t, err)
	w := g.work(g.open(g.config(g.token())))
	stop, renew := g.feed(), g.every(time.Second, func() { g.storeToken(tokenLife) })
	for range 2 {
		logins := g.logins.Load()
		g.eventually("connections authenticate again", func() bool { return g.logins.Load() > logins+4 })
	}
	stop()
	renew()
	g.caughtUp()
	w.stop(t)
	g.requireOnce()

	certtest.File(t, g.dir, "token", first)
	_, err = eos.Open(t.Context(), g.config(g.token()))
	require.ErrorIs(t, err, kerr.SaslAuthenticationFailed)
}

// tokenLife is how long a token is valid. One of less than some seconds ends before it can be renewed: franz-go authenticates a second
// earlier, and Kafka takes that only once a second.
const tokenLife = 8 * time.Second

// storeToken writes a token for the user that ends after that time. It is not signed, which the broker of the test allows.
func (g *guarded) storeToken(life time.Duration) {
	g.t.Helper()
	part := func(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }
	now := time.Now()
	token := part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, guardedUser, now.Add(-time.Hour).Unix(), now.Add(life).Unix())) + "."
	certtest.File(g.t, g.dir, "token", []byte(token+"\n"))
}

// token is how the user connects with a token.
func (g *guarded) token() security.Config {
	return security.Config{
		Protocol: security.SASLSSL, TLS: security.TLS{CAFile: g.dir + "/ca.pem"},
		SASL: security.SASL{Mechanism: security.OAuthBearer, Token: security.MustSecret("file:" + g.dir + "/token")},
	}
}

// Another security protocol than the listener's ends the command with a line and a hint that lead there.
func TestSecurityWrongProtocol(t *testing.T) {
	g := newScram(t, 0)
	for name, flags := range map[string][]string{
		"no TLS, no SASL": {"-b", g.kafka.Secure()[0]},
		"no SASL":         {"-b", g.kafka.Secure()[0], "--security-protocol", "SSL", "--tls-ca", g.dir + "/ca.pem"},
		"TLS too much":    {"-b", g.kafka.Bootstrap()[0], "--security-protocol", "SSL", "--tls-ca", g.dir + "/ca.pem"},
	} {
		pr := spawn(t, name, append(flags, "run", "--from", g.in, "--to", g.out, "--group", g.group))
		pr.doomed = true
		pr.wait(20 * time.Second)
		t.Log(name, pr.said())
		pr.requireSaid(1)
		require.Contains(t, pr.said()[1], "--security-protocol", name)
	}
}
