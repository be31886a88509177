package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/certtest"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/security"
)

// This file is the ground of the tests in security_*_test.go: a broker with a second listener that asks who its clients are,
// and checks what they may do. At its first listener everybody may do everything: there the tests write, look and grant.

// guarded is such a broker, with the topics of a sessionBench, and the files of a client.
type guarded struct {
	*sessionBench
	brokers *certtest.Authority // of the broker's certificate
	dir     string              // of the client's files

	logins   atomic.Int64 // messages of sessions to authenticate, which the broker took
	refusals atomic.Int64 // connections whose password it refused
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (g *guarded) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if errors.Is(err, kerr.SaslAuthenticationFailed) {
		g.refusals.Add(1)
	}
}

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (g *guarded) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if key == kmsg.SASLAuthenticate.Int16() && e.Err() == nil {
		g.logins.Add(1)
	}
}

const (
	guardedUser = "pipe"
	// guardedCanary is the first password of the user. It must be seen nowhere.
	guardedCanary = "canary-Tr0ub4dor"
)

// newGuarded starts the broker. settings are those of the second listener, besides the broker's certificate.
func newGuarded(t *testing.T, protocol string, settings map[string]string) *guarded {
	t.Helper()
	g := &guarded{brokers: certtest.NewAuthority(t, "brokers"), dir: t.TempDir()}
	all := storesOf(g.brokers, g.brokers)
	maps.Copy(all, settings)
	kafka := kafkatest.Start(t, kafkatest.Listener(protocol, all),
		kafkatest.Set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
		kafkatest.Set("super.users", "User:ANONYMOUS"))
	g.sessionBench = newSessionBenchOn(t, kafka)
	certtest.File(t, g.dir, "ca.pem", g.brokers.PEM)
	return g
}

// storesOf are the broker's settings for a certificate of that authority, and for taking the clients of the other one.
func storesOf(brokers, clients *certtest.Authority) map[string]string {
	p := brokers.Issue("broker")
	return map[string]string{
		"ssl.keystore.type": "PEM", "ssl.keystore.certificate.chain": onOneLine(p.Cert), "ssl.keystore.key": onOneLine(p.Key),
		"ssl.truststore.type": "PEM", "ssl.truststore.certificates": onOneLine(clients.PEM),
	}
}

// onOneLine is PEM as a file of properties takes it, and unfolded the value that it then has.
func onOneLine(pem []byte) string { return strings.ReplaceAll(string(pem), "\n", `\n`) }

func unfolded(line string) string { return strings.ReplaceAll(line, `\n`, "\n") }

// newScram is a broker with SASL_SSL and SCRAM-SHA-512, at which the user exists. Its connections must authenticate again
// after reauth.
func newScram(t *testing.T, reauth time.Duration) *guarded {
	t.Helper()
	g := newGuarded(t, "SASL_SSL", map[string]string{
		"sasl.enabled.mechanisms":                 "SCRAM-SHA-512",
		"scram-sha-512.sasl.jaas.config":          "org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"scram-sha-512.connections.max.reauth.ms": fmt.Sprint(reauth.Milliseconds()),
	})
	g.setPassword(guardedCanary)
	g.storePassword(guardedCanary)
	return g
}

// setPassword changes the user's password at the broker.
func (g *guarded) setPassword(password string) {
	g.t.Helper()
	_, err := g.adm.AlterUserSCRAMs(g.t.Context(), nil, []kadm.UpsertSCRAM{{
		User: guardedUser, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password,
	}})
	require.NoError(g.t, err)
}

// storePassword changes the password in the client's file.
func (g *guarded) storePassword(password string) {
	g.t.Helper()
	certtest.File(g.t, g.dir, "password", []byte(password+"\n"))
}

// scram is how the user connects.
func (g *guarded) scram() security.Config {
	return security.Config{
		Protocol: security.SASLSSL, TLS: security.TLS{CAFile: g.dir + "/ca.pem"},
		SASL: security.SASL{Mechanism: security.ScramSHA512, Username: guardedUser, Password: security.MustSecret("file:" + g.dir + "/password")},
	}
}

// config is that of a session that connects as sec says.
func (g *guarded) config(sec security.Config) eos.Config {
	g.t.Helper()
	cfg := g.sessionBench.config("a")
	sec.Logger = cfg.Logger
	opts, err := sec.Options()
	require.NoError(g.t, err)
	cfg.BootstrapServers, cfg.Client = g.kafka.Secure(), append(opts, kgo.WithHooks(g))
	return cfg
}

// run starts `eos-pipe run` as the user.
func (g *guarded) run(name string, more ...string) *process {
	g.t.Helper()
	return spawn(g.t, name, append([]string{
		"run", "-b", g.kafka.Secure()[0], "--from", g.in, "--to", g.out, "--group", g.group, "--instance-id", "a", "--log-level", "debug", "--json",
		"--security-protocol", "SASL_SSL", "--tls-ca", g.dir + "/ca.pem",
		"--sasl-mechanism", "SCRAM-SHA-512", "--sasl-username", guardedUser, "--sasl-password", "file:" + g.dir + "/password",
	}, more...))
}

// granted is an ACL as `eos-pipe acls --json` prints it.
type granted struct {
	Operation    string
	ResourceType string `json:"resource_type"`
	Name         string `json:"resource_name"`
	Pattern      string `json:"pattern_type"`
}

func (a granted) String() string { return a.Operation + " on " + a.ResourceType }

// acls are those that the command asks for.
func (g *guarded) acls() []granted {
	g.t.Helper()
	path, err := binary()
	require.NoError(g.t, err)
	out, err := exec.Command(path, "acls", "-b", "unused:9092", "--principal", "User:"+guardedUser, "--from", g.in, "--to", g.out, "--group", g.group, "--json").Output()
	require.NoError(g.t, err)
	var acls struct{ Required []granted }
	require.NoError(g.t, json.Unmarshal(out, &acls))
	return acls.Required
}

// builder is a for kadm.
func (a granted) builder() *kadm.ACLBuilder {
	operation, pattern := map[string]kadm.ACLOperation{"Read": kadm.OpRead, "Write": kadm.OpWrite}[a.Operation], kadm.ACLPatternLiteral
	if a.Pattern == "prefixed" {
		pattern = kadm.ACLPatternPrefixed
	}
	b := kadm.NewACLs().Allow("User:" + guardedUser).AllowHosts("*").Operations(operation).ResourcePatternType(pattern)
	switch a.ResourceType {
	case "topic":
		return b.Topics(a.Name)
	case "group":
		return b.Groups(a.Name)
	default:
		return b.TransactionalIDs(a.Name)
	}
}

func (g *guarded) grant(acls ...granted) {
	g.t.Helper()
	for _, a := range acls {
		results, err := g.adm.CreateACLs(g.t.Context(), a.builder())
		require.NoError(g.t, err)
		for _, r := range results {
			require.NoError(g.t, r.Err)
		}
	}
}

// revoke takes an ACL away. A filter has the same fields as what it finds.
func (g *guarded) revoke(a granted) {
	g.t.Helper()
	results, err := g.adm.DeleteACLs(g.t.Context(), a.builder())
	require.NoError(g.t, err)
	deleted := 0
	for _, r := range results {
		require.NoError(g.t, r.Err)
		deleted += len(r.Deleted)
	}
	require.Equal(g.t, 1, deleted, "%v", a)
}

// feed writes to the input until the test is over or stop is called, which waits.
func (g *guarded) feed() (stop func()) {
	ctx := context.WithoutCancel(g.t.Context()) // what is counted as written must be
	return g.every(20*time.Millisecond, func() {
		var rs []*kgo.Record
		for i := range 30 {
			rs = append(rs, g.next(int32(i%sessionPartitions), 0))
		}
		if err := g.plain.ProduceSync(ctx, rs...).FirstErr(); err != nil {
			g.t.Errorf("the input is not fed any more: %v", err)
		}
	})
}

// every does something again and again until the test is over or stop is called, which waits.
func (g *guarded) every(d time.Duration, do func()) (stop func()) {
	ctx, cancel := context.WithCancel(g.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				do()
			case <-ctx.Done():
				return
			}
		}
	}()
	stop = func() { cancel(); <-done }
	g.t.Cleanup(stop)
	return stop
}
