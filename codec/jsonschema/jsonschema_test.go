package jsonschema_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"pgregory.net/rapid"

	"github.com/eos-pipe/eos-pipe/codec/jsonschema"
	"github.com/eos-pipe/eos-pipe/codec/registry"
	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

type Order struct {
	ID    string `json:"id"`
	Cents int64  `json:"cents"`
}

const orderSchema = `{"type":"object","required":["id"],"properties":{"id":{"type":"string","minLength":1},"cents":{"type":"integer","minimum":0}}}`

// setup returns a registry with schemas, whose ids are 1, 2, ...
func setup(t testing.TB, schemas ...string) (*registry.Registry, *srfake.Registry) {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	for i, s := range schemas {
		fake.SeedSchema("in-value", i+1, i+1, sr.Schema{Schema: s, Type: sr.TypeJSON})
	}
	reg, err := registry.New(registry.Config{URLs: []string{fake.URL()}, Attempts: 1})
	require.NoError(t, err)
	return reg, fake
}

func codec[T any](t testing.TB, reg *registry.Registry, cfg jsonschema.Config) processor.Codec[T] {
	t.Helper()
	c, err := jsonschema.New[T](reg, cfg)
	require.NoError(t, err)
	return c
}

func value(id byte, doc string) []byte { return append([]byte{0, 0, 0, 0, id}, doc...) }

// The wire format: magic byte, schema id, and the JSON as it is.
func TestGolden(t *testing.T) {
	reg, _ := setup(t, orderSchema)
	c := codec[Order](t, reg, jsonschema.Config{Schema: orderSchema, Topic: "in"})
	data, err := c.Encode(Order{"n1", 9007199254740993})
	require.NoError(t, err)
	require.Equal(t, "\x00\x00\x00\x00\x01"+`{"id":"n1","cents":9007199254740993}`, string(data))
	v, err := c.Decode(data)
	require.NoError(t, err)
	require.Equal(t, Order{"n1", 9007199254740993}, v)
}

// A value must keep the writer's schema and, if the codec has one, the codec's; both are tried.
func TestBothSchemas(t *testing.T) {
	const loose, narrow = `{"type":"object"}`, `{"type":"object","properties":{"cents":{"maximum":10}}}`
	reg, _ := setup(t, orderSchema, loose, narrow)
	reader, own := codec[Order](t, reg, jsonschema.Config{}), codec[Order](t, reg, jsonschema.Config{Schema: orderSchema})

	_, err := reader.Decode(value(1, `{"cents":-1}`))
	require.ErrorContains(t, err, "does not keep schema id 1")
	require.ErrorContains(t, err, "missing property 'id'")
	require.ErrorContains(t, err, "minimum")
	require.NotContains(t, err.Error(), "\n")

	_, err = reader.Decode(value(2, `{"cents":-1}`))
	require.NoError(t, err, "the writer allows it, and nobody else was asked")
	_, err = own.Decode(value(2, `{"cents":-1}`))
	require.ErrorContains(t, err, "does not keep the codec's own schema")
	_, err = own.Decode(value(3, `{"id":"1","cents":11}`))
	require.ErrorContains(t, err, "does not keep schema id 3")
	v, err := own.Decode(value(3, `{"id":"1","cents":10,"new":true}`))
	require.NoError(t, err)
	require.Equal(t, Order{"1", 10}, v)
}

// Numbers are compared as they are written, not as floating point numbers.
func TestBigNumbers(t *testing.T) {
	reg, _ := setup(t, `{"type":"integer","maximum":9007199254740992}`)
	_, err := codec[json.Number](t, reg, jsonschema.Config{}).Decode(value(1, "9007199254740993"))
	require.ErrorContains(t, err, "maximum")
}

// Values and schemas that are not what they should be are errors of the record.
func TestDamaged(t *testing.T) {
	reg, fake := setup(t, orderSchema, `{"type":"nothing"}`, `{"pattern":"(?=look)"}`, `{"$ref":"elsewhere.json"}`, `{"minimum":0}`)
	fake.SeedSchema("avro-value", 1, 8, sr.Schema{Schema: `"string"`})
	c := codec[Order](t, reg, jsonschema.Config{})
	for name, bad := range map[string]struct {
		data []byte
		want string
	}{
		"empty":             {[]byte{}, "magic byte"},
		"plain JSON":        {[]byte(`{"id":"1"}`), "magic byte"},
		"unknown id":        {value(42, `{}`), "schema id 42"},
		"no document":       {value(1, ``), "not JSON"},
		"cut":               {value(1, `{"id":`), "not JSON"},
		"trailing":          {value(1, `{"id":"1"}{}`), "not JSON"},
		"not T":             {value(1, `{"id":"1","cents":1e30}`), "not the JSON of a jsonschema_test.Order"},
		"huge number":       {value(5, `1e2000000`), "cannot be checked"},
		"schema's type":     {value(8, `{}`), "of type AVRO, not JSON"},
		"no schema":         {value(2, `{}`), "schema id 2 cannot be used"},
		"no pattern":        {value(3, `{}`), "schema id 3 cannot be used"},
		"missing reference": {value(4, `{}`), "none of the schema's references"},
	} {
		_, err := c.Decode(bad.data)
		require.ErrorContains(t, err, bad.want, name)
		require.NotErrorIs(t, err, processor.ErrTransient, name)
	}
}

// A reference is found among those of the registry, by its name or by the last part of its URL, and never in files.
func TestReferences(t *testing.T) {
	reg, fake := setup(t)
	secret := filepath.Join(t.TempDir(), "secret.json")
	require.NoError(t, os.WriteFile(secret, []byte(`{}`), 0o600))
	fake.SeedSchema("money", 1, 1, sr.Schema{Type: sr.TypeJSON, Schema: `{"type":"object","required":["cents"]}`})
	refs := []sr.SchemaReference{{Name: "money.json", Subject: "money", Version: 1}}
	fake.SeedSchema("in-value", 1, 2, sr.Schema{Type: sr.TypeJSON, References: refs, Schema: `{"properties":{"total":{"$ref":"money.json"}}}`})
	fake.SeedSchema("in-value", 2, 3, sr.Schema{Type: sr.TypeJSON, References: refs, Schema: `{"$id":"https://shop.example/order.json","properties":{"total":{"$ref":"money.json#"}}}`})
	fake.SeedSchema("in-value", 3, 4, sr.Schema{Type: sr.TypeJSON, References: refs, Schema: `{"$ref":"file://` + secret + `"}`})
	c := codec[map[string]any](t, reg, jsonschema.Config{})
	for _, id := range []byte{2, 3} {
		_, err := c.Decode(value(id, `{"total":{"cents":1}}`))
		require.NoError(t, err)
		_, err = c.Decode(value(id, `{"total":{}}`))
		require.ErrorContains(t, err, "missing property 'cents'")
	}
	_, err := c.Decode(value(4, `{}`))
	require.ErrorContains(t, err, "none of the schema's references")
}

// A value that does not keep the schema is not written.
func TestEncodeMisfit(t *testing.T) {
	reg, _ := setup(t, orderSchema)
	_, err := codec[Order](t, reg, jsonschema.Config{Schema: orderSchema, Topic: "in"}).Encode(Order{ID: ""})
	require.ErrorContains(t, err, "to be written does not keep its schema")
	require.ErrorContains(t, err, "minLength")
}

// What cannot work is said: a broken schema at the start, a missing one at the first record to be written.
func TestNew(t *testing.T) {
	reg, _ := setup(t)
	for _, bad := range []string{`{`, `{"type":"nothing"}`, `{"$ref":"elsewhere.json"}`} {
		_, err := jsonschema.New[Order](reg, jsonschema.Config{Schema: bad})
		require.ErrorContains(t, err, "the JSON Schema codec of jsonschema_test.Order", bad)
	}
	_, err := codec[Order](t, reg, jsonschema.Config{Topic: "out"}).Encode(Order{})
	require.ErrorContains(t, err, "set the Schema")
	_, err = codec[Order](t, reg, jsonschema.Config{Schema: orderSchema}).Encode(Order{})
	require.ErrorContains(t, err, "can only read")
}

// A registry that is down is told apart from a bad record, also through a pipe's error.
func TestRegistryDown(t *testing.T) {
	reg, fake := setup(t, orderSchema)
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true })
	c := codec[Order](t, reg, jsonschema.Config{Schema: orderSchema, Topic: "out"})
	pipe := processor.Pipe[Order, Order]{Source: processor.From(c, "in"), Sink: processor.To(c, "out")}
	_, err := processortest.Run(t.Context(), processor.Config{}, pipe, &kgo.Record{Value: value(1, `{"id":"1"}`)})
	require.ErrorIs(t, err, processor.ErrTransient)
	_, err = c.Encode(Order{ID: "1"})
	require.ErrorIs(t, err, processor.ErrTransient)
}

// Tombstones: null reads as the zero T, and what encodes to null is written as one, without the registry.
func TestTombstones(t *testing.T) {
	reg, fake := setup(t)
	fake.Close()
	c := codec[*Order](t, reg, jsonschema.Config{Schema: orderSchema, Topic: "in"})
	v, err := c.Decode(nil)
	require.NoError(t, err)
	require.Nil(t, v)
	data, err := c.Encode(nil)
	require.NoError(t, err)
	require.Nil(t, data)
}

// Many goroutines share a codec, over several writers' schemas.
func TestConcurrent(t *testing.T) {
	reg, _ := setup(t, orderSchema, `{"type":"object"}`)
	c := codec[Order](t, reg, jsonschema.Config{Schema: orderSchema, Topic: "out", AutoRegister: true})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := range 30 {
				v, err := c.Decode(value(byte(n%2+1), `{"id":"1"}`))
				require.NoError(t, err)
				v.Cents = int64(n)
				data, err := c.Encode(v)
				require.NoError(t, err)
				again, err := c.Decode(data)
				require.NoError(t, err)
				require.Equal(t, v, again)
			}
		})
	}
	wg.Wait()
}

// What was written is read as it was, whatever the values.
func TestRoundTrip(t *testing.T) {
	reg, _ := setup(t)
	c := codec[Order](t, reg, jsonschema.Config{Schema: orderSchema, Topic: "out", AutoRegister: true})
	rapid.Check(t, func(t *rapid.T) {
		v := Order{rapid.StringN(1, -1, -1).Draw(t, "id"), rapid.Int64Min(0).Draw(t, "cents")}
		data, err := c.Encode(v)
		require.NoError(t, err)
		again, err := c.Decode(data)
		require.NoError(t, err)
		require.Equal(t, v, again)
	})
}

// "format" says the same in every draft: nothing, unless it is asked for; in schemas within others, too.
func TestFormats(t *testing.T) {
	const form = `{"$schema":"%s","type":"object","properties":{"at":{"format":"date-time"},"re":{"format":"regex"},"all":{"items":{"$ref":"#/definitions/mail"}},
		"some":{"anyOf":[{"type":"number"},{"format":"ipv4"}]},"free":{"additionalProperties":{"format":"uuid"}}},"definitions":{"mail":{"format":"email"}}}`
	for _, draft := range []string{
		"http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-06/schema#", "http://json-schema.org/draft-07/schema#",
		"https://json-schema.org/draft/2019-09/schema", "https://json-schema.org/draft/2020-12/schema", "",
	} {
		schema := strings.Replace(form, "%s", draft, 1)
		if draft == "" {
			schema = strings.Replace(form, `"$schema":"%s",`, "", 1)
		}
		reg, _ := setup(t, schema)
		for _, doc := range []string{`{"at":"yesterday"}`, `{"re":"("}`, `{"all":["nobody"]}`, `{"some":"host"}`, `{"free":{"x":"1"}}`} {
			_, err := codec[map[string]any](t, reg, jsonschema.Config{Schema: schema}).Decode(value(1, doc))
			require.NoError(t, err, "%s: %s", draft, doc)
			_, err = codec[map[string]any](t, reg, jsonschema.Config{CheckFormats: true}).Decode(value(1, doc))
			require.ErrorContains(t, err, "is not valid", "%s: %s", draft, doc)
		}
	}
}

// What is wrong is said in one line, whatever the names and values, and numbers that differ look different.
func TestMessages(t *testing.T) {
	reg, _ := setup(t, `{"properties":{"n":{"maximum":9007199254740992},"x":{"multipleOf":0.1},"e":{"exclusiveMinimum":1e300},"a\nb":{"type":"string"},
		"s":{"pattern":"^x\ny$"},"c":{"const":"p\nq"},"o":{"additionalProperties":false}}}`, "{\"properties\":{\"a\\nb\":{\"type\":\"no\\nthing\"}}}")
	c := codec[any](t, reg, jsonschema.Config{})
	for doc, want := range map[string]string{
		`{"n":9007199254740993}`:       `at '/n': maximum: got 9007199254740993, want 9007199254740992`,
		`{"x":1.00000000000000000001}`: `at '/x': multipleOf: got 1.00000000000000000001, want 0.1`,
		`{"e":1}`:                      `exclusiveMinimum: got 1, want 1e+300`,
		`{"a\nb":1}`:                   `at '/a\nb': got number, want string`,
		`{"s":"\r\n"}`:                 `at '/s': `,
		`{"c":"\u2028"}`:               `at '/c': `,
		`{"o":{"u\nv":1}}`:             `u\nv`,
	} {
		_, err := c.Decode(value(1, doc))
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n", doc)
		require.NotContains(t, err.Error(), "\r", doc)
		require.NotContains(t, err.Error(), "\u2028", doc)
	}
	_, err := c.Decode(value(2, `{}`))
	require.ErrorContains(t, err, "schema id 2 cannot be used")
	require.NotContains(t, err.Error(), "\n")
}

// JSON of any schema is taken as it is, and checked on both ways.
func TestJSONOfAnySchema(t *testing.T) {
	reg, _ := setup(t, orderSchema)
	j := jsonschema.NewJSON(reg, false)
	data := value(1, `{"id": "1", "cents": 9007199254740993}`)
	text, err := j.ToJSON(data)
	require.NoError(t, err)
	require.Equal(t, `{"id": "1", "cents": 9007199254740993}`, string(text))
	again, err := j.FromJSON(text, data)
	require.NoError(t, err)
	require.Equal(t, data, again)
	_, err = j.ToJSON(value(1, `{}`))
	require.ErrorContains(t, err, "does not keep schema id 1")
	_, err = j.FromJSON([]byte(`{}`), data)
	require.ErrorContains(t, err, "to be written does not keep schema id 1")
}
