package main

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// oneRecord returns the address of a broker that has a topic "in" with the record, and one "out".
func oneRecord(t *testing.T, key, value []byte) string {
	c, err := kfake.NewCluster(kfake.ClusterID(t.Name()), kfake.NumBrokers(1), kfake.SeedTopics(1, "in", "out"), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	addr := c.ListenAddrs()[0]
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	require.NoError(t, err)
	defer cl.Close()
	require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Key: key, Value: value}).FirstErr())
	return addr
}

// The command filters and maps values and keys in each format, writes what a program sets in the same form, and verify reads them so.
// The registry asks for a password, which is given by reference.
func TestFormatsOfValuesAndKeys(t *testing.T) {
	t.Parallel()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	fake.SeedSchema("in-value", 1, 1, sr.Schema{Schema: `{"type":"record","name":"Order","fields":[{"name":"id","type":["null","string"]},{"name":"n","type":"long"}]}`})
	fake.SeedSchema("other-value", 1, 2, sr.Schema{Type: sr.TypeJSON, Schema: `{"properties":{"n":{"type":"integer"}}}`})
	fake.SeedSchema("more-value", 1, 3, sr.Schema{Type: sr.TypeProtobuf, Schema: `syntax = "proto3"; message Order { string id = 1; int64 n = 2; }`})
	fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if user, password, _ := r.BasicAuth(); user == "pipe" && password == "s3cret" {
			return false
		}
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("s3cret\n"), 0o600))
	registry := []string{"--schema-registry", fake.URL(), "--schema-registry-username", "pipe", "--schema-registry-password", "file:" + secret}
	for name, c := range map[string]struct {
		key, value, want string
		args             []string
	}{
		"text":       {"k", "a x b", "k=a y b", []string{"--value-format", "text", "--filter", `.value | test("x")`, "--map", `.value |= sub("x"; "y")`, "--id", ".key"}},
		"base64":     {"\xff", "\x00\xfe", "\x00\xfe=\x00\xfe", []string{"--value-format", "base64", "--key-format", "base64", "--filter", `.value == "AP4="`, "--map", ".key = .value", "--id", ".value"}},
		"key":        {`{"id":1}`, `{"n":1}`, `{"id":2}={"n":1}`, []string{"--key-format", "json", "--map", ".key.id += 1", "--id", ".value.n"}},
		"avro":       {"k", "\x00\x00\x00\x00\x01\x02\x021\x02", "k=\x00\x00\x00\x00\x01\x02\x021\x04", append([]string{"--value-format", "avro", "--filter", `.value.id.string == "1"`, "--map", ".value.n += 1", "--id", ".value.id.string"}, registry...)},
		"jsonschema": {"k", "\x00\x00\x00\x00\x02{\"n\": 1}", "k=\x00\x00\x00\x00\x02{\"n\":2}", append([]string{"--value-format", "jsonschema", "--map", ".value.n += 1", "--id", ".key"}, registry...)},
		"protobuf":   {"k", "\x00\x00\x00\x00\x03\x00\x0a\x011\x10\x01", "k=\x00\x00\x00\x00\x03\x00\x0a\x011\x10\x02", append([]string{"--value-format", "protobuf", "--filter", `.value.id == "1"`, "--map", `.value.n |= (tonumber + 1 | tostring)`, "--id", ".value.id"}, registry...)},
	} {
		addr := oneRecord(t, []byte(c.key), []byte(c.value))
		pipe := []string{"-b", addr, "--from", "in", "--to", "out", "--group", "g"}
		args := append(pipe, c.args...)
		run := args[:0:0]
		for i := 0; i < len(args); i++ {
			if args[i] == "--id" {
				i++
				continue
			}
			run = append(run, args[i])
		}
		code, _, stderr := call(t, append([]string{"run", "--until-end"}, run...)...)
		require.Zero(t, code, "%s: %s", name, stderr)
		require.Equal(t, []string{"0 " + c.want}, committed(t, addr, "out", 1), name)
		code, stdout, stderr := call(t, append([]string{"verify"}, args...)...)
		require.Zero(t, code, "%s: %s %s", name, stdout, stderr)
		require.NotContains(t, stderr, "s3cret")
	}
}

// A value that is not in its format stops the pipe as one for which a program fails; what cannot work is said before anything starts.
func TestFormatFaults(t *testing.T) {
	t.Parallel()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	addr := oneRecord(t, nil, []byte("plain"))
	args := []string{"-b", addr, "--from", "in", "--to", "out", "--group", "g", "--until-end", "--filter", ".value"}
	code, _, stderr := call(t, append([]string{"run", "--value-format", "avro", "--schema-registry", fake.URL()}, args...)...)
	require.Equal(t, exitOperator, code)
	require.Contains(t, stderr, "magic byte")
	for want, more := range map[string][]string{
		"--schema-registry is missing":           {"--value-format", "avro"},
		"--value-format: invalid value":          {"--value-format", "xml"},
		"--key-format: invalid value":            {"--key-format", "xml"},
		"would show the network":                 {"--schema-registry", "http://registry:8081", "--schema-registry-token", "env:EOS_PIPE_TEST_NONE"},
		"holds a user or a password":             {"--schema-registry", "https://u:pass1@registry"},
		"go together":                            {"--schema-registry", "https://registry", "--schema-registry-username", "u"},
		"EOS_PIPE_TEST_NONE is empty or not set": {"--schema-registry", "https://registry", "--schema-registry-token", "env:EOS_PIPE_TEST_NONE"},
		"by reference":                           {"--schema-registry", "https://registry", "--schema-registry-token", "t0ken"},
	} {
		code, _, stderr := call(t, append(append([]string{"run"}, args...), more...)...)
		require.Equal(t, exitUsage, code, stderr)
		require.Contains(t, stderr, want)
		require.NotContains(t, stderr, "pass1")
		require.NotContains(t, stderr, "t0ken")
	}
}
