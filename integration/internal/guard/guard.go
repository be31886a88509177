// Package guard starts a broker whose second listener asks clients who they are and checks what they may do. At its first listener
// every client may do everything: there a test writes, looks and grants.
package guard

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
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/certtest"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/security"
)

// Broker is a broker with two listeners, with the topics of a [bench.Bench] and the files of a client.
type Broker struct {
	*bench.Bench
	Brokers *certtest.Authority // of the broker's certificate
	Dir     string              // of the client's files

	Logins   atomic.Int64 // messages of sessions to authenticate, which the broker took
	Refusals atomic.Int64 // connections whose password it refused
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (g *Broker) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if errors.Is(err, kerr.SaslAuthenticationFailed) {
		g.Refusals.Add(1)
	}
}

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (g *Broker) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if key == kmsg.SASLAuthenticate.Int16() && e.Err() == nil {
		g.Logins.Add(1)
	}
}

const (
	// User is whom the broker's second listener lets in.
	User = "pipe"
	// Canary is the first password of the user. It must be seen nowhere.
	Canary = "canary-Tr0ub4dor"
)

// New starts the broker. settings are those of the second listener, besides the broker's certificate.
func New(t *testing.T, protocol string, settings map[string]string) *Broker {
	t.Helper()
	g := &Broker{Brokers: certtest.NewAuthority(t, "brokers"), Dir: t.TempDir()}
	all := Stores(g.Brokers, g.Brokers)
	maps.Copy(all, settings)
	kafka := kafkatest.Start(t, kafkatest.Listener(protocol, all),
		kafkatest.Set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
		kafkatest.Set("super.users", "User:ANONYMOUS"))
	g.Bench = bench.NewOn(t, kafka)
	certtest.File(t, g.Dir, "ca.pem", g.Brokers.PEM)
	return g
}

// Stores are the broker's settings for a certificate of that authority, and for taking the clients of the other one.
func Stores(brokers, clients *certtest.Authority) map[string]string {
	p := brokers.Issue("broker")
	return map[string]string{
		"ssl.keystore.type": "PEM", "ssl.keystore.certificate.chain": OnOneLine(p.Cert), "ssl.keystore.key": OnOneLine(p.Key),
		"ssl.truststore.type": "PEM", "ssl.truststore.certificates": OnOneLine(clients.PEM),
	}
}

// OnOneLine returns PEM in the form that a file of properties takes.
func OnOneLine(pem []byte) string { return strings.ReplaceAll(string(pem), "\n", `\n`) }

// Unfolded returns the value that a broker reads from such a line.
func Unfolded(line string) string { return strings.ReplaceAll(line, `\n`, "\n") }

// NewScram is a broker with SASL_SSL and SCRAM-SHA-512, at which the user exists. Its connections must authenticate again
// after reauth.
func NewScram(t *testing.T, reauth time.Duration) *Broker {
	t.Helper()
	g := New(t, "SASL_SSL", map[string]string{
		"sasl.enabled.mechanisms":                 "SCRAM-SHA-512",
		"scram-sha-512.sasl.jaas.config":          "org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"scram-sha-512.connections.max.reauth.ms": fmt.Sprint(reauth.Milliseconds()),
	})
	g.SetPassword(Canary)
	g.StorePassword(Canary)
	return g
}

// SetPassword changes the user's password at the broker.
func (g *Broker) SetPassword(password string) {
	g.T.Helper()
	_, err := g.Adm.AlterUserSCRAMs(g.T.Context(), nil, []kadm.UpsertSCRAM{{
		User: User, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password,
	}})
	require.NoError(g.T, err)
}

// StorePassword changes the password in the client's file.
func (g *Broker) StorePassword(password string) {
	g.T.Helper()
	certtest.File(g.T, g.Dir, "password", []byte(password+"\n"))
}

// Scram is how the user connects.
func (g *Broker) Scram() security.Config {
	return security.Config{
		Protocol: security.SASLSSL, TLS: security.TLS{CAFile: g.Dir + "/ca.pem"},
		SASL: security.SASL{Mechanism: security.ScramSHA512, Username: User, Password: security.MustSecret("file:" + g.Dir + "/password")},
	}
}

// Config is that of a session that connects as sec says.
func (g *Broker) Config(sec security.Config) eos.Config {
	g.T.Helper()
	cfg := g.Bench.Config("a")
	sec.Logger = cfg.Logger
	opts, err := sec.Options()
	require.NoError(g.T, err)
	cfg.BootstrapServers, cfg.Client = g.Cluster.Secure(), append(opts, kgo.WithHooks(g))
	return cfg
}

// Run starts `eos-pipe run` as the user.
func (g *Broker) Run(name string, more ...string) *proc.Process {
	g.T.Helper()
	return proc.Spawn(g.T, name, append([]string{
		"run", "-b", g.Cluster.Secure()[0], "--from", g.In, "--to", g.Out, "--group", g.Group, "--instance-id", "a", "--log-level", "debug", "--json",
		"--security-protocol", "SASL_SSL", "--tls-ca", g.Dir + "/ca.pem",
		"--sasl-mechanism", "SCRAM-SHA-512", "--sasl-username", User, "--sasl-password", "file:" + g.Dir + "/password",
	}, more...))
}

// ACL is an ACL as `eos-pipe acls --json` prints it.
type ACL struct {
	Operation    string
	ResourceType string `json:"resource_type"`
	Name         string `json:"resource_name"`
	Pattern      string `json:"pattern_type"`
}

// String returns the operation and what it is on.
func (a ACL) String() string { return a.Operation + " on " + a.ResourceType }

// ACLs are those that the command asks for.
func (g *Broker) ACLs() []ACL {
	g.T.Helper()
	path, err := proc.Binary()
	require.NoError(g.T, err)
	out, err := exec.Command(path, "acls", "-b", "unused:9092", "--principal", "User:"+User, "--from", g.In, "--to", g.Out, "--group", g.Group, "--json").Output()
	require.NoError(g.T, err)
	var acls struct{ Required []ACL }
	require.NoError(g.T, json.Unmarshal(out, &acls))
	return acls.Required
}

// builder is a for kadm.
func (a ACL) builder() *kadm.ACLBuilder {
	operation, pattern := map[string]kadm.ACLOperation{"Read": kadm.OpRead, "Write": kadm.OpWrite}[a.Operation], kadm.ACLPatternLiteral
	if a.Pattern == "prefixed" {
		pattern = kadm.ACLPatternPrefixed
	}
	b := kadm.NewACLs().Allow("User:" + User).AllowHosts("*").Operations(operation).ResourcePatternType(pattern)
	switch a.ResourceType {
	case "topic":
		return b.Topics(a.Name)
	case "group":
		return b.Groups(a.Name)
	default:
		return b.TransactionalIDs(a.Name)
	}
}

// Grant makes the broker allow the user these operations.
func (g *Broker) Grant(acls ...ACL) {
	g.T.Helper()
	for _, a := range acls {
		results, err := g.Adm.CreateACLs(g.T.Context(), a.builder())
		require.NoError(g.T, err)
		for _, r := range results {
			require.NoError(g.T, r.Err)
		}
	}
}

// Revoke takes an ACL away. A filter has the same fields as what it finds.
func (g *Broker) Revoke(a ACL) {
	g.T.Helper()
	results, err := g.Adm.DeleteACLs(g.T.Context(), a.builder())
	require.NoError(g.T, err)
	deleted := 0
	for _, r := range results {
		require.NoError(g.T, r.Err)
		deleted += len(r.Deleted)
	}
	require.Equal(g.T, 1, deleted, "%v", a)
}

// Feed writes to the input until the test is over or stop is called, which waits.
func (g *Broker) Feed() (stop func()) {
	ctx := context.WithoutCancel(g.T.Context()) // what is counted as written must be
	return g.Every(20*time.Millisecond, func() {
		var rs []*kgo.Record
		for i := range 30 {
			rs = append(rs, g.Next(int32(i%bench.Partitions), 0))
		}
		if err := g.Plain.ProduceSync(ctx, rs...).FirstErr(); err != nil {
			g.T.Errorf("the input is not fed any more: %v", err)
		}
	})
}

// Every does something again and again until the test is over or stop is called, which waits.
func (g *Broker) Every(d time.Duration, do func()) (stop func()) {
	ctx, cancel := context.WithCancel(g.T.Context())
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
	g.T.Cleanup(stop)
	return stop
}
