package avro_test

import (
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	library "github.com/twmb/avro"

	"github.com/eos-pipe/eos-pipe/codec/avro"
	"github.com/eos-pipe/eos-pipe/processor"
)

// A value goes to Avro's JSON and back to the same bytes, whatever its schema: unions name their branch, logical types are what they are made
// of, numbers keep all digits, bytes are text of one character a byte.
func TestJSONOfAnySchema(t *testing.T) {
	for _, c := range []struct {
		schema string
		value  any
		want   string
	}{
		{`"long"`, int64(9007199254740993), `9007199254740993`},
		{`["null","string"]`, nil, `null`},
		{`["null","string"]`, "x", `{"string":"x"}`},
		{`["int","long"]`, map[string]any{"long": int64(1)}, `{"long":1}`},
		{`["string",{"type":"enum","name":"E","namespace":"n","symbols":["A"]}]`, map[string]any{"n.E": "A"}, `{"n.E":"A"}`},
		{`"bytes"`, []byte{0, 0xff}, `"\u0000\u00ff"`},
		{`{"type":"long","logicalType":"timestamp-micros"}`, noon.Add(time.Microsecond), `1796040000000001`},
		{`{"type":"int","logicalType":"date"}`, noon, `20787`},
		{`{"type":"int","logicalType":"time-millis"}`, time.Second, `1000`},
		{`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, big.NewRat(5, 4), `"}"`},
		{`{"type":"array","items":["null","double"]}`, []any{nil, 0.5}, `[null,{"double":0.5}]`},
		{`{"type":"map","values":"int"}`, map[string]any{"k": 1}, `{"k":1}`},
	} {
		reg, _ := setup(t, one(c.schema))
		data, err := library.MustParse(one(c.schema)).AppendEncode([]byte{0, 0, 0, 0, 1}, map[string]any{"f": c.value})
		require.NoError(t, err)
		j := avro.NewJSON(reg)
		text, err := j.ToJSON(data)
		require.NoError(t, err)
		require.JSONEq(t, `{"f":`+c.want+`}`, string(text), c.schema)
		again, err := j.FromJSON(text, data)
		require.NoError(t, err)
		require.Equal(t, data, again, c.schema)
	}
}

// What does not fit is an error of the value; a registry that is down is another.
func TestJSONErrors(t *testing.T) {
	reg, fake := setup(t, one(`["null","string"]`))
	j := avro.NewJSON(reg)
	good := []byte{0, 0, 0, 0, 1, 0}
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true })
	_, err := j.ToJSON(good)
	require.ErrorIs(t, err, processor.ErrTransient)
	fake.ClearInterceptors()
	_, err = j.ToJSON(append(good, 0))
	require.ErrorContains(t, err, "1 bytes are left over")
	_, err = j.ToJSON([]byte(`{"f":null}`))
	require.ErrorContains(t, err, "magic byte")
	_, err = j.FromJSON([]byte(`{"f":7}`), good)
	require.ErrorContains(t, err, "is not the JSON of schema id 1")
	require.NotErrorIs(t, err, processor.ErrTransient)
}
