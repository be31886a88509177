package protobuf_test

import (
	"encoding/base64"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"

	"github.com/eos-pipe/eos-pipe/codec/protobuf"
	"github.com/eos-pipe/eos-pipe/codec/protobuf/internal/shop"
	"github.com/eos-pipe/eos-pipe/codec/registry"
	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

func read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile("internal/shop/" + file)
	require.NoError(t, err)
	return string(text)
}

// setup returns a registry that has the text of money.proto as id 1, of order.proto as id 2, and the descriptor of money.proto
// as id 3.
func setup(t testing.TB) (*registry.Registry, *srfake.Registry) {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	fake.SeedSchema("shop/money.proto", 1, 1, sr.Schema{Type: sr.TypeProtobuf, Schema: read(t, "money.proto")})
	fake.SeedSchema("in-value", 1, 2, sr.Schema{
		Type: sr.TypeProtobuf, Schema: read(t, "order.proto"),
		References: []sr.SchemaReference{{Name: "shop/money.proto", Subject: "shop/money.proto", Version: 1}},
	})
	raw, err := proto.Marshal(protodesc.ToFileDescriptorProto(shop.File_shop_money_proto))
	require.NoError(t, err)
	fake.SeedSchema("money-value", 1, 3, sr.Schema{Type: sr.TypeProtobuf, Schema: base64.StdEncoding.EncodeToString(raw)})
	reg, err := registry.New(registry.Config{URLs: []string{fake.URL()}, Attempts: 1})
	require.NoError(t, err)
	return reg, fake
}

func codec[T proto.Message](t testing.TB, reg *registry.Registry, cfg protobuf.Config) processor.Codec[T] {
	t.Helper()
	c, err := protobuf.New[T](reg, cfg)
	require.NoError(t, err)
	return c
}

// The example of Protobuf's documentation (field 1 = "testing" is 0a 07 74 65 73 74 69 6e 67) in the wire format, for the
// first message of a file, whose index is one zero byte; written by a .proto text and by a descriptor.
func TestGolden(t *testing.T) {
	reg, _ := setup(t)
	for _, id := range []byte{1, 3} {
		v, err := codec[*shop.Money](t, reg, protobuf.Config{}).Decode([]byte{0, 0, 0, 0, id, 0, 0x0a, 7, 't', 'e', 's', 't', 'i', 'n', 'g'})
		require.NoError(t, err)
		require.Equal(t, "testing", v.Currency)
	}
	data, err := codec[*shop.Money](t, reg, protobuf.Config{Topic: "money"}).Encode(&shop.Money{Currency: "testing", Cents: 150})
	require.NoError(t, err, "the descriptor that the type carries is the one that stands there")
	require.Equal(t, []byte{0, 0, 0, 0, 3, 0, 0x0a, 7, 't', 'e', 's', 't', 'i', 'n', 'g', 0x10, 0x96, 1}, data)
}

// Messages that are not the first of their file have their way as zigzag varints before them: [1] is 02 02, [1,0] is 04 02 00. Those
// behind a map field are also understood as clients write them that count its hidden message.
func TestIndexes(t *testing.T) {
	reg, _ := setup(t)
	cfg := protobuf.Config{Topic: "in", Schema: read(t, "order.proto")}

	// What order.proto imports stands in the registry as text; the codec looks for its descriptor.
	_, err := codec[*shop.Order](t, reg, cfg).Encode(&shop.Order{})
	require.ErrorContains(t, err, `import "shop/money.proto"`)

	cfg.AutoRegister = true
	data, err := codec[*shop.Order](t, reg, cfg).Encode(&shop.Order{Id: "1"})
	require.NoError(t, err)
	require.Equal(t, []byte{2, 2, 0x0a, 1, '1'}, data[5:])
	data, err = codec[*shop.Order_Line](t, reg, cfg).Encode(&shop.Order_Line{Article: "x"})
	require.NoError(t, err)
	require.Equal(t, []byte{4, 2, 0, 0x0a, 1, 'x'}, data[5:])

	for _, index := range [][]byte{{4, 2, 0}, {4, 2, 2}} {
		v, err := codec[*shop.Order_Line](t, reg, protobuf.Config{}).Decode(append(append([]byte{0, 0, 0, 0, 2}, index...), 0x0a, 1, 'x'))
		require.NoError(t, err)
		require.Equal(t, "x", v.Article)
	}
}

// Another message than the codec's is refused by its name, though its bytes could be read.
func TestOtherMessage(t *testing.T) {
	reg, _ := setup(t)
	for index, want := range map[string]string{
		"\x00":         "the value holds shop.v1.Before, of schema id 2, and not shop.v1.Order",
		"\x04\x02\x00": "the value holds shop.v1.Order.Line, of schema id 2",
		"\x02\x12":     "the value holds message [9], which its schema does not have",
	} {
		_, err := codec[*shop.Order](t, reg, protobuf.Config{}).Decode([]byte("\x00\x00\x00\x00\x02" + index + "\x0a\x011"))
		require.ErrorContains(t, err, want)
		require.NotErrorIs(t, err, processor.ErrTransient)
	}
	_, err := codec[*wrapperspb.StringValue](t, reg, protobuf.Config{}).Decode([]byte{0, 0, 0, 0, 2, 0})
	require.ErrorContains(t, err, "and not google.protobuf.StringValue")
}

// A writer's file may have the message elsewhere, and with other fields: what the program does not know is kept and written again.
func TestEvolution(t *testing.T) {
	reg, fake := setup(t)
	fake.SeedSchema("new-value", 1, 7, sr.Schema{Type: sr.TypeProtobuf, Schema: `syntax = "proto3"; package shop.v1;
		message First {}  message Second {}
		message Money { string currency = 1; int64 cents = 2; string rounding = 15; }`})
	c := codec[*shop.Money](t, reg, protobuf.Config{Topic: "money"})
	wire := []byte{0x0a, 3, 'E', 'U', 'R', 0x10, 5, 0x7a, 2, 'u', 'p'}
	v, err := c.Decode(append([]byte{0, 0, 0, 0, 7, 2, 4}, wire...))
	require.NoError(t, err)
	require.Equal(t, "EUR", v.Currency)
	data, err := c.Encode(v)
	require.NoError(t, err)
	require.Equal(t, append([]byte{0, 0, 0, 0, 3, 0}, wire...), data)
}

// Values that are not what they should be are errors of the record.
func TestDamaged(t *testing.T) {
	reg, fake := setup(t)
	fake.SeedSchema("avro-value", 1, 8, sr.Schema{Schema: `"string"`})
	fake.SeedSchema("bad-value", 1, 9, sr.Schema{Schema: `message {`, Type: sr.TypeProtobuf})
	c := codec[*shop.Money](t, reg, protobuf.Config{})
	for name, bad := range map[string]struct {
		data []byte
		want string
	}{
		"empty":         {[]byte{}, "magic byte"},
		"no indexes":    {[]byte{0, 0, 0, 0, 1}, "message indexes"},
		"unknown id":    {[]byte{0, 0, 0, 0, 42, 0}, "schema id 42"},
		"cut":           {[]byte{0, 0, 0, 0, 1, 0, 0x0a, 7, 't'}, "not a shop.v1.Money"},
		"schema's type": {[]byte{0, 0, 0, 0, 8, 0}, "of type AVRO, not PROTOBUF"},
		"its schema":    {[]byte{0, 0, 0, 0, 9, 0}, "no .proto file"},
	} {
		v, err := c.Decode(bad.data)
		require.ErrorContains(t, err, bad.want, name)
		require.NotErrorIs(t, err, processor.ErrTransient, name)
		require.Nil(t, v, name)
		require.NotContains(t, err.Error(), "\n", name)
	}
}

// A registry that is down is told apart from a bad record, also through a pipe's error.
func TestRegistryDown(t *testing.T) {
	reg, fake := setup(t)
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true })
	c := codec[*shop.Money](t, reg, protobuf.Config{Topic: "money"})
	pipe := processor.Pipe[*shop.Money, *shop.Money]{Source: processor.From(c, "in"), Sink: processor.To(c, "money")}
	_, err := processortest.Run(t.Context(), processor.Config{}, pipe, &kgo.Record{Value: []byte{0, 0, 0, 0, 1, 0}})
	require.ErrorIs(t, err, processor.ErrTransient)
	_, err = c.Encode(&shop.Money{})
	require.ErrorIs(t, err, processor.ErrTransient)
}

// Registering a schema registers what it imports before it, under the import's path, and without it nothing is registered.
func TestRegister(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	reg, err := registry.New(registry.Config{URLs: []string{fake.URL()}, Attempts: 1})
	require.NoError(t, err)
	_, err = codec[*shop.Order](t, reg, protobuf.Config{Topic: "out"}).Encode(&shop.Order{Id: "1"})
	require.ErrorContains(t, err, "set AutoRegister")
	require.False(t, fake.SubjectExists("shop/money.proto"))

	c := codec[*shop.Order](t, reg, protobuf.Config{Topic: "out", AutoRegister: true})
	data, err := c.Encode(&shop.Order{Id: "1", Total: &shop.Money{Cents: 3}, Placed: timestamppb.New(timestamppb.Now().AsTime())})
	require.NoError(t, err)
	s, ok := fake.GetSchema("out-value", 1)
	require.True(t, ok)
	require.Equal(t, []sr.SchemaReference{{Name: "shop/money.proto", Subject: "shop/money.proto", Version: 1}}, s.References)
	require.True(t, fake.SubjectExists("shop/money.proto"))

	v, err := c.Decode(data)
	require.NoError(t, err)
	require.EqualValues(t, 3, v.GetTotal().GetCents())
	again, err := codec[*shop.Order](t, reg, protobuf.Config{Topic: "out"}).Encode(v)
	require.NoError(t, err, "what was registered is found")
	require.Equal(t, data, again)
}

// Tombstones: null reads as nil, and nil is written as null, without the registry.
func TestTombstones(t *testing.T) {
	reg, fake := setup(t)
	fake.Close()
	c := codec[*shop.Money](t, reg, protobuf.Config{Topic: "money"})
	v, err := c.Decode(nil)
	require.NoError(t, err)
	require.Nil(t, v)
	data, err := c.Encode(nil)
	require.NoError(t, err)
	require.Nil(t, data)
}

// What cannot work is said at the start.
func TestNew(t *testing.T) {
	reg, _ := setup(t)
	_, err := protobuf.New[proto.Message](reg, protobuf.Config{})
	require.ErrorContains(t, err, "pointer to a generated message")
	_, err = protobuf.New[*dynamicpb.Message](reg, protobuf.Config{})
	require.ErrorContains(t, err, "pointer to a generated message")
	_, err = protobuf.New[*shop.Order](reg, protobuf.Config{Schema: read(t, "money.proto")})
	require.ErrorContains(t, err, "no message shop.v1.Order")
	_, err = protobuf.New[*shop.Order](reg, protobuf.Config{Schema: "message {"})
	require.ErrorContains(t, err, "no .proto file")
}

// Many goroutines share a codec.
func TestConcurrent(t *testing.T) {
	reg, _ := setup(t)
	c := codec[*shop.Money](t, reg, protobuf.Config{Topic: "money"})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := range 200 {
				data, err := c.Encode(&shop.Money{Currency: "EUR", Cents: int64(n)})
				require.NoError(t, err)
				v, err := c.Decode(data)
				require.NoError(t, err)
				require.EqualValues(t, n, v.Cents)
			}
		})
	}
	wg.Wait()
}

// What was written is read as it was, whatever the values; and twice the same value gives the same bytes.
func TestRoundTrip(t *testing.T) {
	reg, _ := setup(t)
	c := codec[*shop.Order](t, reg, protobuf.Config{Topic: "out", AutoRegister: true})
	rapid.Check(t, func(t *rapid.T) {
		v := &shop.Order{
			Id:     rapid.String().Draw(t, "id"),
			Total:  &shop.Money{Currency: rapid.String().Draw(t, "currency"), Cents: rapid.Int64().Draw(t, "cents")},
			Labels: rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "labels"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "lines") {
			v.Lines = append(v.Lines, &shop.Order_Line{Article: rapid.String().Draw(t, "article"), Pieces: rapid.Int32().Draw(t, "pieces")})
		}
		data, err := c.Encode(v)
		require.NoError(t, err)
		same, err := c.Encode(v)
		require.NoError(t, err)
		require.Equal(t, data, same)
		again, err := c.Decode(data)
		require.NoError(t, err)
		require.True(t, proto.Equal(v, again))
	})
}

// beside is a schema in which messages stand behind a map field: Credit is message 0 of Outer where the map's hidden message is not
// counted, and 1 where it is; Debit 1 and 2.
const beside = `syntax = "proto3"; package shop.v1; message Outer { map<string,string> m = 1;
	message Credit { int64 cents = 1; } message Debit { int64 cents = 1; } }`

// An index that means one message to some clients and another to others is refused, and read where the codec is told how they count. What
// only one of them can mean is read as that. confluent-kafka for Python 2.16.1 and confluent-kafka-go 2.11.1 count map entries,
// @confluentinc/schemaregistry 1.10.1 for JavaScript does not; Python wrote the value [0, 1] for Credit.
func TestMapEntries(t *testing.T) {
	reg, fake := setup(t)
	fake.SeedSchema("beside-value", 1, 4, sr.Schema{Type: sr.TypeProtobuf, Schema: beside})
	credit := func(entries protobuf.MapEntries) processor.Codec[*shop.Outer_Credit] {
		return codec[*shop.Outer_Credit](t, reg, protobuf.Config{MapEntries: entries})
	}
	debit := func(entries protobuf.MapEntries) processor.Codec[*shop.Outer_Debit] {
		return codec[*shop.Outer_Debit](t, reg, protobuf.Config{MapEntries: entries})
	}
	const unknown, counted, not = protobuf.MapEntriesUnknown, protobuf.MapEntriesCounted, protobuf.MapEntriesNotCounted
	first, second, third := []byte{0, 0, 0, 0, 4, 4, 0, 0, 8, 5}, []byte{0, 0, 0, 0, 4, 4, 0, 2, 8, 5}, []byte{0, 0, 0, 0, 4, 4, 0, 4, 8, 5}
	const doubt = "the message index [0 1] means shop.v1.Outer.Debit where messages of map fields are not counted (Java, JavaScript), and shop.v1.Outer.Credit where they are (Python, Go): set MapEntries"
	for name, c := range map[string]struct {
		decode func([]byte) error
		data   []byte
		want   string
	}{
		"credit 1":              {decoding(credit(unknown)), first, ""},
		"credit 2":              {decoding(credit(unknown)), second, doubt},
		"credit 3":              {decoding(credit(unknown)), third, "holds shop.v1.Outer.Debit, of schema id 4, and not shop.v1.Outer.Credit"},
		"credit 1, counted":     {decoding(credit(counted)), first, "which its schema does not have"},
		"credit 2, counted":     {decoding(credit(counted)), second, ""},
		"credit 2, not counted": {decoding(credit(not)), second, "holds shop.v1.Outer.Debit"},
		"debit 1":               {decoding(debit(unknown)), first, "holds shop.v1.Outer.Credit"},
		"debit 2":               {decoding(debit(unknown)), second, doubt},
		"debit 3":               {decoding(debit(unknown)), third, ""},
		"debit 2, not counted":  {decoding(debit(not)), second, ""},
		"debit 2, counted":      {decoding(debit(counted)), second, "holds shop.v1.Outer.Credit"},
	} {
		err := c.decode(c.data)
		if c.want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, c.want, name)
	}
	// What a reader could not tell is not written.
	cfg := protobuf.Config{Topic: "beside", Schema: beside}
	_, err := protobuf.New[*shop.Outer_Debit](reg, cfg)
	require.ErrorContains(t, err, doubt)
	cfg.MapEntries = counted
	data, err := codec[*shop.Outer_Debit](t, reg, cfg).Encode(&shop.Outer_Debit{Cents: -3})
	require.NoError(t, err)
	require.Equal(t, third[:8], data[:8])
	cfg.MapEntries = not
	data, err = codec[*shop.Outer_Debit](t, reg, cfg).Encode(&shop.Outer_Debit{Cents: -3})
	require.NoError(t, err)
	require.Equal(t, second[:8], data[:8])
}

func decoding[T any](c processor.Codec[T]) func([]byte) error {
	return func(data []byte) error {
		_, err := c.Decode(data)
		return err
	}
}

// What Kafka's Python client has registered is found: descriptors without the JSON names that are the default. The texts are those of
// protobuf 7.36.2 for Python, compiled by grpcio-tools 1.85.1 (DESCRIPTOR.serialized_pb in base64).
func TestSchemaOfPython(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	reg, err := registry.New(registry.Config{URLs: []string{fake.URL()}, Attempts: 1})
	require.NoError(t, err)
	fake.SeedSchema("shop/money.proto", 1, 1, sr.Schema{Type: sr.TypeProtobuf, Schema: pythonMoney})
	fake.SeedSchema("out-value", 1, 2, sr.Schema{
		Type: sr.TypeProtobuf, Schema: pythonOrder,
		References: []sr.SchemaReference{{Name: "shop/money.proto", Subject: "shop/money.proto", Version: 1}},
	})
	for _, register := range []bool{false, true} {
		data, err := codec[*shop.Order](t, reg, protobuf.Config{Topic: "out", AutoRegister: register}).Encode(&shop.Order{Id: "1"})
		require.NoError(t, err)
		require.Equal(t, []byte{0, 0, 0, 0, 2, 2, 2, 0x0a, 1, '1'}, data)
	}
	_, second := fake.GetSchema("out-value", 2)
	require.False(t, second, "it was not registered again")
}

const (
	pythonMoney = "ChBzaG9wL21vbmV5LnByb3RvEgdzaG9wLnYxIigKBU1vbmV5EhAKCGN1cnJlbmN5GAEgASgJEg0KBWNlbnRzGAIgASgDQjtaOWdpdGh1Yi5jb20vZW9zLXBpcGUvZW9zLXBpcGUvY29kZWMvcHJvdG9idWYvaW50ZXJuYWwvc2hvcGIGcHJvdG8z"
	pythonOrder = "ChBzaG9wL29yZGVyLnByb3RvEgdzaG9wLnYxGhBzaG9wL21vbmV5LnByb3RvGh9nb29nbGUvcHJvdG9idWYvdGltZXN0YW1wLnByb3RvIhYKBkJlZm9yZRIMCgRub3RlGAEgASgJIoYCCgVPcmRlchIKCgJpZBgBIAEoCRIdCgV0b3RhbBgCIAEoCzIOLnNob3AudjEuTW9uZXkSKgoGcGxhY2VkGAMgASgLMhouZ29vZ2xlLnByb3RvYnVmLlRpbWVzdGFtcBIqCgZsYWJlbHMYBCADKAsyGi5zaG9wLnYxLk9yZGVyLkxhYmVsc0VudHJ5EiIKBWxpbmVzGAUgAygLMhMuc2hvcC52MS5PcmRlci5MaW5lGi0KC0xhYmVsc0VudHJ5EgsKA2tleRgBIAEoCRINCgV2YWx1ZRgCIAEoCToCOAEaJwoETGluZRIPCgdhcnRpY2xlGAEgASgJEg4KBnBpZWNlcxgCIAEoBUI7WjlnaXRodWIuY29tL2Vvcy1waXBlL2Vvcy1waXBlL2NvZGVjL3Byb3RvYnVmL2ludGVybmFsL3Nob3BiBnByb3RvMw=="
)

// A schema that stands as protoc-gen-go has it, with JSON names, is found too.
func TestSchemaOfGo(t *testing.T) {
	reg, fake := setup(t)
	data, err := codec[*shop.Money](t, reg, protobuf.Config{Topic: "money", AutoRegister: true}).Encode(&shop.Money{})
	require.NoError(t, err)
	require.Equal(t, []byte{0, 0, 0, 0, 3, 0}, data)
	_, second := fake.GetSchema("money-value", 2)
	require.False(t, second)
}

// An import may stand elsewhere than under its path, and one that clients know by themselves is a reference only where it is given.
func TestReferences(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	reg, err := registry.New(registry.Config{URLs: []string{fake.URL()}, Attempts: 1})
	require.NoError(t, err)
	fake.SeedSchema("money-value", 1, 7, sr.Schema{Type: sr.TypeProtobuf, Schema: pythonMoney})
	given := []sr.SchemaReference{
		{Name: "shop/money.proto", Subject: "money-value", Version: 1}, {Name: "google/protobuf/timestamp.proto", Subject: "money-value", Version: 1},
	}
	_, err = codec[*shop.Order](t, reg, protobuf.Config{Topic: "out", AutoRegister: true, References: given}).Encode(&shop.Order{Id: "1"})
	require.NoError(t, err)
	s, ok := fake.GetSchema("out-value", 1)
	require.True(t, ok)
	require.Equal(t, given, s.References)
	require.False(t, fake.SubjectExists("shop/money.proto"))
}

// A value of any message, whose file is text or a descriptor and has imports, goes to JSON and back to the same bytes. A message that
// cannot be told is refused here too.
func TestJSONOfAnyMessage(t *testing.T) {
	reg, fake := setup(t)
	refs := []sr.SchemaReference{{Name: "shop/money.proto", Subject: "shop/money.proto", Version: 1}}
	fake.SeedSchema("python-money", 1, 11, sr.Schema{Type: sr.TypeProtobuf, Schema: pythonMoney})
	fake.SeedSchema("python-value", 1, 12, sr.Schema{Type: sr.TypeProtobuf, Schema: pythonOrder, References: []sr.SchemaReference{{Name: "shop/money.proto", Subject: "python-money", Version: 1}}})
	fake.SeedSchema("mixed-value", 1, 13, sr.Schema{Type: sr.TypeProtobuf, Schema: pythonOrder, References: refs})
	fake.SeedSchema("alone-value", 1, 14, sr.Schema{Type: sr.TypeProtobuf, Schema: `syntax = "proto3"; import "elsewhere.proto"; message A {}`})
	fake.SeedSchema("beside-value", 1, 15, sr.Schema{Type: sr.TypeProtobuf, Schema: beside})
	j := protobuf.NewJSON(reg)
	order := &shop.Order{Id: "1", Total: &shop.Money{Cents: 9007199254740993}, Placed: timestamppb.New(time.Unix(0, 0)), Labels: map[string]string{"k": "v"}, Lines: []*shop.Order_Line{{Article: "x"}}}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(order)
	require.NoError(t, err)
	for _, id := range []byte{2, 12, 13} {
		data := append([]byte{0, 0, 0, 0, id, 2, 2}, body...)
		text, err := j.ToJSON(data)
		require.NoError(t, err)
		require.JSONEq(t, `{"id":"1","total":{"cents":"9007199254740993"},"placed":"1970-01-01T00:00:00Z","labels":{"k":"v"},"lines":[{"article":"x"}]}`, string(text))
		again, err := j.FromJSON(text, data)
		require.NoError(t, err)
		require.Equal(t, data, again)
		_, err = j.FromJSON([]byte(`{"no":1}`), data)
		require.ErrorContains(t, err, "is not the JSON of a shop.v1.Order")
	}
	for data, want := range map[string]string{
		"\x00\x00\x00\x00\x0e\x00":                 "none of the schema's references",
		"\x00\x00\x00\x00\x0f\x04\x00\x02\x08\x05": "it cannot be told what the value, of schema id 15, holds: the message index [0 1] means shop.v1.Outer.Debit",
		"\x00\x00\x00\x00\x02\x02\x12":             "message [9]",
	} {
		_, err := j.ToJSON([]byte(data))
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
	}
}
