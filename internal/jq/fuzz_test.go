package jq

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Map(`.`) and programs that say the same in other words are the identity, byte for byte, on every JSON value, key and
// headers. Where the value is not JSON they are an error.
func FuzzIdentity(f *testing.F) {
	f.Add([]byte(` { "b":1.10, "a":12345678901234567890,"a":1e1000 } `), []byte("k\xff"), "h", []byte("1"), []byte("\xfe"), false)
	f.Add([]byte(`null`), []byte(""), "", []byte(""), []byte(nil), true)
	f.Add([]byte(`"\ud800 \u0000 `+"\xff"+`"`), []byte("\xf0\x28"), "\xff", []byte("x"), []byte("x"), false)
	f.Add([]byte("not json"), []byte("k"), "h", []byte("1"), []byte("2"), false)
	programs := []*Program{
		mustCompile(f, "."), mustCompile(f, ".key = .key"), mustCompile(f, "{key, value, headers, topic}"),
		mustCompile(f, ".value |= ."), mustCompile(f, "select(true)"), mustCompile(f, "{value: .value}"),
		mustCompile(f, ".value as $v | .headers |= with_entries(.) | .value = $v"),
	}
	f.Fuzz(func(t *testing.T, value, key []byte, name string, h1, h2 []byte, nilKey bool) {
		r := Record{
			Key: key, Value: value, Topic: "orders", Partition: 7, Offset: 1 << 60, Timestamp: time.UnixMilli(-1),
			Headers: []Header{{Key: name, Value: h1}, {Key: "other"}, {Key: name, Value: h2}},
		}
		if nilKey {
			r.Key = nil
		}
		for _, p := range programs {
			out, err := p.Map(t.Context(), r)
			if value != nil && !json.Valid(value) {
				require.ErrorContains(t, err, "value is not JSON", p)
				continue
			}
			require.NoError(t, err, p)
			require.Equal(t, []Record{r}, out, p)
		}
	})
}

// A program judged to not read the value gives the same whatever the value is.
func FuzzValueIsNotReadByThoseSaidNotTo(f *testing.F) {
	for _, expr := range []string{
		`.key == "x"`, `.headers.a | . + "b"`, `{topic: .headers.route}`, `{(.key): 1}`, `{key}`, `[.key, .offset] | .[0]`,
		`if .key then 1 else .topic end`, `"\(.key)-\(.partition)"`, `@base64 "\(.key)"`, `.headers["a"]`, `.headers[.key]?`,
		`try (.key | error) catch .`, `.key // "none"`, `-.offset`, `(.key, .topic) | ascii_upcase`, `."key"`, `empty`,
		`.`, `..`, `.value`, `.["value"]`, `{value}`, `. as $x | $x`, `.headers[.value.a]`, `if .key == "z" then 1 end`, `if .key == "z" then 1 elif false then 2 end`, `def f: .; f`,
		`first(.[])`, `tojson`, `@json`, `@text "\(.)"`, `"\(.value)"`, `.key |= .`, `to_entries`, `getpath(["value"])`, `length`,
		`reduce . as $x (0; $x)`, `label $f | .`, `try error catch .`, `.key as $k | .value`, `{"value"}`, `{(.value|tostring): 1}`,
		`{a: .key, b: .}`, `.topic[(.value|length):]`, `-(.value|length)`, `[.[]]`, `[]`, `.key, .`, `input_value`, `{$__loc__}`,
	} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		p, err := Compile(expr)
		if err != nil || p.readsValue {
			return
		}
		p.maxRun, p.maxOutputs = 50*time.Millisecond, 100
		var answers [][]byte
		for _, value := range []any{nil, "a string", map[string]any{"a": "b"}} {
			in, err := (&Program{value: JSON, key: Text}).newInput(Record{Key: []byte("k"), Headers: []Header{{Key: "a", Value: []byte("b")}}, Topic: "t", Offset: 4})
			require.NoError(t, err)
			in.object["value"] = value
			var answer bytes.Buffer
			for v, err := range p.outputs(t.Context(), in) {
				if err != nil {
					answer.WriteString("error: " + err.Error())
					continue
				}
				answer.Write(append(marshal(v), '\n'))
			}
			answers = append(answers, answer.Bytes())
		}
		if slices.ContainsFunc(answers, func(a []byte) bool { return bytes.Contains(a, []byte("longer than")) }) || bytes.Contains([]byte(expr), []byte("now")) {
			return
		}
		require.Equal(t, string(answers[0]), string(answers[1]), expr)
		require.Equal(t, string(answers[0]), string(answers[2]), expr)
	})
}
