package batches

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Digester computes digests of records. It belongs to one goroutine.
type Digester struct{ decompressor kgo.Decompressor }

// NewDigester returns one that knows all of Kafka's codecs.
func NewDigester() *Digester { return &Digester{kgo.DefaultDecompressor()} }

// Digest is the same for batches that mean the same: equal keys, values and headers in equal order. Timestamps and compression
// do not count, since they change when an application sends a record again. It is never 0, which stands for "not known", but for
// control batches and batches that compaction has touched.
func (d *Digester) Digest(b *Batch) (uint64, error) {
	if b.Control || b.Records != b.Count() {
		return 0, nil
	}
	records, err := d.decompressor.Decompress(b.records, kgo.CompressionCodecType(b.codec))
	if err != nil {
		return 0, fmt.Errorf("the batch at offset %d cannot be decompressed: %w", b.BaseOffset, err)
	}
	h := newHash()
	for range b.Records {
		r, rest, err := nextRecord(records)
		if err != nil {
			return 0, fmt.Errorf("the batch at offset %d: %w", b.BaseOffset, err)
		}
		h.part(r.key)
		h.part(r.value)
		h.part(r.headers)
		records = rest
	}
	return max(uint64(h), 1), nil
}

// errRecord is a record that does not end where it says.
var errRecord = errors.New("a record cannot be read")

// record is one record without its place: nil is null.
type record struct{ key, value, headers []byte }

// nextRecord reads one record, and returns what follows it.
func nextRecord(src []byte) (r record, rest []byte, err error) {
	body, rest, ok := cutBytes(src)
	if !ok || len(body) == 0 {
		return record{}, nil, errRecord
	}
	body = body[1:] // attributes
	for range 2 {   // timestamp and offset delta
		_, n := binary.Varint(body)
		if n <= 0 {
			return record{}, nil, errRecord
		}
		body = body[n:]
	}
	if r.key, body, ok = cutBytes(body); ok {
		r.value, r.headers, ok = cutBytes(body)
	}
	if !ok {
		return record{}, nil, errRecord
	}
	return r, rest, nil
}

// cutBytes reads a length and as many bytes; a negative length is null.
func cutBytes(src []byte) (field, rest []byte, ok bool) {
	length, n := binary.Varint(src)
	switch {
	case n <= 0 || length > int64(len(src)-n):
		return nil, nil, false
	case length < 0:
		return nil, src[n:], true
	}
	return src[n : n+int(length) : n+int(length)], src[n+int(length):], true
}

// hash is FNV-1a, 64 bits. It is the same in every process, so that digests of traces can be compared.
type hash uint64

func newHash() hash { return 0xcbf29ce484222325 }

// part adds a field together with its length, so that what ends one field cannot begin the next. Null differs from empty.
func (h *hash) part(field []byte) {
	length := uint64(len(field))
	if field == nil {
		length = 1 << 63
	}
	x := *h
	for range 8 {
		x = (x ^ hash(length&0xff)) * 0x100000001b3
		length >>= 8
	}
	for _, c := range field {
		x = (x ^ hash(c)) * 0x100000001b3
	}
	*h = x
}
