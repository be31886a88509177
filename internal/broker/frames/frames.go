// Package frames reads what stands before the body of a Kafka request or answer: the client's id, and tagged fields (KIP-482).
package frames

import (
	"encoding/binary"
	"errors"
)

// ErrShort is a frame that ends before its fields do.
var ErrShort = errors.New("the frame ends too early")

// ClientID returns the nullable string at the start of b, "" for null, and what follows it.
func ClientID(b []byte) (id string, rest []byte, err error) {
	if len(b) < 2 {
		return "", nil, ErrShort
	}
	n := int(int16(binary.BigEndian.Uint16(b)))
	rest = b[2:]
	if n < 0 {
		return "", rest, nil
	}
	if n > len(rest) {
		return "", nil, ErrShort
	}
	return string(rest[:n]), rest[n:], nil
}

// SkipTags returns what follows the tagged fields at the start of b.
func SkipTags(b []byte) ([]byte, error) {
	count, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, ErrShort
	}
	b = b[n:]
	for range count {
		if _, n = binary.Uvarint(b); n <= 0 {
			return nil, ErrShort
		}
		b = b[n:]
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return nil, ErrShort
		}
		b = b[n+int(size):]
	}
	return b, nil
}
