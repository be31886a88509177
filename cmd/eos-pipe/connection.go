package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/security"
)

// This file is how a command finds the cluster, and proves to it who it is. The names are those of Kafka's own settings
// and tools.

// connection is what a command was given to connect by.
type connection struct {
	BootstrapServers []string
	ClientID         string

	given         security.Config // by flags
	protocol      string
	mechanism     string
	commandConfig string

	security security.Config     // what comes of the flags and the file, after checkConnection
	file     security.Properties // of commandConfig
}

// addConnection defines the flags by which a command finds the cluster.
func addConnection(f *pflag.FlagSet, c *connection) {
	f.StringSliceVarP(&c.BootstrapServers, "bootstrap-server", "b", nil, "`host:port` of one or more brokers, with commas; also --brokers (required)")
	f.StringVar(&c.commandConfig, "command-config", "", "client.properties `file`, as Kafka's tools take it: TLS, SASL, bootstrap.servers, client.id; flags override it")
	f.StringVar(&c.ClientID, "client-id", "", "`name` of the clients in the brokers' quotas and logs, client.id (default eos-pipe)")
}

// addSecurity defines the flags of TLS and SASL. They come last in a command's help.
func addSecurity(f *pflag.FlagSet, c *connection) {
	f.StringVar(&c.protocol, "security-protocol", "", "security.protocol `name`: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL (default PLAINTEXT)")
	tls := &c.given.TLS
	f.StringVar(&tls.CAFile, "tls-ca", "", "PEM or PKCS#12 `file` of the authorities to trust (default the machine's)")
	f.Var(&secretValue{&tls.CAPassword}, "tls-ca-password", "`ref` to the password of --tls-ca, if it is PKCS#12: env:NAME or file:/path")
	f.StringVar(&tls.CertFile, "tls-cert", "", "PEM or PKCS#12 `file` of the client's certificate")
	f.StringVar(&tls.KeyFile, "tls-key", "", "PEM `file` of its key, if it is not in --tls-cert")
	f.Var(&secretValue{&tls.KeyPassword}, "tls-key-password", "`ref` to the password of --tls-cert, if it is PKCS#12")
	f.StringVar(&tls.ServerName, "tls-server-name", "", "`name` that the brokers' certificates must be for (default the host of the connection)")
	f.BoolVar(&tls.InsecureSkipVerify, "tls-skip-verify", false, "accept any certificate: not for production")
	f.StringVar(&c.mechanism, "sasl-mechanism", "", "`name`: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or AWS_MSK_IAM")
	sasl := &c.given.SASL
	f.StringVar(&sasl.Username, "sasl-username", "", "`user` for PLAIN and SCRAM")
	f.Var(&secretValue{&sasl.Password}, "sasl-password", "`ref` to the password for PLAIN and SCRAM: env:NAME or file:/path, never the password itself")
	f.Var(&secretValue{&sasl.Token}, "sasl-token", "`ref` to the token for OAUTHBEARER; a file is read again for every connection")
	f.BoolVar(&sasl.AllowCleartext, "sasl-allow-cleartext", false, "allow mechanisms that expose the login to the network without TLS")
}

// checkConnection reads the file and checks all that is given.
func (c *connection) checkConnection(all *faults) {
	var unread error
	if c.commandConfig != "" {
		c.file, unread = security.FromFile(c.commandConfig)
		addEach(all, "--command-config: ", unread, "the file is a client.properties, as for kafka-console-consumer.sh; docs/security.md lists the settings that eos-pipe understands")
	}
	if len(c.BootstrapServers) == 0 {
		c.BootstrapServers = c.file.BootstrapServers
	}
	c.ClientID = cmp.Or(c.ClientID, c.file.ClientID, eos.DefaultClientID)
	checkServers(all, c.BootstrapServers)
	if unread != nil { // what the flags are to go with is not known
		return
	}
	c.merge()
	addEach(all, "", c.security.Validate(), "the flags are --security-protocol, --tls-… and --sasl-…; a client.properties goes to --command-config")
}

// addEach adds a fault for each error that err joins.
func addEach(all *faults, before string, err error, hint string) {
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		all.add(before+line, hint)
	}
}

// merge has the flags go before the file.
func (c *connection) merge() {
	got, file := c.given, c.file.Config
	c.security = file // with what only a file can hold
	c.security.Protocol = cmp.Or(security.Protocol(strings.ToUpper(c.protocol)), file.Protocol)
	t := &c.security.TLS
	if got.TLS.CAFile != "" {
		t.CAFile, t.CAPassword = got.TLS.CAFile, security.Secret{}
	}
	if got.TLS.CertFile != "" {
		t.CertFile, t.KeyFile, t.KeyPassword = got.TLS.CertFile, "", security.Secret{}
	}
	t.KeyFile = cmp.Or(got.TLS.KeyFile, t.KeyFile)
	t.ServerName = cmp.Or(got.TLS.ServerName, t.ServerName)
	t.InsecureSkipVerify = got.TLS.InsecureSkipVerify
	s := &c.security.SASL
	s.Mechanism = cmp.Or(security.Mechanism(strings.ToUpper(c.mechanism)), file.SASL.Mechanism)
	s.Username = cmp.Or(got.SASL.Username, s.Username)
	s.AllowCleartext = got.SASL.AllowCleartext
	for from, to := range map[*security.Secret]*security.Secret{
		&got.TLS.CAPassword: &t.CAPassword, &got.TLS.KeyPassword: &t.KeyPassword, &got.SASL.Password: &s.Password, &got.SASL.Token: &s.Token,
	} {
		if !from.IsZero() {
			*to = *from
		}
	}
}

// options are those of the client, after checkConnection. An error is one of usage: a file that cannot be read, or is not what it should be.
func (c *connection) options(log *slog.Logger) ([]kgo.Opt, error) {
	if c.file.Open {
		log.Warn("this file holds a secret, and every user of the machine may read it: remove that permission (chmod o-rwx)", "file", c.commandConfig)
	}
	if len(c.file.Ignored) > 0 {
		log.Warn("these settings have no meaning for eos-pipe, which ignores them", "file", c.commandConfig, "settings", c.file.Ignored)
	}
	cfg := c.security
	cfg.Logger = log
	opts, err := cfg.Options()
	if err != nil {
		return nil, usageError(err.Error(), "nothing was started; docs/security.md says what each file must hold")
	}
	return append(opts, kgo.ClientID(c.ClientID)), nil
}

// client makes a client that connects as c says, and returns it when a broker has answered.
func (c *connection) client(ctx context.Context, log *slog.Logger) (*kgo.Client, error) {
	opts, err := c.options(log)
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(append(append(opts, kgo.SeedBrokers(c.BootstrapServers...)), cluster.Options()...)...)
	if err != nil {
		return nil, err
	}
	if err := cluster.New(cl, cluster.Patience{}).Reach(ctx, eos.DefaultConnectTimeout, log); err != nil {
		cl.Close()
		return nil, fmt.Errorf("%w at %v: %w", eos.ErrUnreachable, c.BootstrapServers, err)
	}
	return cl, nil
}

// settled asks until what is asked for is there, or its absence is certain: a cluster that has just been made or started has no coordinator
// and no leaders yet. topic is what a topic that does not exist is called by.
func settled(ctx context.Context, log *slog.Logger, topic string, try func(context.Context) error) error {
	err := cluster.Await(ctx, cluster.Settle, log, "the brokers to know "+topic, try)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("%w: %s", eos.ErrNoTopic, topic)
	}
	return err
}

// secretValue is a flag's reference to a secret.
type secretValue struct{ secret *security.Secret }

// Set implements pflag.Value.
func (v *secretValue) Set(text string) (err error) {
	*v.secret, err = security.ParseSecret(text)
	return err
}

// String implements pflag.Value. It never shows the secret.
func (v *secretValue) String() string {
	if v.secret == nil { // pflag asks a zero value, too
		return ""
	}
	return v.secret.String()
}

// Type implements pflag.Value.
func (v *secretValue) Type() string { return secretType }

const secretType = "secret"

// badSecret is the fault of a value that is no reference. The value, which may be the secret, is not repeated.
func badSecret(source string, err error) fault {
	hint := "write it as env:NAME or file:/path"
	if errors.Is(err, security.ErrLiteralSecret) {
		hint = "put it into a file that only you can read, and write file:/path, or env:NAME for an environment variable; other users could see it on the command line: change it"
	}
	return fault{source + ": " + err.Error(), hint}
}
