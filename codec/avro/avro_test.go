package avro_test

import (
	"math"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"pgregory.net/rapid"

	"github.com/eos-pipe/eos-pipe/codec/avro"
	"github.com/eos-pipe/eos-pipe/codec/registry"
	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

// setup returns a registry with schemas, whose ids are 1, 2, ...
func setup(t testing.TB, schemas ...string) (*registry.Registry, *srfake.Registry) {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	for i, s := range schemas {
		fake.SeedSchema("in-value", i+1, i+1, sr.Schema{Schema: s})
	}
	reg, err := registry.New(registry.Config{URLs: []string{fake.URL()}, Attempts: 1})
	require.NoError(t, err)
	return reg, fake
}

func codec[T any](t testing.TB, reg *registry.Registry, cfg avro.Config) processor.Codec[T] {
	t.Helper()
	c, err := avro.New[T](reg, cfg)
	require.NoError(t, err)
	return c
}

// The example of Avro's specification (record "test" with a=27, b="foo" is 36 06 66 6f 6f), behind the header.
func TestGolden(t *testing.T) {
	const schema = `{"type":"record","name":"test","fields":[{"name":"a","type":"long"},{"name":"b","type":"string"}]}`
	type test struct {
		A int64  `avro:"a"`
		B string `avro:"b"`
	}
	reg, _ := setup(t, schema)
	c := codec[test](t, reg, avro.Config{Schema: schema, Subject: "in-value"})
	wire := []byte{0, 0, 0, 0, 1, 0x36, 0x06, 0x66, 0x6f, 0x6f}
	data, err := c.Encode(test{27, "foo"})
	require.NoError(t, err)
	require.Equal(t, wire, data)
	v, err := c.Decode(wire)
	require.NoError(t, err)
	require.Equal(t, test{27, "foo"}, v)
}

type Order struct {
	ID    string `avro:"id"`
	Cents int64  `avro:"cents"`
	Note  string `avro:"note,default=none"`
}

// A value of an older or other writer is resolved to what the program has: fields in another order, one that is gone, one that is
// new and takes its default, an int that becomes a long, a name with a namespace.
func TestEvolution(t *testing.T) {
	reg, _ := setup(t,
		`{"type":"record","name":"Order","namespace":"com.shop","fields":[{"name":"cents","type":"int"},{"name":"old","type":"string"},{"name":"id","type":"string"}]}`,
		`{"type":"record","name":"Order","fields":[{"name":"id","type":"string"}]}`,
		`{"type":"record","name":"Customer","fields":[{"name":"id","type":"string"}]}`,
		`{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"cents","type":"long"}]}`)
	c := codec[Order](t, reg, avro.Config{})
	old := []byte{0, 0, 0, 0, 1, 0x36 /* cents 27 */, 4, 'x', 'y' /* old */, 2, '1' /* id */}
	v, err := c.Decode(old)
	require.NoError(t, err)
	require.Equal(t, Order{ID: "1", Cents: 27, Note: "none"}, v)

	for id, want := range map[byte]string{2: "cents", 3: "record names do not match", 4: "incompatible types"} {
		_, err := c.Decode([]byte{0, 0, 0, 0, id, 2, '1'})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "cannot be read as avro_test.Order")
		require.NotErrorIs(t, err, processor.ErrTransient)
	}
}

// Values that are not what they should be are errors of the record, and leave nothing half read.
func TestDamaged(t *testing.T) {
	reg, fake := setup(t, `{"type":"record","name":"Order","fields":[{"name":"id","type":"string"},{"name":"cents","type":"long"}]}`)
	fake.SeedSchema("json-value", 1, 9, sr.Schema{Schema: `{}`, Type: sr.TypeJSON})
	c := codec[Order](t, reg, avro.Config{})
	for name, bad := range map[string]struct {
		data []byte
		want string
	}{
		"empty":         {[]byte{}, "magic byte"},
		"plain JSON":    {[]byte(`{"id":"1"}`), "magic byte"},
		"unknown id":    {[]byte{0, 0, 0, 0, 42, 2, '1', 2}, "schema id 42"},
		"cut":           {[]byte{0, 0, 0, 0, 1, 2, '1'}, "not a avro_test.Order"},
		"trailing":      {[]byte{0, 0, 0, 0, 1, 2, '1', 2, 'x'}, "1 bytes are left over"},
		"huge length":   {[]byte{0, 0, 0, 0, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, '1'}, "not a avro_test.Order"},
		"schema's type": {[]byte{0, 0, 0, 0, 9, 2, '1', 2}, "of type JSON, not AVRO"},
	} {
		v, err := c.Decode(bad.data)
		require.ErrorContains(t, err, bad.want, name)
		require.NotErrorIs(t, err, processor.ErrTransient, name)
		require.Zero(t, v, name)
		require.NotContains(t, err.Error(), "\n", name)
	}
}

// A registry that is down is told apart from a bad record, also through a pipe's error.
func TestRegistryDown(t *testing.T) {
	reg, fake := setup(t, `{"type":"record","name":"Order","fields":[{"name":"id","type":"string"},{"name":"cents","type":"long"}]}`)
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true })
	orders := codec[Order](t, reg, avro.Config{Topic: "out"})
	pipe := processor.Pipe[Order, Order]{Source: processor.From(orders, "in"), Sink: processor.To(orders, "out")}
	good := []byte{0, 0, 0, 0, 1, 2, '1', 2}
	_, err := processortest.Run(t.Context(), processor.Config{}, pipe, &kgo.Record{Value: good})
	require.ErrorIs(t, err, processor.ErrTransient)
	_, err = orders.Encode(Order{})
	require.ErrorIs(t, err, processor.ErrTransient)
	fake.ClearInterceptors()
	v, err := orders.Decode(good)
	require.NoError(t, err)
	require.Equal(t, "1", v.ID)
}

// A schema that cannot be read as T is asked for once: a topic full of such records is no load on the registry.
func TestIncompatibleIsKept(t *testing.T) {
	reg, fake := setup(t, `{"type":"record","name":"Customer","fields":[]}`)
	c := codec[Order](t, reg, avro.Config{})
	_, first := c.Decode([]byte{0, 0, 0, 0, 1})
	require.Error(t, first)
	fake.Close()
	_, second := c.Decode([]byte{0, 0, 0, 0, 1})
	require.EqualError(t, second, first.Error())
}

// Tombstones: null reads as the zero T, and nil is written as null, without the registry.
func TestTombstones(t *testing.T) {
	reg, fake := setup(t)
	fake.Close()
	v, err := codec[Order](t, reg, avro.Config{}).Decode(nil)
	require.NoError(t, err)
	require.Zero(t, v)
	pointers := codec[*Order](t, reg, avro.Config{Topic: "out"})
	p, err := pointers.Decode(nil)
	require.NoError(t, err)
	require.Nil(t, p)
	data, err := pointers.Encode(nil)
	require.NoError(t, err)
	require.Nil(t, data)
	data, err = codec[any](t, reg, avro.Config{}).Encode(nil)
	require.NoError(t, err)
	require.Nil(t, data)
}

// A pointer has the schema of what it points to.
func TestPointer(t *testing.T) {
	reg, fake := setup(t)
	pointers := codec[*Order](t, reg, avro.Config{Topic: "out", Namespace: "com.shop", AutoRegister: true})
	data, err := pointers.Encode(&Order{ID: "1", Cents: 27})
	require.NoError(t, err)
	plain, err := codec[Order](t, reg, avro.Config{Topic: "out", Namespace: "com.shop"}).Encode(Order{ID: "1", Cents: 27})
	require.NoError(t, err, "it is registered as that of the struct is looked up")
	require.Equal(t, plain, data)
	v, err := pointers.Decode(data)
	require.NoError(t, err)
	require.Equal(t, &Order{ID: "1", Cents: 27}, v)
	s, _ := fake.GetSchema("out-value", 1)
	require.JSONEq(t, `{"type":"record","name":"Order","namespace":"com.shop","fields":[
		{"name":"id","type":"string"},{"name":"cents","type":"long"},{"name":"note","type":"string","default":"none"}]}`, s.Schema.Schema)
}

// Without a type of its own a codec reads what the writer wrote, references included, and cannot write.
func TestGeneric(t *testing.T) {
	reg, fake := setup(t)
	fake.SeedSchema("money", 1, 1, sr.Schema{Schema: `{"type":"record","name":"Money","fields":[{"name":"cents","type":"long"}]}`})
	fake.SeedSchema("in-value", 1, 2, sr.Schema{
		Schema:     `{"type":"record","name":"Order","fields":[{"name":"total","type":"Money"}]}`,
		References: []sr.SchemaReference{{Name: "Money", Subject: "money", Version: 1}},
	})
	c := codec[map[string]any](t, reg, avro.Config{Topic: "in"})
	v, err := c.Decode([]byte{0, 0, 0, 0, 2, 0x36})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"total": map[string]any{"cents": int64(27)}}, v)
	_, err = c.Encode(v)
	require.ErrorContains(t, err, "set the Schema")
}

// What cannot work is said at the start, and what T cannot be, too.
func TestNew(t *testing.T) {
	reg, _ := setup(t)
	_, err := avro.New[Order](reg, avro.Config{Schema: `{"type":"nothing"}`})
	require.ErrorContains(t, err, "the Avro codec of avro_test.Order")
	_, err = avro.New[chan int](reg, avro.Config{})
	require.Error(t, err)
	_, err = codec[Order](t, reg, avro.Config{}).Encode(Order{})
	require.ErrorContains(t, err, "can only read")
}

// A value that does not fit the schema is not written.
func TestEncodeMisfit(t *testing.T) {
	const schema = `{"type":"record","name":"Order","fields":[{"name":"id","type":"int"}]}`
	reg, _ := setup(t, schema)
	_, err := codec[map[string]any](t, reg, avro.Config{Schema: schema, Topic: "in"}).Encode(map[string]any{"id": "one"})
	require.ErrorContains(t, err, "encode map[string]interface {} in Avro")
}

// Many goroutines share a codec, over several writers' schemas.
func TestConcurrent(t *testing.T) {
	reg, _ := setup(t,
		`{"type":"record","name":"Order","fields":[{"name":"id","type":"string"},{"name":"cents","type":"long"}]}`,
		`{"type":"record","name":"Order","fields":[{"name":"id","type":"string"},{"name":"cents","type":"int"}]}`)
	c := codec[Order](t, reg, avro.Config{Topic: "out", AutoRegister: true})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for id := range 200 {
				v, err := c.Decode([]byte{0, 0, 0, 0, byte(id%2 + 1), 2, '1', 0x36})
				require.NoError(t, err)
				data, err := c.Encode(v)
				require.NoError(t, err)
				again, err := c.Decode(data)
				require.NoError(t, err)
				require.Equal(t, Order{ID: "1", Cents: 27, Note: "none"}, again)
			}
		})
	}
	wg.Wait()
}

type everything struct {
	Bool   bool             `avro:"bool"`
	Int    int32            `avro:"int"`
	Long   int64            `avro:"long"`
	Float  float32          `avro:"float"`
	Double float64          `avro:"double"`
	Text   string           `avro:"text"`
	Bytes  []byte           `avro:"bytes"`
	Fixed  [4]byte          `avro:"fixed"`
	Maybe  *int64           `avro:"maybe"`
	List   []string         `avro:"list"`
	Map    map[string]int64 `avro:"map"`
	At     time.Time        `avro:"at"`
	Order  Order            `avro:"order"`
}

// What was written is read as it was, whatever the values.
func TestRoundTrip(t *testing.T) {
	reg, _ := setup(t)
	c := codec[everything](t, reg, avro.Config{Topic: "out", AutoRegister: true})
	rapid.Check(t, func(t *rapid.T) {
		v := everything{
			Bool: rapid.Bool().Draw(t, "bool"), Int: rapid.Int32().Draw(t, "int"), Long: rapid.Int64().Draw(t, "long"),
			Float: rapid.Float32().Draw(t, "float"), Double: rapid.Float64().Draw(t, "double"), Text: rapid.String().Draw(t, "text"),
			Bytes: rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "bytes"), List: rapid.SliceOfN(rapid.String(), 1, 5).Draw(t, "list"),
			Map:   rapid.MapOfN(rapid.String(), rapid.Int64(), 1, 5).Draw(t, "map"),
			Maybe: rapid.Ptr(rapid.Int64(), true).Draw(t, "maybe"),
			At:    time.UnixMilli(rapid.Int64Range(0, math.MaxInt32*1000).Draw(t, "at")).UTC(),
			Order: Order{ID: rapid.String().Draw(t, "id"), Cents: rapid.Int64().Draw(t, "cents")},
		}
		copy(v.Fixed[:], rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "fixed"))
		data, err := c.Encode(v)
		require.NoError(t, err)
		again, err := c.Decode(data)
		require.NoError(t, err)
		require.Equal(t, v, again)
	})
}

// Damaged bytes are an error or a value, never a panic, and never a value for bytes that are cut.
func TestAnyBytes(t *testing.T) {
	reg, _ := setup(t)
	c := codec[everything](t, reg, avro.Config{Topic: "out", AutoRegister: true})
	whole, err := c.Encode(everything{Text: "text", List: []string{"a"}, Map: map[string]int64{"k": 1}, Order: Order{ID: "1"}})
	require.NoError(t, err)
	for n := range whole {
		_, err := c.Decode(whole[:n])
		require.Error(t, err, n)
	}
	rapid.Check(t, func(t *rapid.T) {
		data := append([]byte{}, whole...)
		for _, b := range rapid.SliceOfN(rapid.Byte(), 1, 8).Draw(t, "damage") {
			data[5+rapid.IntRange(0, len(data)-6).Draw(t, "at")] = b
		}
		c.Decode(data)
	})
}

// An array of elements that take no bytes cannot make the reader work for ever.
func TestArrayBomb(t *testing.T) {
	reg, _ := setup(t, `{"type":"array","items":"null"}`)
	_, err := codec[any](t, reg, avro.Config{}).Decode([]byte{0, 0, 0, 0, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0})
	require.Error(t, err)
}
