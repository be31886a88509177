package avro_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	library "github.com/twmb/avro"

	"github.com/eos-pipe/eos-pipe/codec/avro"
)

// A copy by way of any has the bytes that came, whatever branch of a union a value is of. Where a plain Go value would not tell the
// branch, it is a map with the branch's name; elsewhere it is plain.
func TestAnyKeepsTheBranch(t *testing.T) {
	const (
		a, b   = `{"type":"record","name":"A","fields":[{"name":"x","type":"int"}]}`, `{"type":"record","name":"B","fields":[{"name":"x","type":"int"},{"name":"y","type":"int","default":0}]}`
		enum   = `{"type":"enum","name":"E","symbols":["P","Q"]}`
		fixed  = `{"type":"fixed","name":"F","size":1}`
		fixed2 = `{"type":"fixed","name":"F2","size":1}`
		millis = `{"type":"long","logicalType":"timestamp-millis"}`
		date   = `{"type":"int","logicalType":"date"}`
		number = `{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}`
		uuid   = `{"type":"string","logicalType":"uuid"}`
		alike  = `{"type":"record","name":"One","fields":[{"name":"One","type":["null","One"]}]}`
	)
	for _, c := range []struct {
		union string
		tags  bool
		each  []any
	}{
		{`["null",` + a + `,` + b + `]`, true, []any{nil, tag("A", map[string]any{"x": 1}), tag("B", map[string]any{"x": 1, "y": 2})}},
		{`["null","string",` + enum + `]`, true, []any{tag("string", "P"), tag("E", "P")}},
		{`["bytes",` + fixed + `]`, true, []any{tag("bytes", []byte{1}), tag("F", []byte{1})}},
		{`[` + fixed + `,` + fixed2 + `]`, true, []any{tag("F", []byte{1}), tag("F2", []byte{1})}},
		{`["string",` + millis + `]`, true, []any{tag("string", "2026-11-30T12:00:00Z"), tag("long", noon)}},
		{`[` + date + `,` + millis + `]`, true, []any{tag("int", noon.Truncate(24*time.Hour)), tag("long", noon.Truncate(24*time.Hour))}},
		{`["string",` + number + `]`, true, []any{tag("string", "1.25"), tag("bytes", big.NewRat(5, 4))}},
		{`[` + a + `,{"type":"map","values":"int"}]`, true, []any{tag("A", map[string]any{"x": 1}), tag("map", map[string]any{"x": 1})}},
		{`["null",{"type":"map","values":{"type":"map","values":"int"}}]`, true, []any{tag("map", map[string]any{"map": map[string]any{"map": 1}}), tag("map", map[string]any{"map": map[string]any{}})}},
		{`["null",` + alike + `]`, true, []any{tag("One", map[string]any{"One": tag("One", map[string]any{"One": nil})})}},
		{`["null","string"]`, false, []any{nil, "x"}},
		{`["int","long","float","double","boolean","string","bytes"]`, false, []any{int32(1), int64(1), float32(1), float64(1), true, "1", []byte("1")}},
		{`["null",` + uuid + `,"bytes"]`, false, []any{"123e4567-e89b-12d3-a456-426614174000", []byte("1")}},
		{`["null",` + enum + `]`, false, []any{nil, "P"}},
		{`["null",` + millis + `]`, false, []any{nil, noon}},
		{`["null",` + number + `]`, false, []any{big.NewRat(5, 4)}},
		{`["null","string",{"type":"array","items":"string"},` + a + `]`, false, []any{"x", []any{"x"}, map[string]any{"x": 1}}},
	} {
		schema := one(c.union)
		reg, _ := setup(t, schema)
		for _, value := range c.each {
			data, err := library.MustParse(schema).AppendEncode([]byte{0, 0, 0, 0, 1}, map[string]any{"f": value})
			require.NoError(t, err)
			generic := codec[any](t, reg, avro.Config{Schema: schema, Subject: "in-value"})
			v, err := generic.Decode(data)
			require.NoError(t, err)
			_, tagged := v.(map[string]any)["f"].(map[string]any)
			if _, isMap := value.(map[string]any); !isMap {
				require.Equal(t, c.tags && value != nil, tagged, "%s: %v", c.union, v)
			}
			again, err := generic.Encode(v)
			require.NoError(t, err)
			require.Equal(t, data, again, "%s: %v", c.union, v)
		}
	}
}

func tag(branch string, v any) map[string]any { return map[string]any{branch: v} }

// A Go type that would lose the branch cannot write. It can read, and an interface in its place can do both.
func TestTypesThatLoseTheBranch(t *testing.T) {
	const union = `[{"type":"record","name":"A","fields":[{"name":"x","type":"int"}]},{"type":"record","name":"B","fields":[{"name":"x","type":"int"}]}]`
	type A struct {
		X int32 `avro:"x"`
	}
	type inner struct {
		F *A `avro:"f"`
	}
	type inlined struct {
		In inner `avro:",inline"`
	}
	reg, _ := setup(t, one(union), union)
	in := []byte{0, 0, 0, 0, 1, 2, 14}
	writes := avro.Config{Schema: one(union), Subject: "in-value"}
	const want = "field f: a avro_test.A does not keep which branch of the union of record A, record B it was: take any for it"
	_, err := avro.New[inner](reg, writes)
	require.ErrorContains(t, err, want)
	_, err = avro.New[inlined](reg, writes)
	require.ErrorContains(t, err, want)
	_, err = avro.New[map[string]map[string]any](reg, writes)
	require.ErrorContains(t, err, "does not keep which branch")
	_, err = avro.New[map[string]any](reg, avro.Config{Schema: union, Subject: "in-value"})
	require.ErrorContains(t, err, "does not keep which branch")

	v, err := codec[inner](t, reg, avro.Config{Schema: one(union)}).Decode(in)
	require.NoError(t, err)
	require.Equal(t, inner{&A{7}}, v)
	type open struct {
		F any `avro:"f"`
	}
	both := codec[open](t, reg, writes)
	o, err := both.Decode(in)
	require.NoError(t, err)
	require.Equal(t, open{map[string]any{"B": map[string]any{"x": int32(7)}}}, o)
	out, err := both.Encode(o)
	require.NoError(t, err)
	require.Equal(t, in, out)
}
