package avro_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	library "github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"pgregory.net/rapid"

	"github.com/eos-pipe/eos-pipe/codec/avro"
	"github.com/eos-pipe/eos-pipe/codec/registry"
)

// sample is a type of a writer, the type that a reader makes of it, and a value.
type sample struct {
	writer, reader string
	value          any
}

// plains are types that may be read as another one.
var plains = []func(*rapid.T) sample{
	func(t *rapid.T) sample { return sample{`"int"`, `"long"`, rapid.Int32().Draw(t, "int")} },
	func(t *rapid.T) sample { return sample{`"int"`, `"double"`, rapid.Int32().Draw(t, "int")} },
	func(t *rapid.T) sample { return sample{`"long"`, `"long"`, rapid.Int64().Draw(t, "long")} },
	func(t *rapid.T) sample { return sample{`"long"`, `"float"`, rapid.Int64().Draw(t, "long")} },
	func(t *rapid.T) sample {
		return sample{`"float"`, `"double"`, rapid.Float32Range(-math.MaxFloat32, math.MaxFloat32).Draw(t, "float")}
	},
	func(t *rapid.T) sample { return sample{`"string"`, `"string"`, rapid.String().Draw(t, "string")} },
	func(t *rapid.T) sample { return sample{`"string"`, `"bytes"`, rapid.String().Draw(t, "string")} },
	func(t *rapid.T) sample {
		return sample{`"boolean"`, `["null","boolean"]`, rapid.Bool().Draw(t, "boolean")}
	},
}

// draw makes a type of some depth. Named types get a number.
func draw(t *rapid.T, depth int, names *int) sample {
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	if depth == 0 {
		kind = min(kind, 1)
	}
	*names++
	switch kind {
	case 2:
		in := draw(t, depth-1, names)
		items := make([]any, rapid.IntRange(0, 3).Draw(t, "items"))
		for i := range items {
			items[i] = in.value
		}
		return sample{`{"type":"array","items":` + in.writer + `}`, `{"type":"array","items":` + in.reader + `}`, items}
	case 3:
		in := draw(t, depth-1, names)
		return sample{`{"type":"map","values":` + in.writer + `}`, `{"type":"map","values":` + in.reader + `}`, map[string]any{"k": in.value}}
	case 4, 5:
		return drawRecord(t, depth, names)
	case 1:
		enum := `{"type":"enum","name":"E` + fmt.Sprint(*names) + `","symbols":`
		return sample{enum + `["A","B"]}`, enum + `["C","B","A"]}`, rapid.SampledFrom([]string{"A", "B"}).Draw(t, "symbol")}
	}
	return rapid.SampledFrom(plains).Draw(t, "plain")(t)
}

// drawRecord makes a record whose fields the reader has in another order, of which it lacks some, and beside which it has others.
func drawRecord(t *rapid.T, depth int, names *int) sample {
	name := fmt.Sprint("R", *names)
	value := map[string]any{}
	var writer, reader []string
	for i := range rapid.IntRange(0, 4).Draw(t, "fields") {
		in := draw(t, depth-1, names)
		field := fmt.Sprint("f", i)
		value[field] = in.value
		writer = append(writer, `{"name":"`+field+`","type":`+in.writer+`}`)
		if rapid.IntRange(0, 3).Draw(t, "kept") > 0 {
			reader = append(reader, `{"name":"`+field+`","type":`+in.reader+`}`)
		}
		if rapid.IntRange(0, 3).Draw(t, "added") == 0 {
			reader = append(reader, `{"name":"n`+field+`","type":["string","null"],"default":"new"}`)
		}
	}
	reader = rapid.Permutation(reader).Draw(t, "order")
	record := `{"type":"record","name":"` + name + `","fields":[`
	return sample{record + strings.Join(writer, ",") + `]}`, record + strings.Join(reader, ",") + `]}`, value}
}

// Where the library can resolve two schemas, values read as it reads them: random schemas, each changed in ways that Avro allows, and random
// values.
func TestResolutionBesideTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := 0
		s := drawRecord(t, 3, &names)
		data, err := library.MustParse(s.writer).AppendEncode([]byte{0, 0, 0, 0, 1}, s.value)
		require.NoError(t, err)
		resolved, err := library.Resolve(library.MustParse(s.writer), library.MustParse(s.reader))
		require.NoError(t, err)
		var want any
		_, err = resolved.Decode(data[5:], &want)
		require.NoError(t, err)
		c, err := avro.New[any](registryOf(s.writer), avro.Config{Schema: s.reader})
		require.NoError(t, err)
		v, err := c.Decode(data)
		require.NoError(t, err)
		require.Equal(t, want, v, "%s as %s", s.writer, s.reader)
	})
}

// registryOf returns a registry whose every schema is this one.
func registryOf(schema string) *registry.Registry {
	answer := roundTrip(func(r *http.Request) (*http.Response, error) {
		text, err := json.Marshal(map[string]string{"schema": schema})
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(text)), Request: r}, err
	})
	reg, err := registry.New(registry.Config{Client: []sr.ClientOpt{sr.HTTPClient(&http.Client{Transport: answer})}})
	if err != nil {
		panic(err)
	}
	return reg
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
