package avro_test

import (
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	library "github.com/twmb/avro"

	"github.com/eos-pipe/eos-pipe/codec/avro"
	"github.com/eos-pipe/eos-pipe/processor"
)

// What fastavro has written with one schema and read with another reads here as it reads there, and what it refuses is refused:
// value by value, whatever else the writer's schema could hold. Where the library resolves the schemas, too, it says the same.
func TestResolutionBesideFastavro(t *testing.T) {
	var golden struct {
		Cases []struct {
			Name           string
			Writer, Reader json.RawMessage
			Bytes          string
			Fastavro       struct {
				Is      any
				Refused bool
			}
		}
	}
	text, err := os.ReadFile("testdata/resolution.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &golden))
	require.Len(t, golden.Cases, 41)
	for _, c := range golden.Cases {
		reg, _ := setup(t, string(c.Writer))
		data, err := hex.DecodeString(c.Bytes)
		require.NoError(t, err)
		v, err := codec[map[string]any](t, reg, avro.Config{Schema: string(c.Reader)}).Decode(append([]byte{0, 0, 0, 0, 1}, data...))
		if c.Fastavro.Refused {
			require.ErrorContains(t, err, "schema id 1 cannot be read as map[string]interface {}", c.Name)
			require.ErrorContains(t, err, "field f", c.Name)
			require.Nil(t, v)
			continue
		}
		require.NoError(t, err, c.Name)
		require.Equal(t, c.Fastavro.Is, plain(v["f"]), c.Name)
		resolved, err := library.Resolve(library.MustParse(string(c.Writer)), library.MustParse(string(c.Reader)))
		if err == nil && c.Name != "timestamp-millis as micros" && c.Name != "timestamp-micros as millis" && c.Name != "time-millis as micros" {
			var theirs map[string]any
			_, err := resolved.Decode(data, &theirs)
			require.NoError(t, err, c.Name)
			require.Equal(t, theirs, v, c.Name)
		}
	}
}

// plain makes of a value what JSON could hold of it.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			out[k] = plain(x)
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, x := range v {
			out = append(out, plain(x))
		}
		return out
	case int32:
		return float64(v)
	case int64:
		return float64(v)
	case float32:
		return float64(v)
	case []byte:
		return string(v)
	case time.Time:
		return v.Format("2006-01-02T15:04:05.000-07:00")
	case time.Duration:
		return time.Time{}.Add(v).Format("15:04:05")
	}
	return v
}

// one returns a schema with one field, and decodes what a writer of another has written with it into T.
func one(schema string) string {
	return `{"type":"record","name":"R","fields":[{"name":"f","type":` + schema + `}]}`
}

func decode[T any](t *testing.T, writer, reader string, value any) (T, error) {
	type R struct {
		F T `avro:"f"`
	}
	v, err := derived[R](t, writer, avro.Config{Schema: one(reader)}, value)
	return v.F, err
}

// derived decodes into R, whose own schema may be derived.
func derived[R any](t *testing.T, writer string, cfg avro.Config, value any) (R, error) {
	t.Helper()
	data, err := library.MustParse(one(writer)).Encode(map[string]any{"f": value})
	require.NoError(t, err)
	reg, _ := setup(t, one(writer))
	return codec[R](t, reg, cfg).Decode(append([]byte{0, 0, 0, 0, 1}, data...))
}

// A null in a field that cannot hold one is an error of that record, which names the way out; others of the same schema are read.
func TestNullInto(t *testing.T) {
	type R struct {
		F string `avro:"f"`
	}
	v, err := derived[R](t, `["null","string"]`, avro.Config{}, "x")
	require.NoError(t, err)
	require.Equal(t, R{"x"}, v)
	_, err = derived[R](t, `["null","string"]`, avro.Config{}, nil)
	require.EqualError(t, err, "the value of schema id 1 cannot be read as avro_test.R: field f: it is null, and the schema it is read with has string there: "+
		"make the Go field a pointer (*string), or the type a union with null in the Schema of the codec's Config")
	require.NotErrorIs(t, err, processor.ErrTransient)
	p, err := decode[*string](t, `["null","string"]`, `["null","string"]`, nil)
	require.NoError(t, err)
	require.Nil(t, p)
}

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// An instant is the same one whatever the units of writer and reader, at any depth; where the reader's unit cannot hold it, the record
// is refused. The derived schema of a time.Time is timestamp-millis.
func TestUnitsOfTime(t *testing.T) {
	kinds := map[string]string{}
	for _, k := range []string{"timestamp-millis", "timestamp-micros", "timestamp-nanos", "local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos"} {
		kinds[k] = `{"type":"long","logicalType":"` + k + `"}`
	}
	for from, writer := range kinds {
		for to, reader := range kinds {
			v, err := decode[time.Time](t, writer, reader, noon)
			if (from[0] == 'l') != (to[0] == 'l') {
				require.ErrorContains(t, err, "it was written as long ("+from+"), which is no long ("+to+")")
				continue
			}
			require.NoError(t, err, "%s as %s", from, to)
			require.Equal(t, noon, v, "%s as %s", from, to)
		}
	}
	const millis, micros, nanos = `{"type":"long","logicalType":"timestamp-millis"}`, `{"type":"long","logicalType":"timestamp-micros"}`, `{"type":"long","logicalType":"timestamp-nanos"}`
	type R struct {
		F time.Time `avro:"f"`
	}
	v, err := derived[R](t, micros, avro.Config{}, noon)
	require.NoError(t, err)
	require.Equal(t, R{noon}, v)
	_, err = derived[R](t, micros, avro.Config{}, noon.Add(time.Microsecond))
	require.ErrorContains(t, err, "1796040000000001 has no exact value as long (timestamp-millis)")
	_, err = decode[time.Time](t, millis, nanos, time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC))
	require.ErrorContains(t, err, "no exact value as long (timestamp-nanos)")
	n, err := decode[int64](t, millis, nanos, int64(-9223372036854))
	require.NoError(t, err)
	require.Equal(t, int64(-9223372036854_000000), n)
	_, err = decode[int64](t, millis, nanos, int64(-9223372036855))
	require.Error(t, err)

	for _, around := range []struct {
		pre, post string
		wrap      func(any) any
		into      func(any) any
	}{
		{`{"type":"array","items":`, `}`, func(v any) any { return []any{v} }, func(v any) any { return v.([]any)[0] }},
		{`{"type":"map","values":`, `}`, func(v any) any { return map[string]any{"k": v} }, func(v any) any { return v.(map[string]any)["k"] }},
		{`["null",`, `]`, func(v any) any { return v }, func(v any) any { return v }},
		{`{"type":"record","name":"In","fields":[{"name":"t","type":`, `}]}`, func(v any) any { return map[string]any{"t": v} }, func(v any) any { return v.(map[string]any)["t"] }},
	} {
		v, err := decode[any](t, around.pre+micros+around.post, around.pre+millis+around.post, around.wrap(noon))
		require.NoError(t, err)
		require.Equal(t, noon, around.into(v))
	}
	// Written beside the type, where the library honours it.
	reg, _ := setup(t, `{"type":"record","name":"R","fields":[{"name":"f","type":["null","long"],"logicalType":"timestamp-micros"}]}`)
	at, err := codec[struct {
		F *time.Time `avro:"f"`
	}](t, reg, avro.Config{Schema: one(`["null",` + millis + `]`)}).Decode([]byte{0, 0, 0, 0, 1, 2, 0x80, 0x89, 0x7a})
	require.NoError(t, err)
	require.Equal(t, time.UnixMilli(1000).UTC(), *at.F)
}

// Times of day are converted, too. What is counted from elsewhere, or is no count at all, is not taken for another: a date is no
// instant, a decimal no duration, a number in bytes no text. A plain number is taken as it is, as Avro has it.
func TestOtherLogicalTypes(t *testing.T) {
	logical := func(kind, name string) string { return `{"type":"` + kind + `","logicalType":"` + name + `"}` }
	fixed := func(size, name string) string {
		return `{"type":"fixed","name":"F","size":` + size + `,"logicalType":"` + name + `"}`
	}
	const decimal = `{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}`
	day := 12*time.Hour + time.Millisecond
	for _, c := range []struct {
		writer, reader string
		value, want    any // a nil want: refused
	}{
		{logical("int", "time-millis"), logical("long", "time-micros"), day, day},
		{logical("long", "time-micros"), logical("int", "time-millis"), day, day},
		{logical("long", "time-micros"), logical("int", "time-millis"), day + time.Microsecond, nil},
		{logical("int", "time-millis"), logical("long", "timestamp-millis"), day, nil},
		{logical("int", "date"), logical("int", "date"), noon.Truncate(24 * time.Hour), noon.Truncate(24 * time.Hour)},
		{logical("int", "date"), logical("long", "timestamp-millis"), noon, nil},
		{logical("int", "date"), logical("long", "local-timestamp-millis"), noon, nil},
		{logical("int", "date"), logical("int", "time-millis"), noon, nil},
		{logical("int", "date"), `"long"`, int32(7), int64(7)},
		{`"int"`, logical("int", "date"), int32(1), time.Unix(86400, 0).UTC()},
		{`"int"`, logical("long", "timestamp-millis"), int32(1000), time.Unix(1, 0).UTC()},
		{logical("long", "timestamp-micros"), `"long"`, int64(7), int64(7)},
		{logical("long", "no-such-type"), logical("long", "timestamp-millis"), int64(1000), time.Unix(1, 0).UTC()},
		{decimal, decimal, big.NewRat(5, 4), big.NewRat(5, 4)},
		{decimal, `{"type":"bytes","logicalType":"decimal","precision":10,"scale":3}`, big.NewRat(5, 4), nil},
		{decimal, `{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}`, big.NewRat(5, 4), nil},
		{decimal, logical("bytes", "big-decimal"), big.NewRat(5, 4), nil},
		{decimal, `"bytes"`, big.NewRat(5, 4), []byte{125}},
		{decimal, `"string"`, big.NewRat(5, 4), nil},
		{`"string"`, decimal, "x", nil},
		{logical("string", "uuid"), `"string"`, "123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"},
		{logical("string", "uuid"), fixed("16", "uuid"), "123e4567-e89b-12d3-a456-426614174000", nil},
		{fixed("12", "duration"), fixed("12", "duration"), library.Duration{Months: 1, Days: 2, Milliseconds: 3}, library.Duration{Months: 1, Days: 2, Milliseconds: 3}},
		{fixed("12", "duration"), `{"type":"fixed","name":"F","size":12,"logicalType":"decimal","precision":10}`, library.Duration{Months: 1}, nil},
	} {
		v, err := decode[any](t, c.writer, c.reader, c.value)
		if c.want == nil {
			require.ErrorContains(t, err, "cannot be read as", "%s as %s: %v", c.writer, c.reader, v)
			continue
		}
		require.NoError(t, err, "%s as %s", c.writer, c.reader)
		require.Equal(t, c.want, v, "%s as %s", c.writer, c.reader)
	}
}

// Damaged bytes of a writer whose schema differs are errors, and cost no more than they are long: negative counts, blocks without end, items
// without bytes, types in each other without end.
func TestResolutionOfDamaged(t *testing.T) {
	deep := []byte{0, 0, 0, 0, 1}
	for range 100_000 {
		deep = append(deep, 2, 2)
	}
	for name, c := range map[string]struct {
		writer, reader string
		data           []byte
		want           string
	}{
		"deep":      {`{"type":"record","name":"L","fields":[{"name":"x","type":"int"},{"name":"next","type":["null","L"]}]}`, `{"type":"record","name":"L","fields":[{"name":"x","type":"long"},{"name":"next","type":["null","L"]}]}`, deep[5:], "nested deeper than 1000"},
		"empty":     {`{"type":"array","items":{"type":"record","name":"E","fields":[]}}`, `{"type":"array","items":{"type":"record","name":"E","fields":[{"name":"a","type":"string","default":"xxxx"}]}}`, []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0}, "more than 4096 items"},
		"no end":    {`{"type":"array","items":"int"}`, `{"type":"array","items":"long"}`, []byte{0xfe, 0xff, 0xff, 0xff, 0x0f, 2}, "cut short"},
		"count":     {`{"type":"array","items":"int"}`, `{"type":"array","items":"long"}`, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2}, "a block has"},
		"int":       {`"int"`, `"long"`, []byte{0xfe, 0xff, 0xff, 0xff, 0x7f}, "an int is"},
		"branch":    {`["null","int"]`, `"long"`, []byte{4, 2}, "branch 2 of a union of 2"},
		"symbol":    {`{"type":"enum","name":"E","symbols":["A"]}`, `{"type":"enum","name":"E","symbols":["A","B"]}`, []byte{2}, "symbol 1 of an enum of 1"},
		"length":    {`"string"`, `"bytes"`, []byte{0x7e, 'x'}, "cut short"},
		"left over": {`"int"`, `"long"`, []byte{2, 2}, "1 bytes are left over"},
	} {
		reg, _ := setup(t, c.writer)
		_, err := codec[any](t, reg, avro.Config{Schema: c.reader}).Decode(append([]byte{0, 0, 0, 0, 1}, c.data...))
		require.ErrorContains(t, err, c.want, name)
	}
}

// A block may say how many bytes it has, which after a promotion are more.
func TestBlockWithSize(t *testing.T) {
	reg, _ := setup(t, `{"type":"array","items":"float"}`)
	v, err := codec[[]float64](t, reg, avro.Config{Schema: `{"type":"array","items":"double"}`}).Decode([]byte{0, 0, 0, 0, 1, 1, 8, 0, 0, 0, 0x3f, 2, 0, 0, 0, 0x3f, 0})
	require.NoError(t, err)
	require.Equal(t, []float64{0.5, 0.5}, v)
}
