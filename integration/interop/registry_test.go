package interop

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/eos-pipe/eos-pipe/codec/avro"
	"github.com/eos-pipe/eos-pipe/codec/jsonschema"
	"github.com/eos-pipe/eos-pipe/codec/protobuf"
	"github.com/eos-pipe/eos-pipe/integration/interop/parcel"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/processor"
)

// Our codecs and the serializers of confluent-kafka for Python understand each other over a real registry (Apicurio), whoever has registered the
// schema.
func TestRegistry(t *testing.T) {
	s := registryAndPython(t)
	t.Run("Avro", func(t *testing.T) { exchange(t, s, avroParcels(s), parcels()...) })
	t.Run("JSONSchema", func(t *testing.T) { exchange(t, s, jsonParcels(s), parcels()...) })
	t.Run("JSONSchemaReference", func(t *testing.T) { readReferences(t, s) })
	t.Run("Protobuf", func(t *testing.T) { exchange(t, s, messages[*parcel.Parcel](s), protoParcel()) })
	t.Run("ProtobufFirst", func(t *testing.T) { exchange(t, s, messages[*parcel.Label](s), &parcel.Label{Text: "fragile"}) })
	t.Run("ProtobufNested", func(t *testing.T) { exchange(t, s, messages[*parcel.Parcel_Item](s), protoParcel().GetItems()...) })
	t.Run("ProtobufNestedTwice", func(t *testing.T) { nestedTwice(t, s) })
	t.Run("IDInHeaders", func(t *testing.T) { idInHeaders(t, s) })
}

// aParcel is a value in Avro and in JSON.
type aParcel struct {
	ID     string            `avro:"id" json:"id"`
	Grams  int64             `avro:"grams" json:"grams"`
	Labels map[string]string `avro:"labels" json:"labels"`
	Items  []anItem          `avro:"items" json:"items"`
	Note   *string           `avro:"note" json:"note"`
	Placed time.Time         `avro:"placed,timestamp-millis" json:"placed"`
}

type anItem struct {
	Article string `avro:"article" json:"article"`
	Pieces  int32  `avro:"pieces" json:"pieces"`
}

func parcels() []aParcel {
	placed := time.Date(2026, 11, 30, 12, 0, 0, 123_000_000, time.UTC)
	return []aParcel{
		{
			ID: "Größe ☃ 𝄞", Grams: 1<<53 + 1, Labels: map[string]string{"": "empty", "ä": ""}, Note: new("by hand"), Placed: placed,
			Items: []anItem{{"bolt", 1<<31 - 1}, {"", -1 << 31}},
		},
		{Labels: map[string]string{}, Items: []anItem{}, Grams: -1, Placed: placed.AddDate(-60, 0, 0)},
	}
}

func equalParcels(t *testing.T, want, got aParcel) {
	t.Helper()
	got.Placed = got.Placed.UTC()
	require.Equal(t, want, got)
}

func unmarshal[T any](data []byte, v *T) error { return json.Unmarshal(data, v) }

func marshal[T any](v T) ([]byte, error) { return json.Marshal(v) }

const avroSchema = `{"type":"record","name":"Parcel","namespace":"parcel.v1","fields":[
	{"name":"id","type":"string"},
	{"name":"grams","type":"long"},
	{"name":"labels","type":{"type":"map","values":"string"}},
	{"name":"items","type":{"type":"array","items":{"type":"record","name":"Item","fields":[
		{"name":"article","type":"string"},{"name":"pieces","type":"int"}]}}},
	{"name":"note","type":["null","string"],"default":null},
	{"name":"placed","type":{"type":"long","logicalType":"timestamp-millis"}}]}`

func avroParcels(s serializers) dialect[aParcel] {
	return dialect[aParcel]{
		python: spoken{Format: "avro", Schema: avroSchema},
		codec: func(topic string, register bool) (processor.Codec[aParcel], error) {
			return avro.New[aParcel](s.registry, avro.Config{Schema: avroSchema, Topic: topic, AutoRegister: register})
		},
		marshal: marshal[aParcel], unmarshal: unmarshal[aParcel], equal: equalParcels,
	}
}

const draft7 = `"$schema":"http://json-schema.org/draft-07/schema#"`

const jsonSchema = `{` + draft7 + `,"title":"Parcel","type":"object","additionalProperties":false,
	"required":["id","grams"],
	"properties":{
		"id":{"type":"string"},
		"grams":{"type":"integer","minimum":-1},
		"labels":{"type":"object","additionalProperties":{"type":"string"}},
		"items":{"type":"array","items":{"type":"object","properties":{"article":{"type":"string"},"pieces":{"type":"integer"}}}},
		"note":{"type":["null","string"]},
		"placed":{"type":"string"}}}`

func jsonParcels(s serializers) dialect[aParcel] {
	return dialect[aParcel]{
		python: spoken{Format: "json", Schema: jsonSchema},
		codec: func(topic string, register bool) (processor.Codec[aParcel], error) {
			return jsonschema.New[aParcel](s.registry, jsonschema.Config{Schema: jsonSchema, Topic: topic, AutoRegister: register})
		},
		marshal: marshal[aParcel], unmarshal: unmarshal[aParcel], equal: equalParcels,
	}
}

// A schema that Python has written with a reference to another one is read with it: what keeps both is read, and what does not keep the other is
// refused. (Python would not write it, so it is written with a schema that demands less, and its id changed.)
func readReferences(t *testing.T, s serializers) {
	type inn struct {
		To map[string]string `json:"to"`
	}
	loose := dialect[inn]{python: spoken{Format: "json", Schema: `{` + draft7 + `,"title":"Inn","type":"object"}`}, marshal: marshal[inn]}
	strict := loose
	strict.python.Schema = `{` + draft7 + `,"title":"Inn","type":"object","properties":{"to":{"$ref":"place.json"}}}`
	strict.python.References = [][2]string{{"place.json", `{` + draft7 + `,"type":"object","required":["city"]}`}}
	codec, err := jsonschema.New[inn](s.registry, jsonschema.Config{})
	require.NoError(t, err)
	good := pythonsBytes(t, s, strict, "inns", inn{map[string]string{"city": "Ulm"}})
	got, err := codec.Decode(good)
	require.NoError(t, err)
	require.Equal(t, "Ulm", got.To["city"])
	bad := pythonsBytes(t, s, loose, "others", inn{map[string]string{"country": "Peru"}})
	_, err = codec.Decode(bad)
	require.NoError(t, err)
	copy(bad[:5], good[:5])
	_, err = codec.Decode(bad)
	require.ErrorContains(t, err, "city")
}

// messages are values in Protobuf: Python's serializer gets the message's class, and registers the schema that the class carries.
func messages[T proto.Message](s serializers) dialect[T] {
	var none T
	name := none.ProtoReflect().Descriptor().FullName()
	return dialect[T]{
		python: spoken{Format: "protobuf", Schema: string(name)},
		codec: func(topic string, register bool) (processor.Codec[T], error) {
			return protobuf.New[T](s.registry, protobuf.Config{Topic: topic, AutoRegister: register})
		},
		marshal: func(v T) ([]byte, error) { return protojson.Marshal(v) },
		unmarshal: func(data []byte, v *T) error {
			*v = none.ProtoReflect().New().Interface().(T)
			return protojson.Unmarshal(data, *v)
		},
		equal: func(t *testing.T, want, got T) {
			t.Helper()
			require.True(t, proto.Equal(want, got), "want %v\ngot %v", want, got)
		},
	}
}

// A message that is nested in one that stands behind a map field has two indexes: Java's serializer does not count the messages of map fields, Python's
// does. Our codec reads both. It writes Java's, which Python's deserializer takes for the index of the map's message and refuses, unless its Config
// says that the topic's clients count as Python does.
func nestedTwice(t *testing.T, s serializers) {
	d, v := messages[*parcel.Parcel_Item_Part](s), &parcel.Parcel_Item_Part{Name: "screw"}
	topic := kafkatest.Name(t, "parts")
	codec, err := d.codec(topic, true)
	require.NoError(t, err)
	pythons := pythonsBytes(t, s, d, topic, v)
	require.Equal(t, []byte{6, 2, 2, 2}, pythons[5:9], "Python's index")
	got, err := codec.Decode(pythons)
	require.NoError(t, err)
	d.equal(t, v, got)

	ours, err := codec.Encode(v)
	require.NoError(t, err)
	require.Equal(t, []byte{6, 2, 0, 0}, ours[5:9], "our index, which is Java's")
	q, a := d.python, spoken{}
	q.Do, q.Topic, q.Bytes = "read", topic, ours
	s.ask(t, q, &a)
	require.Contains(t, a.Error, "message index 0 out of range")

	d.codec = func(topic string, register bool) (processor.Codec[*parcel.Parcel_Item_Part], error) {
		return protobuf.New[*parcel.Parcel_Item_Part](s.registry, protobuf.Config{Topic: topic, AutoRegister: register, MapEntries: protobuf.MapEntriesCounted})
	}
	exchange(t, s, d, v)
}

func protoParcel() *parcel.Parcel {
	return &parcel.Parcel{
		Id: "Größe ☃ 𝄞", Grams: 1<<53 + 1, Labels: map[string]string{"": "empty", "ä": ""}, To: &parcel.Place{Country: "PE", City: "Cusco"},
		Placed: timestamppb.New(time.Date(2026, 11, 30, 12, 0, 0, 123_456_789, time.UTC)), Note: new(""),
		Items: []*parcel.Parcel_Item{{
			Article: "bolt", Pieces: -1, Made: map[string]*parcel.Place{"in": {City: "Ulm"}}, Parts: []*parcel.Parcel_Item_Part{{Name: "nut"}, {}},
		}},
	}
}

// Apicurio 3.0 gives schemas no GUID, so Python's serializer refuses to write one into a header. A value whose id stands in a header is none that our codecs
// read: they say so, and do not take its first bytes for an id.
func idInHeaders(t *testing.T, s serializers) {
	d := avroParcels(s)
	text, err := d.marshal(parcels()[0])
	require.NoError(t, err)
	q, a := d.python, spoken{}
	q.Do, q.Topic, q.IDs, q.Value = "write", "headers", "header", text
	s.ask(t, q, &a)
	require.Contains(t, a.Error, "Schema GUID is not set")

	codec, err := d.codec("headers", false)
	require.NoError(t, err)
	_, err = codec.Decode(pythonsBytes(t, s, d, "headers", parcels()[0])[5:])
	require.ErrorContains(t, err, "no magic byte and schema id")
}
