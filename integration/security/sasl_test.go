package security

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
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/integration/internal/guard"
	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/certtest"
	"github.com/eos-pipe/eos-pipe/security"
)

// reauth is after how long connections must authenticate again. franz-go does it a second earlier.
const reauth = 3 * time.Second

// A session copies through SASL_SSL with SCRAM-SHA-512. Its connections authenticate again all the time; with another
// password it is told so at once, not after the time that a broker gets to answer.
func TestSecurityScram(t *testing.T) {
	g := guard.NewScram(t, reauth)
	g.Grant(g.ACLs()...)
	g.Write(300)
	s := g.Open(g.Config(g.Scram()))
	w := g.Work(s)
	stop := g.Feed()
	logins := g.Logins.Load()
	g.Eventually("its connections authenticate again", func() bool { return g.Logins.Load() >= logins+20 })
	stop()
	g.CaughtUp()
	require.Empty(t, w.Stop(t))
	g.RequireOnce()

	g.StorePassword("wrong")
	cfg := g.Config(g.Scram())
	began := time.Now()
	_, err := eos.Open(t.Context(), cfg)
	require.ErrorIs(t, err, kerr.SaslAuthenticationFailed)
	require.Equal(t, eos.Stop, bench.Next(err))
	require.Less(t, time.Since(began), eos.DefaultConnectTimeout)
}

// The user's password is changed while a session runs, first at the broker, and in the client's file when the old one has been refused for a while: the
// session goes on, though all connections must authenticate again every few seconds.
func TestSecurityPasswordChanges(t *testing.T) {
	g := guard.NewScram(t, reauth)
	g.Grant(g.ACLs()...)
	w := g.Work(g.Open(g.Config(g.Scram())))
	stop := g.Feed()
	for i := range 3 {
		password := "password " + strconv.Itoa(i)
		refusals := g.Refusals.Load()
		g.SetPassword(password)
		g.Eventually("the old password is refused again and again", func() bool { return g.Refusals.Load() > refusals+10 })
		g.StorePassword(password)
		commits, logins := w.Commits.Load(), g.Logins.Load()
		g.Eventually("it works with the new one", func() bool { return w.Commits.Load() > commits+20 && g.Logins.Load() >= logins+2 })
	}
	stop()
	g.CaughtUp()
	w.Stop(t)
	g.RequireOnce()
}

// The command connects with flags; its password is found in no output, not at debug level, and not on its command line. A
// wrong one ends it with exit code 4, one line that says so, and a hint.
func TestSecurityCommand(t *testing.T) {
	g := guard.NewScram(t, 0)
	g.Grant(g.ACLs()...)
	g.Write(300)
	pr := g.Run("right")
	g.Eventually("it is at work", func() bool { return strings.Contains(pr.Stderr(), "committed") })
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pr.Cmd.Process.Pid) + "/cmdline")
	require.NoError(t, err)
	require.Contains(t, string(line), "--sasl-password")
	require.NotContains(t, string(line), guard.Canary)
	g.CaughtUp()
	pr.Drain(syscall.SIGTERM)
	require.NotContains(t, pr.Stderr()+pr.Stdout.String(), guard.Canary)
	g.RequireOnce()

	g.SetPassword("another")
	pr = g.Run("wrong")
	pr.Wait(20 * time.Second)
	pr.RequireSaid(4, "SASL_AUTHENTICATION_FAILED")
	require.NotContains(t, pr.Stderr()+pr.Stdout.String(), guard.Canary)
}

// Tokens end after some seconds, and are renewed in their file: the session goes on, authenticating with each new one. One that has
// ended is refused.
func TestSecurityTokenEnds(t *testing.T) {
	g := guard.New(t, "SASL_SSL", map[string]string{
		"sasl.enabled.mechanisms":                        "OAUTHBEARER",
		"oauthbearer.sasl.jaas.config":                   `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
		"oauthbearer.connections.max.reauth.ms":          "3600000",
		"oauthbearer.sasl.server.callback.handler.class": "org.apache.kafka.common.security.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler",
	})
	g.Grant(g.ACLs()...)
	storeToken(g, tokenLife)
	first, err := os.ReadFile(g.Dir + "/token")
	require.NoError(t, err)
	w := g.Work(g.Open(g.Config(token(g))))
	stop, renew := g.Feed(), g.Every(time.Second, func() { storeToken(g, tokenLife) })
	for range 2 {
		logins := g.Logins.Load()
		g.Eventually("connections authenticate again", func() bool { return g.Logins.Load() > logins+4 })
	}
	stop()
	renew()
	g.CaughtUp()
	w.Stop(t)
	g.RequireOnce()

	certtest.File(t, g.Dir, "token", first)
	_, err = eos.Open(t.Context(), g.Config(token(g)))
	require.ErrorIs(t, err, kerr.SaslAuthenticationFailed)
}

// tokenLife is how long a token is valid. One of less than some seconds ends before it can be renewed: franz-go authenticates a second
// earlier, and Kafka takes that only once a second.
const tokenLife = 8 * time.Second

// storeToken writes a token for the user that ends after that time. It is not signed, which the broker of the test allows.
func storeToken(g *guard.Broker, life time.Duration) {
	g.T.Helper()
	part := func(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }
	now := time.Now()
	token := part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, guard.User, now.Add(-time.Hour).Unix(), now.Add(life).Unix())) + "."
	certtest.File(g.T, g.Dir, "token", []byte(token+"\n"))
}

// token is how the user connects with a token.
func token(g *guard.Broker) security.Config {
	return security.Config{
		Protocol: security.SASLSSL, TLS: security.TLS{CAFile: g.Dir + "/ca.pem"},
		SASL: security.SASL{Mechanism: security.OAuthBearer, Token: security.MustSecret("file:" + g.Dir + "/token")},
	}
}

// Another security protocol than the listener's ends the command with a line and a hint that lead there.
func TestSecurityWrongProtocol(t *testing.T) {
	g := guard.NewScram(t, 0)
	for name, flags := range map[string][]string{
		"no TLS, no SASL": {"-b", g.Cluster.Secure()[0]},
		"no SASL":         {"-b", g.Cluster.Secure()[0], "--security-protocol", "SSL", "--tls-ca", g.Dir + "/ca.pem"},
		"TLS too much":    {"-b", g.Cluster.Bootstrap()[0], "--security-protocol", "SSL", "--tls-ca", g.Dir + "/ca.pem"},
	} {
		pr := proc.Spawn(t, name, append(flags, "run", "--from", g.In, "--to", g.Out, "--group", g.Group))
		pr.Doomed = true
		pr.Wait(20 * time.Second)
		t.Log(name, pr.Said())
		pr.RequireSaid(1)
		require.Contains(t, pr.Said()[1], "--security-protocol", name)
	}
}
