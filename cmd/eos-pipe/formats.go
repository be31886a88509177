package main

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/eos-pipe/eos-pipe/codec/avro"
	"github.com/eos-pipe/eos-pipe/codec/jsonschema"
	"github.com/eos-pipe/eos-pipe/codec/protobuf"
	"github.com/eos-pipe/eos-pipe/codec/registry"
	"github.com/eos-pipe/eos-pipe/internal/jq"
	"github.com/eos-pipe/eos-pipe/security"
)

// This file is what the bytes of values and keys are to --filter, --map and --id.

// formats is what a command was told of the bytes of values and keys, and where their schemas are.
type formats struct {
	value, key string
	urls       []string // of one schema registry
	username   string
	password   security.Secret
	token      security.Secret
}

// plainFormats need no schema registry, registryFormats do.
var (
	plainFormats    = []string{"json", "text", "base64"}
	registryFormats = []string{"avro", "protobuf", "jsonschema"}
)

func addFormats(f *pflag.FlagSet, o *formats) {
	f.StringVar(&o.value, "value-format", "json", "`json|text|base64|avro|protobuf|jsonschema`: how the expressions read the bytes of values; the last three need --schema-registry")
	f.StringVar(&o.key, "key-format", "text", "`json|text|base64|avro|protobuf|jsonschema`: how the expressions read the bytes of keys")
	f.StringSliceVar(&o.urls, "schema-registry", nil, "`url` of the schema registry, or of its instances with commas")
	f.StringVar(&o.username, "schema-registry-username", "", "`user` for the schema registry")
	f.Var(&secretValue{&o.password}, "schema-registry-password", "`ref` to the password: env:NAME or file:/path, never the password itself")
	f.Var(&secretValue{&o.token}, "schema-registry-token", "`ref` to a bearer token for the schema registry; eos-pipe reads a file again for every request")
}

func (o *formats) check(all *faults) {
	known := slices.Concat(plainFormats, registryFormats)
	checkOneOf(all, "value-format", o.value, known...)
	checkOneOf(all, "key-format", o.key, known...)
	if len(o.urls) == 0 && (slices.Contains(registryFormats, o.value) || slices.Contains(registryFormats, o.key)) {
		all.add("--schema-registry is missing", "--value-format and --key-format avro, protobuf and jsonschema read schemas there: --schema-registry https://HOST:8081")
	}
	secret := !o.password.IsZero() || !o.token.IsZero()
	for _, at := range o.urls {
		u, err := url.Parse(at)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			all.add("--schema-registry: invalid value "+quote(redacted(at)), "write https://HOST:PORT")
		case u.User != nil:
			all.add("--schema-registry holds a user or a password", "other users can see a command line: give --schema-registry-username, and --schema-registry-password by reference")
		case secret && u.Scheme == "http" && !isLoopback(u.Hostname()):
			all.add("--schema-registry "+quote(at)+" would show the network the password or token", "take https")
		}
	}
	if (o.username == "") != o.password.IsZero() {
		all.add("--schema-registry-username and --schema-registry-password go together", "give both or neither")
	}
	if !o.password.IsZero() && !o.token.IsZero() {
		all.add("both a password and a token are given for the schema registry", "give --schema-registry-password or --schema-registry-token")
	}
	if len(o.urls) == 0 && (secret || o.username != "") {
		all.add("credentials are given for a schema registry, but no --schema-registry", "give --schema-registry URL, or leave them out")
	}
}

// redacted is a URL that may be wrong, without what may be a password in it.
func redacted(at string) string {
	if i := strings.LastIndexByte(at, '@'); i >= 0 {
		return "…" + at[i:]
	}
	return at
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// open has the programs see values and keys in their formats. An error is one of usage: a secret that cannot be read. It makes no
// request.
func (o *formats) open(programs ...**jq.Program) error {
	for _, secret := range []security.Secret{o.password, o.token} {
		if secret.IsZero() {
			continue
		}
		if _, err := secret.Read(); err != nil {
			return usageError("the credentials of the schema registry: "+err.Error(), "nothing was started; docs/security.md says how secrets are given")
		}
	}
	var reg *registry.Registry
	if len(o.urls) > 0 {
		var err error
		client := &http.Client{Transport: credentials{o.username, o.password, o.token}}
		if reg, err = registry.New(registry.Config{URLs: o.urls, Client: []sr.ClientOpt{sr.HTTPClient(client)}}); err != nil {
			return usageError(err.Error(), "nothing was started")
		}
	}
	value, key := formatOf(o.value, reg), formatOf(o.key, reg)
	for _, p := range programs {
		*p = (*p).WithFormats(value, key)
	}
	return nil
}

func formatOf(name string, reg *registry.Registry) jq.Format {
	switch name {
	case "text":
		return jq.Text
	case "base64":
		return jq.Base64
	case "avro":
		c := avro.NewJSON(reg)
		return jq.Coded(c.ToJSON, c.FromJSON)
	case "protobuf":
		c := protobuf.NewJSON(reg)
		return jq.Coded(c.ToJSON, c.FromJSON)
	case "jsonschema":
		c := jsonschema.NewJSON(reg, false)
		return jq.Coded(c.ToJSON, c.FromJSON)
	}
	return jq.JSON
}

// credentials says who we are with every request; secrets are read for each.
type credentials struct {
	username        string
	password, token security.Secret
}

// RoundTrip implements http.RoundTripper.
func (c credentials) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if !c.password.IsZero() {
		password, err := c.password.Read()
		if err != nil {
			return nil, fmt.Errorf("the password: %w", err)
		}
		r.SetBasicAuth(c.username, password)
	}
	if !c.token.IsZero() {
		token, err := c.token.Read()
		if err != nil {
			return nil, fmt.Errorf("the token: %w", err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return http.DefaultTransport.RoundTrip(r)
}
