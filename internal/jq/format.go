package jq

import (
	"encoding/base64"
	"errors"
	"fmt"
)

// Format is how the bytes of a value or a key look to a program, and how what it sets becomes bytes. Its functions may be
// called by many goroutines at once.
type Format interface {
	// Read returns the bytes, which are there, as JSON. A number may be a json.Number.
	Read(data []byte) (any, error)
	// Write returns the bytes of what a program has set, which is not null. was are the bytes that came; nil if there were none.
	Write(v any, was []byte) ([]byte, error)
}

// The formats that need nothing but the bytes. By default a value is JSON and a key is text.
var (
	JSON   Format = jsonFormat{}
	Text   Format = textFormat{}   // a string; other JSON that a program sets is written compact
	Base64 Format = base64Format{} // a string in base64, of any bytes
)

// WithFormats returns the program with the formats of values and keys. What a program does not change keeps its bytes in every format.
func (p *Program) WithFormats(value, key Format) *Program {
	if p == nil {
		return nil
	}
	other := *p
	other.value, other.key = value, key
	return &other
}

type jsonFormat struct{}

func (jsonFormat) Read(data []byte) (any, error)         { return parse(data) }
func (jsonFormat) Write(v any, _ []byte) ([]byte, error) { return marshal(v), nil }

type textFormat struct{}

func (textFormat) Read(data []byte) (any, error)         { return string(data), nil }
func (textFormat) Write(v any, _ []byte) ([]byte, error) { return []byte(text(v)), nil }

type base64Format struct{}

func (base64Format) Read(data []byte) (any, error) {
	return base64.StdEncoding.EncodeToString(data), nil
}

func (base64Format) Write(v any, _ []byte) ([]byte, error) {
	s, ok := v.(string)
	if !ok {
		return nil, fmt.Errorf("%s is not base64, which is a string (@base64 makes one)", kind(v))
	}
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("the string is not base64: %w", err)
	}
	return data, nil
}

// Coded returns a format whose bytes are JSON in another form. toJSON gives the JSON of bytes, and fromJSON the bytes of JSON in the form of
// other bytes.
func Coded(toJSON func(data []byte) ([]byte, error), fromJSON func(text, like []byte) ([]byte, error)) Format {
	return codedFormat{toJSON, fromJSON}
}

type codedFormat struct {
	toJSON   func(data []byte) ([]byte, error)
	fromJSON func(text, like []byte) ([]byte, error)
}

func (f codedFormat) Read(data []byte) (any, error) {
	text, err := f.toJSON(data)
	if err != nil {
		return nil, err
	}
	return parse(text)
}

func (f codedFormat) Write(v any, was []byte) ([]byte, error) {
	if was == nil {
		return nil, errors.New("the record came without one, and so without a schema to write it with")
	}
	return f.fromJSON(marshal(v), was)
}
