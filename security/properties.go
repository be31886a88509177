package security

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/magiconair/properties"
)

// Properties is what a client.properties of Kafka's tools says.
type Properties struct {
	Config Config
	// BootstrapServers are bootstrap.servers, which such a file may have.
	BootstrapServers []string
	// ClientID is client.id.
	ClientID string
	// Ignored are the keys that have no meaning here and nothing to do with security, in order.
	Ignored []string
	// Open says that every user of the machine may read the file, though it holds a secret.
	Open bool
}

// FromFile reads a client.properties as Kafka's tools take it with --command-config. Its passwords are read from the
// file again for every connection. See FromProperties.
func FromFile(path string) (Properties, error) {
	f, err := os.Open(path)
	if err != nil {
		return Properties{}, err
	}
	defer f.Close()
	p, err := FromProperties(f)
	if err != nil {
		return Properties{}, within(path, err)
	}
	p.Open = p.holdsSecret() && isOpenToOthers(path)
	for _, at := range secrets {
		if s := at(&p.Config); !s.IsZero() {
			s.read = func() (string, error) { return again(path, at) }
		}
	}
	return p, nil
}

// within says of each fault that err joins which file it is in.
func within(path string, err error) error {
	all := []error{err}
	if joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err); ok {
		all = joined.Unwrap()
	}
	faults := make([]error, 0, len(all))
	for _, one := range all {
		faults = append(faults, fmt.Errorf("%s: %w", path, one))
	}
	return errors.Join(faults...)
}

// secrets are where a Config keeps them.
var secrets = []func(*Config) *Secret{
	func(c *Config) *Secret { return &c.SASL.Password },
	func(c *Config) *Secret { return &c.SASL.OAuth.ClientSecret },
	func(c *Config) *Secret { return &c.TLS.CAPassword },
	func(c *Config) *Secret { return &c.TLS.KeyPassword },
	func(c *Config) *Secret { return &c.TLS.key },
}

func again(path string, at func(*Config) *Secret) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	p, err := FromProperties(bytes.NewReader(text))
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return at(&p.Config).Read()
}

func (p Properties) holdsSecret() bool {
	return slices.ContainsFunc(secrets, func(at func(*Config) *Secret) bool { return !at(&p.Config).IsZero() })
}

// literal is a secret that a client.properties held itself.
func literal(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{"", func() (string, error) { return value, nil }}
}

// FromProperties reads a client.properties. Keys of TLS and SASL that are not supported are faults, all of them at once,
// since without them the connection would be another one than was asked for; other keys are in Ignored. Validate is not
// called: settings may be added.
func FromProperties(r io.Reader) (Properties, error) {
	text, err := io.ReadAll(r)
	if err == nil {
		text, err = plainText(text)
	}
	if err != nil {
		return Properties{}, err
	}
	// As java.util.Properties reads them, and without the library's ${}, which Kafka does not know.
	loader := properties.Loader{Encoding: properties.ISO_8859_1, DisableExpansion: true}
	parsed, err := loader.LoadBytes(text)
	if err != nil {
		return Properties{}, errors.New("this is not a file of Java properties") // the library's error may quote a line
	}
	var p Properties
	var faults []error
	for _, key := range parsed.Keys() {
		value := strings.TrimSpace(parsed.GetString(key, ""))
		if set := settings[key]; set != nil {
			if err := set(&p, value); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", key, err))
			}
		} else if concernsSecurity(key) && !isTuning(key) {
			faults = append(faults, fmt.Errorf("%s is not supported: %s", key, whyNot(key)))
		} else {
			p.Ignored = append(p.Ignored, key)
		}
	}
	slices.Sort(p.Ignored)
	return p, errors.Join(faults...)
}

func concernsSecurity(key string) bool {
	return slices.ContainsFunc([]string{"ssl.", "sasl.", "security.", "config.providers"}, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// settings are the keys that have a meaning here.
var settings = map[string]func(*Properties, string) error{
	"bootstrap.servers": func(p *Properties, v string) error {
		for server := range strings.SplitSeq(v, ",") {
			if server = strings.TrimSpace(server); server != "" {
				p.BootstrapServers = append(p.BootstrapServers, server)
			}
		}
		return nil
	},
	"client.id":         func(p *Properties, v string) error { p.ClientID = v; return nil },
	"security.protocol": func(p *Properties, v string) error { p.Config.Protocol = Protocol(strings.ToUpper(v)); return nil },
	"sasl.mechanism":    func(p *Properties, v string) error { p.Config.SASL.Mechanism = Mechanism(v); return nil },
	"sasl.jaas.config":  func(p *Properties, v string) error { return p.Config.SASL.login(v) },
	"sasl.client.callback.handler.class": func(_ *Properties, v string) error {
		return oneOf(v, "software.amazon.msk.auth.iam.IAMClientCallbackHandler")
	},

	"ssl.truststore.location":     func(p *Properties, v string) error { p.Config.TLS.CAFile = v; return nil },
	"ssl.truststore.password":     func(p *Properties, v string) error { p.Config.TLS.CAPassword = literal(v); return nil },
	"ssl.truststore.certificates": func(p *Properties, v string) error { p.Config.TLS.ca = unfold(v); return nil },
	"ssl.truststore.type":         storeType,
	"ssl.keystore.location":       func(p *Properties, v string) error { p.Config.TLS.CertFile = v; return nil },
	"ssl.keystore.password":       func(p *Properties, v string) error { p.Config.TLS.KeyPassword = literal(v); return nil },
	"ssl.keystore.certificate.chain": func(p *Properties, v string) error {
		p.Config.TLS.cert = unfold(v)
		return nil
	},
	"ssl.keystore.key":  func(p *Properties, v string) error { p.Config.TLS.key = literal(unfold(v)); return nil },
	"ssl.keystore.type": storeType,
	"ssl.key.password": func(p *Properties, v string) error { // a store has one password, in PKCS#12
		if p.Config.TLS.KeyPassword.IsZero() {
			p.Config.TLS.KeyPassword = literal(v)
		}
		return nil
	},
	"ssl.endpoint.identification.algorithm": func(p *Properties, v string) error {
		p.Config.TLS.SkipHostVerify = v == ""
		return oneOf(strings.ToLower(v), "https", "")
	},
	"sasl.login.callback.handler.class": func(_ *Properties, v string) error {
		return oneOf(v, "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler", "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler")
	},
	"sasl.oauthbearer.token.endpoint.url": func(p *Properties, v string) error { p.Config.SASL.OAuth.TokenEndpoint = v; return nil },
	"sasl.oauthbearer.client.credentials.client.id": func(p *Properties, v string) error {
		p.Config.SASL.OAuth.ClientID = v
		return nil
	},
	"sasl.oauthbearer.client.credentials.client.secret": func(p *Properties, v string) error {
		p.Config.SASL.OAuth.ClientSecret = literal(v)
		return nil
	},
	"sasl.oauthbearer.scope": func(p *Properties, v string) error { p.Config.SASL.OAuth.Scope = v; return nil },
	"sasl.oauthbearer.header.urlencode": func(p *Properties, v string) error {
		p.Config.SASL.OAuth.EncodeHeader = v == "true"
		return oneOf(v, "true", "false")
	},
	"sasl.oauthbearer.jwt.retriever.class": func(_ *Properties, v string) error {
		return oneOf(v, "org.apache.kafka.common.security.oauthbearer.ClientCredentialsJwtRetriever", "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever")
	},

	"ssl.protocol":          func(_ *Properties, v string) error { return oneOf(v, "TLSv1.3", "TLSv1.2", "TLS") },
	"ssl.enabled.protocols": enabledProtocols,
}

// enabledProtocols takes what there is of a list of TLS versions. Those before 1.2 are passed over, as long as there is one more: older files name them.
func enabledProtocols(p *Properties, v string) error {
	versions := map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}
	t := &p.Config.TLS
	t.minVersion, t.maxVersion = 0, 0
	for name := range strings.SplitSeq(v, ",") {
		name = strings.TrimSpace(name)
		version, ok := versions[name]
		switch {
		case ok && t.maxVersion == 0:
			t.minVersion, t.maxVersion = version, version
		case ok:
			t.minVersion, t.maxVersion = min(t.minVersion, version), max(t.maxVersion, version)
		case name != "TLSv1.1" && name != "TLSv1":
			return fmt.Errorf("%q is not supported; there are TLSv1.2 and TLSv1.3", name)
		}
	}
	if t.maxVersion == 0 {
		return fmt.Errorf("%q is not supported: TLS before 1.2 is broken; there are TLSv1.2 and TLSv1.3", v)
	}
	return nil
}

// tuning are the beginnings of settings that Kafka's own client alone has a use for, and that change nothing of whom it connects to and as whom: how
// it renews logins and waits, and Kerberos, which does nothing beside another mechanism (and as the mechanism is refused itself).
var tuning = []string{
	"sasl.kerberos.", "sasl.login.refresh.", "sasl.login.retry.", "sasl.login.connect.", "sasl.login.read.", "sasl.oauthbearer.sub.claim.name", "sasl.oauthbearer.scope.claim.name",
	"sasl.oauthbearer.clock.skew.", "sasl.oauthbearer.jwks.endpoint.", "sasl.oauthbearer.jwt.validator.class", "ssl.trustmanager.algorithm", "ssl.keymanager.algorithm", "ssl.provider", "ssl.secure.random.",
}

func isTuning(key string) bool {
	return slices.ContainsFunc(tuning, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// whyNot says of a setting that is not supported why, and what to do.
func whyNot(key string) string {
	for _, one := range []struct{ prefix, why string }{
		{"ssl.cipher.suites", "Go chooses among safe ciphers; remove it"},
		{"ssl.engine.factory.class", "it is Java code; remove it, and name certificates as files"},
		{"security.providers", "they are Java code; remove them"},
		{"config.providers", "they are code in Java that puts values into this file; write the values, or give them by flags as env:NAME or file:/path"},
		{"sasl.login.class", "it is Java code; remove it"},
		{"sasl.oauthbearer.assertion.", "tokens for a signed assertion are not there; let another program write the token into a file: --sasl-token file:/path"},
	} {
		if strings.HasPrefix(key, one.prefix) {
			return one.why
		}
	}
	return "without it the connection would differ from the one that was asked for; remove it, and see docs/security.md for the alternative"
}

func storeType(_ *Properties, v string) error {
	return oneOf(strings.ToUpper(v), "PEM", "PKCS12", "JKS")
}

func oneOf(value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%q is not supported; it may be %s", value, strings.Join(allowed, " or "))
}

// pemBlock is a block of PEM, whatever white space it has.
var pemBlock = regexp.MustCompile(`(?s)(-----BEGIN [A-Z0-9 ]+-----)(.*?)(-----END [A-Z0-9 ]+-----)`)

// unfold mends PEM on one line, whose line feeds became spaces.
func unfold(pem string) string {
	var b strings.Builder
	for _, m := range pemBlock.FindAllStringSubmatch(pem, -1) {
		b.WriteString(m[1] + "\n" + strings.Join(strings.Fields(m[2]), "\n") + "\n" + m[3] + "\n")
	}
	if b.Len() == 0 {
		return pem
	}
	return b.String()
}
