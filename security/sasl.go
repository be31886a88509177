package security

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// mechanism returns what kgo asks for credentials, at every connection and re-authentication.
func (c Config) mechanism() (sasl.Mechanism, error) {
	if c.SASL.Mechanism == AWSMSKIAM {
		return c.awsMechanism()
	}
	if c.SASL.Mechanism == OAuthBearer && !c.SASL.OAuth.isZero() {
		asked := &tokens{OAuth: c.SASL.OAuth}
		return token{oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := asked.get(ctx)
			return oauth.Auth{Token: token}, err
		})}, nil
	}
	what, secret := "the password", c.SASL.Password
	if c.SASL.Mechanism == OAuthBearer {
		what, secret = "the token", c.SASL.Token
	}
	kept := &latest[string]{what: what, read: secret.Read, log: c.Logger}
	if _, err := kept.get(); err != nil {
		return nil, err
	}
	user := c.SASL.Username
	credentials := func(context.Context) (scram.Auth, error) {
		pass, err := kept.get()
		return scram.Auth{User: user, Pass: pass}, err
	}
	switch c.SASL.Mechanism {
	case Plain:
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			pass, err := kept.get()
			return plain.Auth{User: user, Pass: pass}, err
		}), nil
	case OAuthBearer:
		return token{oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := kept.get()
			return oauth.Auth{Token: token}, err
		})}, nil
	case ScramSHA256:
		return scram.Sha256(credentials), nil
	default:
		return scram.Sha512(credentials), nil
	}
}

// token is OAUTHBEARER for brokers that refuse a token: they first say why, and end with SASL_AUTHENTICATION_FAILED only when the
// client has answered that with a byte (RFC 7628, 3.2.3). franz-go's own takes it for an answer that cannot be understood.
type token struct{ sasl.Mechanism }

// Authenticate implements sasl.Mechanism.
func (t token) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	s, first, err := t.Mechanism.Authenticate(ctx, host)
	return &tokenSession{Session: s}, first, err
}

type tokenSession struct {
	sasl.Session
	refused bool
}

// Challenge implements sasl.Session.
func (s *tokenSession) Challenge(resp []byte) (bool, []byte, error) {
	if len(resp) > 0 && !s.refused {
		s.refused = true
		return false, []byte{1}, nil
	}
	return s.Session.Challenge(resp)
}

func (c Config) awsMechanism() (sasl.Mechanism, error) {
	credentials := c.SASL.AWS
	if credentials == nil {
		kept := &latest[aws.Auth]{what: "the AWS credentials", read: awsCredentials, log: c.Logger}
		if _, err := kept.get(); err != nil {
			return nil, err
		}
		credentials = func(context.Context) (aws.Auth, error) { return kept.get() }
	}
	return aws.ManagedStreamingIAM(credentials), nil
}

// awsCredentials are those of the environment, else of the shared credentials file.
func awsCredentials() (aws.Auth, error) {
	auth := aws.Auth{
		AccessKey: os.Getenv("AWS_ACCESS_KEY_ID"), SecretKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
		UserAgent: "eos-pipe",
	}
	if auth.AccessKey != "" && auth.SecretKey != "" {
		return auth, nil
	}
	path, profile := os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), os.Getenv("AWS_PROFILE")
	if path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return aws.Auth{}, fmt.Errorf("neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor a credentials file: %w", err)
		}
		path = filepath.Join(home, ".aws", "credentials")
	}
	if profile == "" {
		profile = "default"
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return aws.Auth{}, fmt.Errorf("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, and there is no credentials file: %w", err)
	}
	values := profileOf(string(text), profile)
	auth.AccessKey, auth.SecretKey, auth.SessionToken = values["aws_access_key_id"], values["aws_secret_access_key"], values["aws_session_token"]
	if auth.AccessKey == "" || auth.SecretKey == "" {
		return aws.Auth{}, errors.New(path + " has no keys for the profile " + profile + "; roles, SSO and the metadata service are not asked: give SASL.AWS, or have them written into this file")
	}
	return auth, nil
}

// profileOf returns the values of a section of an AWS credentials file.
func profileOf(text, profile string) map[string]string {
	values, section := map[string]string{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			section = strings.TrimSpace(line[1 : len(line)-1])
			continue
		}
		if name, value, ok := strings.Cut(line, "="); ok && section == profile && !strings.HasPrefix(line, "#") {
			values[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return values
}
