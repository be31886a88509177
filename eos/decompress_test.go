package eos

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/eos-pipe/eos-pipe/internal/isolation"
)

var codecs = map[string]kgo.CompressionCodec{
	"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func compress(t require.TestingT, codec kgo.CompressionCodec, data []byte) ([]byte, kgo.CompressionCodecType) {
	c, err := kgo.DefaultCompressor(codec)
	require.NoError(t, err)
	src, kind := c.Compress(new(bytes.Buffer), data)
	return bytes.Clone(src), kind
}

// Whatever was compressed, by each codec, comes back, whether it fits into what is tried first or not; above the bound nothing does. kgo's own
// decompressor is the reference for damaged input: an error of one is an error of the other.
func TestDecompress(t *testing.T) {
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			d, err := newDecompressor(32<<20, NewInputBuffer(0, 1))
			require.NoError(t, err)
			rng := rand.New(rand.NewPCG(1, 2))
			for _, size := range []int{1, 100, fewBytes - 1, fewBytes, fewBytes + 1, 9 << 20, 20 << 20} {
				data := make([]byte, size)
				for i := range min(size, 1000) {
					data[i] = byte(rng.Uint32()) | 1 // as a varint it is no length
				}
				src, kind := compress(t, codec, data)
				got, err := d.Decompress(src, kind)
				require.NoError(t, err, "%d bytes", size)
				require.True(t, bytes.Equal(data, got), "%d bytes", size)
			}
			src, kind := compress(t, codec, make([]byte, 33<<20))
			_, err = d.Decompress(src, kind)
			require.ErrorIs(t, err, errTooLarge)
			rapid.Check(t, func(rt *rapid.T) {
				src, kind := compress(rt, codec, rapid.SliceOfN(rapid.ByteRange(0, 3), 100, 300).Draw(rt, "data"))
				src[rapid.IntRange(0, len(src)-1).Draw(rt, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
				want, wantErr := kgo.DefaultDecompressor().Decompress(src, kind)
				got, err := d.Decompress(src, kind)
				require.Equal(rt, wantErr == nil, err == nil, "%v, %v", wantErr, err)
				if err == nil {
					require.True(rt, slices.Equal(want, got))
				}
			})
		})
	}
}

// A batch of nothing but small records counts for what the client makes of them.
func TestDecompressCountsRecords(t *testing.T) {
	buffer := NewInputBuffer(0, 1)
	d, err := newDecompressor(1<<20, buffer)
	require.NoError(t, err)
	record := []byte{12, 0, 0, 0, 1, 1, 0} // its length, attributes, two deltas, no key, no value, no headers
	src, kind := compress(t, kgo.ZstdCompression(), bytes.Repeat(record, 1000))
	data, err := d.Decompress(src, kind)
	require.NoError(t, err)
	require.Equal(t, 7000+1000*isolation.RecordBytes, buffer.Used())
	runtime.KeepAlive(&data[0])
	src, kind = compress(t, kgo.ZstdCompression(), bytes.Repeat(record, 10_000))
	_, err = d.Decompress(src, kind)
	require.ErrorIs(t, err, errTooLarge)
}

// Headers count for what the client makes of them: an array, and a copy of each key. Two bytes may be one.
func TestDecompressCountsHeaders(t *testing.T) {
	const headers = 1000
	for key, most := range map[string]int64{"": 0, "x": 0, "traceparent": 16, "a name of seventeen": 32} {
		body := []byte{0, 0, 0, 1, 1} // attributes, two deltas, no key, no value
		body = binary.AppendVarint(body, headers)
		for range headers {
			body = append(binary.AppendVarint(body, int64(len(key))), key...)
			body = binary.AppendVarint(body, -1)
		}
		record := append(binary.AppendVarint(nil, int64(len(body))), body...)
		buffer := NewInputBuffer(0, 1)
		d, err := newDecompressor(64<<20, buffer)
		require.NoError(t, err)
		src, kind := compress(t, kgo.ZstdCompression(), bytes.Repeat(record, 10))
		data, err := d.Decompress(src, kind)
		require.NoError(t, err)
		require.Equal(t, int64(len(data))+10*(isolation.RecordBytes+headers*(isolation.HeaderBytes+most)), buffer.Used(), "key %q", key)
		runtime.KeepAlive(&data[0])
		d, err = newDecompressor(headers*int(isolation.HeaderBytes), buffer)
		require.NoError(t, err)
		_, err = d.Decompress(src, kind)
		require.ErrorIs(t, err, errTooLarge)
	}
}

// Whatever is in a batch, what it is taken for is no less than what kgo takes for it, and nothing of it panics.
func TestDecompressWeighsAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "data")
		require.GreaterOrEqual(t, madeOf(data), int64(0))
		require.GreaterOrEqual(t, headersOf(data), int64(0))
	})
}

// What is decompressed takes room until nobody holds it, and only what finds room is: beside what is held, whatever is alone.
func TestInputBuffer(t *testing.T) {
	buffer := NewInputBuffer(10<<20, 1)
	first, err := newDecompressor(64<<20, buffer)
	require.NoError(t, err)
	second, err := newDecompressor(64<<20, buffer)
	require.NoError(t, err)
	large, kind := compress(t, kgo.ZstdCompression(), bytes.Repeat([]byte{1}, 20<<20))
	small, _ := compress(t, kgo.ZstdCompression(), bytes.Repeat([]byte{1}, 4<<10))
	held, err := first.Decompress(large, kind)
	require.NoError(t, err, "alone")
	_, err = second.Decompress(small, kind)
	require.ErrorIs(t, err, errBufferFull)
	runtime.KeepAlive(&held[0])
	held = nil
	for {
		if _, err = second.Decompress(large, kind); err == nil {
			break
		}
		require.ErrorIs(t, err, errBufferFull)
		require.NoError(t, t.Context().Err())
	}
	buffer.force()
	_, err = first.Decompress(small, kind)
	require.NoError(t, err)
}
