package jq

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// A program sees values and keys in the formats that it is given, and what it sets is written in them. What it leaves as it is keeps
// its bytes, whatever the format.
func TestFormats(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value, key Format
		expr       string
		in         Record
		want       Record
	}{
		{Text, Text, `.value |= sub("b"; "x") | .key = .value`, Record{Value: []byte("a b"), Key: []byte("k")}, Record{Value: []byte("a x"), Key: []byte("a x")}},
		{Text, Text, `.`, Record{Value: []byte("\xff\x00not JSON")}, Record{Value: []byte("\xff\x00not JSON")}},
		{Text, Text, `.value = {n: 1}`, Record{Value: []byte("a")}, Record{Value: []byte(`{"n":1}`)}},
		{Text, Text, `.value = (.value | fromjson | .n)`, Record{Value: []byte(`{"n":[1]}`)}, Record{Value: []byte("[1]")}},
		{Text, Text, `.value |= ascii_upcase`, Record{Value: []byte{}}, Record{Value: []byte{}}},
		{Text, Text, `.value = null`, Record{Value: []byte("a")}, Record{}},
		{Base64, Base64, `.key = .value`, Record{Value: []byte{0xff, 0}, Key: []byte("k")}, Record{Value: []byte{0xff, 0}, Key: []byte{0xff, 0}}},
		{JSON, JSON, `.value = .key.id`, Record{Value: []byte("1"), Key: []byte(`{"id": 12345678901234567890}`)}, Record{Value: []byte("12345678901234567890"), Key: []byte(`{"id": 12345678901234567890}`)}},
		{JSON, JSON, `.key.id = 2`, Record{Value: []byte(" 1 "), Key: []byte(`{"id": 1}`)}, Record{Value: []byte(" 1 "), Key: []byte(`{"id":2}`)}},
		{JSON, JSON, `.key = .value`, Record{}, Record{}},
		{rot, Text, `.value.a += 1`, Record{Value: []byte("#{\"a\":1}")}, Record{Value: []byte("#{\"a\":2}")}},
		{rot, Text, `.`, Record{Value: []byte("#{ \"a\":1}")}, Record{Value: []byte("#{ \"a\":1}")}},
	} {
		out, err := mustCompile(t, c.expr).WithFormats(c.value, c.key).Map(t.Context(), c.in)
		require.NoError(t, err, c.expr)
		require.Equal(t, []Record{c.want}, out, c.expr)
	}
}

var errNoHash = errors.New("it has no hash")

// rot is JSON behind a hash.
var rot = Coded(func(data []byte) ([]byte, error) {
	text, ok := bytes.CutPrefix(data, []byte("#"))
	if !ok {
		return nil, errNoHash
	}
	return text, nil
}, func(text, like []byte) ([]byte, error) { return append(like[:1:1], text...), nil })

// What is not in the format is an error that says which field, and keeps its cause; a program that does not look at the value runs over
// any.
func TestFormatErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value, key Format
		expr       string
		in         Record
		want       string
	}{
		{JSON, JSON, ".", Record{Key: []byte("k")}, "key is not JSON: invalid character 'k'"},
		{rot, Text, ".", Record{Value: []byte("1")}, "value: it has no hash"},
		{rot, Text, ".value = 1", Record{}, "the jq program's value cannot be written: the record came without one"},
		{Base64, Text, ".value = 1", Record{}, "value cannot be written: a number is not base64"},
		{Text, Base64, `.key = "?"`, Record{}, "key cannot be written: the string is not base64"},
	} {
		_, err := mustCompile(t, c.expr).WithFormats(c.value, c.key).Map(t.Context(), c.in)
		require.ErrorContains(t, err, c.want)
	}
	_, err := mustCompile(t, ".").WithFormats(rot, Text).Filter(t.Context(), Record{Value: []byte("1")})
	require.ErrorIs(t, err, errNoHash)
	keep, err := mustCompile(t, `.key == "k"`).WithFormats(rot, Text).Filter(t.Context(), Record{Key: []byte("k"), Value: []byte("1")})
	require.NoError(t, err)
	require.True(t, keep)
}
