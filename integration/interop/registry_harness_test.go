package interop

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/codec/registry"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/processor"
)

var listening = regexp.MustCompile(`Listening on: (http://127\.0\.0\.1:[0-9]+)`)

// startRegistry runs Apicurio Registry until the test ends, and returns the URL of the interface that is Confluent's.
func startRegistry(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(neighbours, "registry"), provided(t, "registry"))
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines, said := bufio.NewScanner(out), []string{}
	drained := make(chan struct{})
	t.Cleanup(func() {
		in.Close() // which ends it
		<-drained
		_ = cmd.Wait() // it is killed
	})
	for lines.Scan() {
		said = append(said, lines.Text())
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			go drain(lines, drained)
			return found[1] + "/apis/ccompat/v7"
		}
	}
	close(drained)
	require.FailNow(t, "Apicurio Registry does not start", "%s", strings.Join(said, "\n"))
	return ""
}

func drain(lines *bufio.Scanner, done chan<- struct{}) {
	defer close(done)
	for lines.Scan() { // its log is of no interest once it runs
	}
}

// serializers are those of confluent-kafka for Python, and the registry that both sides use.
type serializers struct {
	*program
	registry *registry.Registry
}

// registryAndPython starts both.
func registryAndPython(t *testing.T) serializers {
	t.Helper()
	url := startRegistry(t)
	reg, err := registry.New(registry.Config{URLs: []string{url}})
	require.NoError(t, err)
	return serializers{converse(t, provided(t, "python"), filepath.Join(neighbours, "python", "registry.py"), url, "."), reg}
}

// spoken is a question to registry.py, or its answer.
type spoken struct {
	Do         string            `json:"do,omitempty"`
	Format     string            `json:"format,omitempty"`
	Topic      string            `json:"topic,omitempty"`
	IDs        string            `json:"ids,omitempty"`
	Schema     string            `json:"schema,omitempty"`
	References [][2]string       `json:"references,omitempty"`
	Config     map[string]any    `json:"config,omitempty"`
	Value      json.RawMessage   `json:"value,omitempty"`
	Bytes      []byte            `json:"bytes,omitempty"`
	Headers    []json.RawMessage `json:"headers,omitempty"`
	Error      string            `json:"error,omitempty"`
}

// dialect is how values of one Go type are told to both sides.
type dialect[T any] struct {
	python    spoken // format, schema and references as Python's serializer has them
	codec     func(topic string, register bool) (processor.Codec[T], error)
	marshal   func(T) ([]byte, error)
	unmarshal func([]byte, *T) error
	equal     func(t *testing.T, want, got T)
}

// exchange lets our codec write what Python reads and Python write what our codec reads. In the one topic our codec has registered
// the schema first, in the other Python has, and our codec has to find it.
func exchange[T any](t *testing.T, s serializers, d dialect[T], values ...T) {
	t.Helper()
	first, second := kafkatest.Name(t, "ours-first"), kafkatest.Name(t, "python-first")
	ours, err := d.codec(first, true)
	require.NoError(t, err)
	theirs, err := d.codec(second, false)
	require.NoError(t, err)
	for _, v := range values {
		pythonReads(t, s, d, first, ours, v)
		pythonWrites(t, s, d, first, ours, v)
		pythonWrites(t, s, d, second, theirs, v)
		pythonReads(t, s, d, second, theirs, v)
	}
}

func pythonReads[T any](t *testing.T, s serializers, d dialect[T], topic string, codec processor.Codec[T], v T) {
	t.Helper()
	data, err := codec.Encode(v)
	require.NoError(t, err)
	q, a := d.python, spoken{}
	q.Do, q.Topic, q.Bytes = "read", topic, data
	s.ask(t, q, &a)
	require.Empty(t, a.Error, "Python reads what our codec wrote to %s: % x", topic, data)
	var got T
	require.NoError(t, d.unmarshal(a.Value, &got), "%s", a.Value)
	d.equal(t, v, got)
}

func pythonWrites[T any](t *testing.T, s serializers, d dialect[T], topic string, codec processor.Codec[T], v T) {
	t.Helper()
	got, err := codec.Decode(pythonsBytes(t, s, d, topic, v))
	require.NoError(t, err, "our codec reads what Python wrote to %s", topic)
	d.equal(t, v, got)
}

// pythonsBytes is a value as Python's serializer writes it; the serializer registers its schema, as it does by default.
func pythonsBytes[T any](t *testing.T, s serializers, d dialect[T], topic string, v T) []byte {
	t.Helper()
	text, err := d.marshal(v)
	require.NoError(t, err)
	q, a := d.python, spoken{}
	q.Do, q.Topic, q.IDs, q.Value = "write", topic, "prefix", text
	s.ask(t, q, &a)
	require.Empty(t, a.Error, "Python writes %s to %s", text, topic)
	return a.Bytes
}
