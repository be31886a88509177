package security

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// OAuth is where tokens for OAUTHBEARER come from, if not from SASL.Token: an endpoint that gives one for a client's id and secret (RFC 6749, 4.4).
// A token is kept until shortly before it ends. The names are those of Kafka's own settings (KIP-768, KIP-1139).
type OAuth struct {
	// TokenEndpoint is the URL that is asked (sasl.oauthbearer.token.endpoint.url). It must be https, but on this machine.
	TokenEndpoint string
	// ClientID and ClientSecret are the client's name and password there.
	ClientID     string
	ClientSecret Secret
	// Scope is what the token shall be for, if the endpoint wants to know.
	Scope string
	// EncodeHeader has ClientID and the secret encoded as in a URL before they become the Authorization header (RFC 6749, 2.3.1). Kafka does not by
	// default (sasl.oauthbearer.header.urlencode=false).
	EncodeHeader bool
}

func (o OAuth) isZero() bool {
	return o.TokenEndpoint == "" && o.ClientID == "" && o.ClientSecret.IsZero()
}

func (o OAuth) validate(fault func(string, ...any)) {
	u, err := url.Parse(o.TokenEndpoint)
	switch {
	case o.TokenEndpoint == "":
		fault("sasl.oauthbearer.token.endpoint.url is missing, which a client id needs")
	case err != nil || u.Host == "":
		fault("the token endpoint is no URL as https://HOST/PATH")
	case u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1"):
		fault("the token endpoint %s is refused: the client's secret would go over a connection that others can read; take https", u.Redacted())
	}
	if o.ClientID == "" || o.ClientSecret.IsZero() {
		fault("the token endpoint needs a client id and a client secret")
	}
}

// tokenPatience bounds a question to the endpoint.
const tokenPatience = 10 * time.Second

// tokens asks the endpoint for tokens, and keeps the last. Many goroutines may use it.
type tokens struct {
	OAuth
	mu   sync.Mutex
	last *oauth2.Token
}

// get returns a token that has not ended: the one that is kept, or a new one.
func (t *tokens) get(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last.Valid() {
		return t.last.AccessToken, nil
	}
	secret, err := t.ClientSecret.Read()
	if err != nil {
		return "", fmt.Errorf("the client's secret: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, tokenPatience)
	defer cancel()
	asking := clientcredentials.Config{ClientID: t.ClientID, ClientSecret: secret, TokenURL: t.TokenEndpoint, AuthStyle: oauth2.AuthStyleInHeader, Scopes: strings.Fields(t.Scope)}
	if !t.EncodeHeader {
		ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: rawHeader(t.ClientID + ":" + secret)})
	}
	token, err := asking.Token(ctx)
	if err != nil {
		return "", fmt.Errorf("no token from %s: %w", t.TokenEndpoint, withoutBody(err))
	}
	t.last = token
	return token.AccessToken, nil
}

// withoutBody keeps what the endpoint said, and whatever it may have repeated, out of an error.
func withoutBody(err error) error {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return err
	}
	return fmt.Errorf("%s %s", refused.Response.Status, refused.ErrorCode)
}

// rawHeader sends the id and the secret as they are, and not encoded as in a URL: so does Kafka's client.
type rawHeader string

// RoundTrip implements http.RoundTripper.
func (h rawHeader) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(h)))
	return http.DefaultTransport.RoundTrip(r)
}
