package security_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/eos-pipe/eos-pipe/security"
)

// endpoint gives tokens that end after so many seconds, to one client with a secret that a URL would encode, and counts.
func endpoint(t *testing.T, lasting int) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, pass, _ := r.BasicAuth()
		if name != "pipe" || pass != "s3cret/+%" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "kafka" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":"invalid_client","error_description":"%s"}`, pass)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":%d}`, asked.Add(1), lasting)
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

// bothForms are a client.properties with an endpoint for tokens: as Kafka 4.1 has it, and as before, in the JAAS entry.
func bothForms(url, secret string) map[string]string {
	head := "security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.token.endpoint.url=" + url +
		"\nsasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler\n"
	module := "sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required"
	return map[string]string{
		"settings": head + "sasl.oauthbearer.client.credentials.client.id=pipe\nsasl.oauthbearer.client.credentials.client.secret=" + secret + "\nsasl.oauthbearer.scope=kafka\n" + module + ";\n",
		"jaas":     head + module + ` clientId="pipe" clientSecret="` + secret + `" scope="kafka";` + "\n",
	}
}

// A token comes from the endpoint that a client.properties names; it is kept as long as it holds, and asked for again when it has ended. The
// secret is sent as it is, as Kafka's client does.
func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	for lasting, want := range map[int]int32{3600: 1, 1: 2} {
		url, asked := endpoint(t, lasting)
		for form, text := range bothForms(url, "s3cret/+%") {
			asked.Store(0)
			p, err := security.FromProperties(strings.NewReader(text))
			require.NoError(t, err, form)
			require.NoError(t, p.Config.Validate(), form)
			m := mechanism(t, p.Config)
			for range 2 {
				_, first, err := m.Authenticate(t.Context(), "b:9092")
				require.NoError(t, err, form)
				require.Contains(t, string(first), "auth=Bearer token-", form)
			}
			require.Equal(t, want, asked.Load(), "%s, tokens of %d s", form, lasting)
		}
	}
}

// An endpoint that refuses is named, with its answer's code; what it repeats of the secret is not.
func TestTokenEndpointRefuses(t *testing.T) {
	t.Parallel()
	url, _ := endpoint(t, 1)
	p, err := security.FromProperties(strings.NewReader(bothForms(url, "wrong")["settings"]))
	require.NoError(t, err)
	_, _, err = mechanism(t, p.Config).Authenticate(t.Context(), "b:9092")
	require.ErrorContains(t, err, "no token from "+url)
	require.ErrorContains(t, err, "401 Unauthorized invalid_client")
	require.NotContains(t, err.Error(), "wrong")
}

// An endpoint that would be told the secret in the clear is refused, and one that lacks something.
func TestTokenEndpointIsChecked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"sasl.oauthbearer.token.endpoint.url=http://idp.example/token":                                         "take https",
		"sasl.oauthbearer.token.endpoint.url=idp":                                                              "no URL",
		"sasl.oauthbearer.token.endpoint.url=https://idp.example/token":                                        "needs a client id and a client secret",
		"sasl.oauthbearer.client.credentials.client.id=a\nsasl.oauthbearer.client.credentials.client.secret=b": "token.endpoint.url is missing",
	} {
		p, err := security.FromProperties(strings.NewReader("security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\n" + text))
		require.NoError(t, err)
		require.ErrorContains(t, p.Config.Validate(), want, text)
	}
}

// mechanism is what a client by cfg is given for SASL.
func mechanism(t *testing.T, cfg security.Config) sasl.Mechanism {
	t.Helper()
	cl, err := kgo.NewClient(options(t, cfg)...)
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return mechanismOf(cl)
}
