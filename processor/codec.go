package processor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Codec turns the bytes of a record's value into a T and back. It must be safe for many goroutines at once. A nil
// slice is a tombstone (Kafka's null value).
type Codec[T any] interface {
	// Decode returns what data means. It must not keep data.
	Decode(data []byte) (T, error)
	// Encode returns the bytes of v. They may share memory with v.
	Encode(v T) ([]byte, error)
}

// JSON returns a codec for values in JSON. A tombstone decodes to the zero T, and what encodes to null (a nil pointer,
// map, slice or interface) is written as one. Fields that T does not have are passed over, and a number for an any becomes a
// float64, exact up to 2^53, as encoding/json has it: use a struct, json.Number or json.RawMessage to keep more.
func JSON[T any]() Codec[T] { return jsonCodec[T]{} }

// String returns a codec for text in UTF-8; other bytes are an error. A tombstone decodes to "".
func String() Codec[string] { return stringCodec{} }

// Bytes returns a codec that hands the bytes through as they are, nil as nil.
func Bytes() Codec[[]byte] { return bytesCodec{} }

type jsonCodec[T any] struct{}

// Decode implements Codec.
func (jsonCodec[T]) Decode(data []byte) (v T, err error) {
	if data == nil {
		return v, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("the value is not the JSON of a %T: %w", v, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, fmt.Errorf("the value has more than one JSON document")
	}
	return v, nil
}

// Encode implements Codec.
func (jsonCodec[T]) Encode(v T) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T as JSON: %w", v, err)
	}
	if bytes.Equal(data, []byte("null")) {
		return nil, nil
	}
	return data, nil
}

type stringCodec struct{}

// Decode implements Codec.
func (stringCodec) Decode(data []byte) (string, error) {
	if !utf8.Valid(data) {
		return "", errors.New("the value is not text in UTF-8")
	}
	return string(data), nil
}

// Encode implements Codec.
func (stringCodec) Encode(v string) ([]byte, error) { return []byte(v), nil }

type bytesCodec struct{}

// Decode implements Codec.
func (bytesCodec) Decode(data []byte) ([]byte, error) { return data, nil }

// Encode implements Codec.
func (bytesCodec) Encode(v []byte) ([]byte, error) { return v, nil }
