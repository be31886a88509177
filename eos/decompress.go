package eos

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/isolation"
)

// errBufferFull is the cause when a batch is not decompressed because the InputBuffer is full. The records before it in its partition are
// handed out, and the batch is fetched again.
var errBufferFull = errors.New("the batch does not fit into the input buffer now")

// errTooLarge is the cause when a batch is not decompressed because it exceeds the bound for one batch. It must not be
// kgo.ErrMaxDecompress: see passover.go.
var errTooLarge = errors.New("the batch grows beyond the bound when it is decompressed")

// decompressor decompresses fetched batches, one at a time. It takes the bytes of the result from the InputBuffer before it allocates
// them: a fetch of a megabyte may hold a gigabyte. kgo's own decompressor grows its buffers as it decompresses, and bounds single
// batches only.
type decompressor struct {
	oversized
	max    int64 // the most bytes that a batch may take, including the memory of its records
	buffer *InputBuffer

	mu   sync.Mutex
	few  []byte // decompress tries a batch here first: most fit
	zstd *zstd.Decoder
	gzip gzip.Reader
	lz4  *lz4.Reader
}

// fewBytes is the size of few: this much is decompressed without taking bytes of the InputBuffer first.
const fewBytes = 1 << 20

func newDecompressor(most int, buffer *InputBuffer) (*decompressor, error) {
	decoder, err := newZstd()
	if err != nil {
		return nil, err
	}
	return &decompressor{max: int64(most), buffer: buffer, few: make([]byte, min(fewBytes, most)), zstd: decoder, lz4: lz4.NewReader(nil)}, nil
}

// newZstd returns a decoder of whole frames that writes no more than the capacity of its destination.
func newZstd() (*zstd.Decoder, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("make the decompressor: %w", err)
	}
	return decoder, nil
}

// Decompress implements kgo.Decompressor. The error is errBufferFull, or errTooLarge for a batch above the bound.
func (d *decompressor) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec == kgo.CodecNone {
		return src, nil
	}
	data, err := d.decompress(src, codec)
	if errors.Is(err, kgo.ErrMaxDecompress) {
		return d.replacement(src)
	}
	return data, err
}

func (d *decompressor) decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if size := said(src, codec); size > d.max {
		return nil, kgo.ErrMaxDecompress
	} else if size > int64(len(d.few)) {
		return d.larger(size, src, codec)
	}
	data, err := d.into(d.few, src, codec)
	switch {
	case err == nil:
		return d.small(data)
	case !errors.Is(err, errTooSmall):
		return nil, err
	}
	return d.larger(8*int64(len(d.few)), src, codec)
}

// small returns a copy of data, which is in few.
func (d *decompressor) small(data []byte) ([]byte, error) {
	weight := int64(len(data)) + madeOf(data)
	switch {
	case len(data) == 0:
		return []byte{}, nil
	case weight > d.max:
		return nil, kgo.ErrMaxDecompress
	case !d.buffer.take(weight, 0):
		return nil, errBufferFull
	}
	data = bytes.Clone(data)
	d.buffer.hold(data, weight)
	return data, nil
}

// larger decompresses into a new slice of size bytes, and into a larger one if that is too small.
func (d *decompressor) larger(size int64, src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	for ; ; size *= 8 {
		size = min(size, d.max)
		if !d.buffer.take(size, 0) {
			return nil, errBufferFull
		}
		data, err := d.into(make([]byte, size), src, codec)
		if err == nil {
			return d.large(data, size)
		}
		d.buffer.release(size)
		switch {
		case !errors.Is(err, errTooSmall):
			return nil, err
		case size == d.max:
			return nil, kgo.ErrMaxDecompress
		}
	}
}

// large returns data, for which size bytes are taken already, if the memory of its records fits, too.
func (d *decompressor) large(data []byte, size int64) ([]byte, error) {
	made := madeOf(data)
	switch {
	case int64(len(data))+made > d.max:
		d.buffer.release(size)
		return nil, kgo.ErrMaxDecompress
	case !d.buffer.take(made, size):
		d.buffer.release(size)
		return nil, errBufferFull
	}
	d.buffer.hold(data, size+made)
	return data, nil
}

// said returns the decompressed size that a batch states; 0 if it states none. It may be larger.
func said(src []byte, codec kgo.CompressionCodecType) int64 {
	switch codec {
	case kgo.CodecZstd:
		var h zstd.Header
		if err := h.Decode(src); err == nil && h.HasFCS {
			return int64(min(h.FrameContentSize, math.MaxInt64))
		}
	case kgo.CodecSnappy:
		if n, err := s2.DecodedLen(src); err == nil && !isXerial(src) {
			return int64(n)
		}
	case kgo.CodecNone, kgo.CodecGzip, kgo.CodecLz4:
	}
	return 0
}

// errTooSmall is the cause when a batch does not fit into the destination.
var errTooSmall = errors.New("the batch is larger when decompressed")

// into decompresses src into dst, and returns the part of dst that it has filled, or errTooSmall.
func (d *decompressor) into(dst, src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	switch codec {
	case kgo.CodecNone:
	case kgo.CodecSnappy:
		return snappyInto(dst, src)
	case kgo.CodecZstd:
		decoder := d.zstd
		if len(dst) > len(d.few) { // a decoder keeps a reference to its last result
			var err error
			if decoder, err = newZstd(); err != nil {
				return nil, err
			}
			defer decoder.Close()
		}
		data, err := decoder.DecodeAll(src, dst[:0:len(dst)])
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			err = errTooSmall
		}
		return data, err
	case kgo.CodecGzip:
		if err := d.gzip.Reset(bytes.NewReader(src)); err != nil {
			return nil, err
		}
		return readInto(dst, &d.gzip)
	case kgo.CodecLz4:
		d.lz4.Reset(bytes.NewReader(src))
		return readInto(dst, d.lz4)
	}
	return nil, fmt.Errorf("the compression codec %d is not known", codec)
}

// readInto reads all of r into dst.
func readInto(dst []byte, r io.Reader) ([]byte, error) {
	n := 0
	for left := dst; ; left = dst[n:] {
		var beyond [1]byte
		if len(left) == 0 {
			left = beyond[:]
		}
		more, err := r.Read(left)
		if n += more; n > len(dst) {
			return nil, errTooSmall
		}
		switch {
		case errors.Is(err, io.EOF):
			return dst[:n], nil
		case err != nil:
			return nil, err
		}
	}
}

// snappyInto reads one block, or the blocks that Java's library (xerial) writes one after the other: a header of 16 bytes, then the
// length of each block before it.
func snappyInto(dst, src []byte) ([]byte, error) {
	if !isXerial(src) {
		return snappyBlock(dst, src)
	}
	at := 0
	for src = src[xerialHeader:]; len(src) > 0; {
		if len(src) < 4 {
			return nil, io.ErrUnexpectedEOF
		}
		size := int64(binary.BigEndian.Uint32(src))
		if src = src[4:]; size > int64(len(src)) {
			return nil, io.ErrUnexpectedEOF
		}
		block, err := snappyBlock(dst[at:], src[:size])
		if err != nil {
			return nil, err
		}
		at, src = at+len(block), src[size:]
	}
	return dst[:at], nil
}

const xerialHeader = 16

func isXerial(src []byte) bool {
	return len(src) >= xerialHeader && bytes.HasPrefix(src, []byte("\x82SNAPPY\x00"))
}

func snappyBlock(dst, src []byte) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return nil, err
	}
	if n > len(dst) {
		return nil, errTooSmall
	}
	return s2.Decode(dst[:n], src)
}

// madeOf returns how much memory the client takes for the records of a batch beside their bytes; each begins with its length.
func madeOf(data []byte) (n int64) {
	for len(data) > 0 {
		length, width := binary.Varint(data)
		if width <= 0 || length < 0 || length > int64(len(data)-width) {
			return n
		}
		end := width + int(length)
		n += isolation.RecordBytes + headersOf(data[width:end])
		data = data[end:]
	}
	return n
}

// headersOf returns how much memory the client takes for the headers of a record beside their bytes: an array of them, and a copy of each key.
// record: attributes int8 | varints: timestamp delta, offset delta | key | value | the number of headers, and each as key and value.
func headersOf(record []byte) (n int64) {
	rest := record[min(1, len(record)):]
	for range 2 {
		_, rest = varint(rest)
	}
	for range 2 {
		rest = skipBytes(rest)
	}
	count, rest := varint(rest)
	if count <= 0 || count > int64(len(rest)) { // more than there can be: the client allocates nothing for them
		return 0
	}
	n = count * isolation.HeaderBytes
	for ; count > 0 && len(rest) > 0; count-- {
		length, _ := varint(rest)
		if length > 1 {
			n += (length + leastAllocation - 1) / leastAllocation * leastAllocation
		}
		rest = skipBytes(skipBytes(rest))
	}
	return n
}

// leastAllocation is the memory of a short string.
const leastAllocation = 16

// varint returns the number at the beginning of b, and the bytes after it: nil if there is no number.
func varint(b []byte) (int64, []byte) {
	n, width := binary.Varint(b)
	if width <= 0 {
		return 0, nil
	}
	return n, b[width:]
}

// skipBytes returns what follows the length-prefixed bytes that b begins with; a length of -1 means that there are none.
func skipBytes(b []byte) []byte {
	length, rest := varint(b)
	if length > int64(len(rest)) {
		return nil
	}
	return rest[max(length, 0):]
}
