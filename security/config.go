package security

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl/aws"
)

// Protocol is Kafka's security.protocol: whether connections are encrypted, and whether the client says who it is.
type Protocol string

// The protocols of Kafka. The zero value is Plaintext.
const (
	Plaintext     Protocol = "PLAINTEXT"
	SSL           Protocol = "SSL" // TLS; with a client certificate, if the broker asks for one
	SASLPlaintext Protocol = "SASL_PLAINTEXT"
	SASLSSL       Protocol = "SASL_SSL"
)

// Protocols are the names of all protocols.
var Protocols = []string{string(Plaintext), string(SSL), string(SASLPlaintext), string(SASLSSL)}

// hasTLS and hasSASL say what the protocol is made of.
func (p Protocol) hasTLS() bool  { return p == SSL || p == SASLSSL }
func (p Protocol) hasSASL() bool { return p == SASLPlaintext || p == SASLSSL }

// Mechanism is Kafka's sasl.mechanism.
type Mechanism string

// The mechanisms that are supported.
const (
	Plain       Mechanism = "PLAIN"
	ScramSHA256 Mechanism = "SCRAM-SHA-256"
	ScramSHA512 Mechanism = "SCRAM-SHA-512"
	OAuthBearer Mechanism = "OAUTHBEARER"
	AWSMSKIAM   Mechanism = "AWS_MSK_IAM"
)

// Mechanisms are the names of all mechanisms.
var Mechanisms = []string{string(Plain), string(ScramSHA256), string(ScramSHA512), string(OAuthBearer), string(AWSMSKIAM)}

// hasPassword says whether the mechanism takes a name and a password.
func (m Mechanism) hasPassword() bool { return m == Plain || m == ScramSHA256 || m == ScramSHA512 }

// showsItself says whether who reads the connection can afterwards pretend to be the client, for a while or for good.
// SCRAM alone proves the password without telling it.
func (m Mechanism) showsItself() bool { return m == Plain || m == OAuthBearer || m == AWSMSKIAM }

// Config is how a client connects to brokers. The zero value is PLAINTEXT, as in Kafka. Validate reports every fault at
// once.
type Config struct {
	Protocol Protocol
	TLS      TLS
	SASL     SASL
	// Logger takes warnings: a check that is switched off, a file that others can read, a file that cannot be read
	// again. Default: slog.Default().
	Logger *slog.Logger
}

// TLS is how the brokers are known, and who the client is by certificate. Files are PEM, or PKCS#12 stores (.p12, .pfx,
// and what keytool makes since Java 9); what they are is told by their content. They are read again for every connection.
type TLS struct {
	// CAFile holds the certificates of the authorities to trust, and of no others (ssl.truststore.location). Default:
	// those of the machine.
	CAFile string
	// CAPassword opens CAFile, if it is a store (ssl.truststore.password).
	CAPassword Secret
	// CertFile is the client's certificate, with the chain above it (ssl.keystore.location). It may hold the key, too.
	CertFile string
	// KeyFile is the key of the certificate, if it is not in CertFile. It must be PEM and not encrypted.
	KeyFile string
	// KeyPassword opens CertFile, if it is a store (ssl.keystore.password).
	KeyPassword Secret
	// ServerName is the name that the brokers' certificates must be for. Default: the host that is connected to.
	ServerName string
	// SkipHostVerify accepts a certificate of a trusted authority for whatever host
	// (ssl.endpoint.identification.algorithm=). Who has such a certificate can pretend to be a broker.
	SkipHostVerify bool
	// InsecureSkipVerify accepts any certificate: anybody on the way can pretend to be a broker, read and change all.
	InsecureSkipVerify bool

	// ca, cert and key are PEM that a client.properties held itself; minVersion and maxVersion its ssl.enabled.protocols (0: any).
	ca, cert               string
	key                    Secret
	minVersion, maxVersion uint16
}

// SASL is who the client is by name.
type SASL struct {
	// Mechanism is required by the protocols that begin with SASL_.
	Mechanism Mechanism
	// Username and Password are for PLAIN and SCRAM.
	Username string
	Password Secret
	// Token is for OAUTHBEARER. It is read for every connection and every re-authentication: let what renews the token
	// write it into a file.
	Token Secret
	// OAuth is where tokens for OAUTHBEARER are asked for, in the place of Token.
	OAuth OAuth
	// AWS returns the credentials for AWS_MSK_IAM; it is called for every connection. Default: the environment
	// (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), else the profile $AWS_PROFILE of the file
	// $AWS_SHARED_CREDENTIALS_FILE (default ~/.aws/credentials). For roles, SSO and the metadata service give a function
	// that asks the AWS SDK.
	AWS func(context.Context) (aws.Auth, error)
	// AllowCleartext allows PLAIN, OAUTHBEARER and AWS_MSK_IAM without TLS: whoever reads the network can then log in.
	AllowCleartext bool
}

// Validate returns nil if c fits together, or every fault joined into one error. It looks at no file.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	p := c.protocol()
	if !slices.Contains(Protocols, string(p)) {
		fault("security.protocol %q is none: it is %s", p, strings.Join(Protocols, ", "))
		return errors.Join(faults...)
	}
	c.TLS.validate(p, fault)
	c.SASL.validate(p, fault)
	return errors.Join(faults...)
}

func (c Config) protocol() Protocol {
	if c.Protocol == "" {
		return Plaintext
	}
	return c.Protocol
}

func (t TLS) validate(p Protocol, fault func(string, ...any)) {
	hasCA, hasCert, hasKey := t.CAFile != "" || t.ca != "", t.CertFile != "" || t.cert != "", t.KeyFile != "" || !t.key.IsZero()
	if !p.hasTLS() && (hasCA || hasCert || hasKey || t.ServerName != "" || t.SkipHostVerify || t.InsecureSkipVerify) {
		fault("TLS is configured, but security.protocol %s does not use it: take %s or %s", p, SSL, SASLSSL)
	}
	if hasKey && !hasCert {
		fault("a key without its certificate is given")
	}
	if !t.CAPassword.IsZero() && !hasCA {
		fault("a password for the authorities' store is given, but no store")
	}
	if !t.KeyPassword.IsZero() && !hasCert {
		fault("a password for the certificate's store is given, but no store")
	}
	if t.InsecureSkipVerify && (hasCA || t.ServerName != "") {
		fault("authorities or a server name are given, but verification is switched off: leave one of them out")
	}
}

func (s SASL) validate(p Protocol, fault func(string, ...any)) {
	hasAny := s.Mechanism != "" || s.Username != "" || !s.Password.IsZero() || !s.Token.IsZero() || !s.OAuth.isZero()
	switch {
	case !p.hasSASL():
		if hasAny {
			fault("SASL is configured, but security.protocol %s does not use it: take %s, or %s", p, SASLSSL, SASLPlaintext)
		}
		return
	case s.Mechanism == "":
		fault("sasl.mechanism is missing, which security.protocol %s needs: it is %s", p, strings.Join(Mechanisms, ", "))
		return
	case !slices.Contains(Mechanisms, string(s.Mechanism)):
		fault("sasl.mechanism %q is not supported: it is %s", s.Mechanism, strings.Join(Mechanisms, ", "))
		return
	}
	m := s.Mechanism
	if m.hasPassword() && s.Username == "" {
		fault("the user name is missing, which %s needs", m)
	}
	if m.hasPassword() && s.Password.IsZero() {
		fault("the password is missing, which %s needs", m)
	}
	if !m.hasPassword() && (s.Username != "" || !s.Password.IsZero()) {
		fault("a user name or password is given, but %s has none", m)
	}
	switch {
	case m == OAuthBearer && !s.OAuth.isZero() && !s.Token.IsZero():
		fault("a token and an endpoint for tokens are given: leave one of them out")
	case m == OAuthBearer && !s.OAuth.isZero():
		s.OAuth.validate(fault)
	case m == OAuthBearer && s.Token.IsZero():
		fault("the token is missing, which %s needs: a token, or an endpoint with a client id and secret", m)
	}
	if m != OAuthBearer && !s.OAuth.isZero() {
		fault("an endpoint for tokens is given, but %s has none", m)
	}
	if m != OAuthBearer && !s.Token.IsZero() {
		fault("a token is given, but %s has none", m)
	}
	if m.showsItself() && !p.hasTLS() && !s.AllowCleartext {
		fault("%s without TLS is refused: anyone who reads the network could log in as this client; use security.protocol %s", m, SASLSSL)
	}
}
