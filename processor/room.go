package processor

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"
)

// DefaultBufferMemory is what the outputs under way may take where Config.BufferMemory is zero: Kafka's buffer.memory.
const DefaultBufferMemory = 32 << 20

// OutputsTooLargeError is the cause when the outputs of a single input record exceed the room for them.
type OutputsTooLargeError struct {
	Max int64 // bytes that there is room for
}

// Error names the bound.
func (e *OutputsTooLargeError) Error() string {
	return fmt.Sprintf("its outputs take more than the %d bytes of BufferMemory (--buffer-memory) that a lane has for the outputs of a transaction", e.Max)
}

// room counts what the outputs of a batch take, and how much they may. Several goroutines use it.
type room struct {
	max            int64 // 0: there is no bound
	marked         bool  // each output gets one more header, and with it headers of its own
	bytes, records atomic.Int64
}

// outputBytes is what an output takes beside its bytes, where it is not the fetched record itself.
const outputBytes = int64(unsafe.Sizeof(kgo.Record{}) + unsafe.Sizeof(place{}) + 2*unsafe.Sizeof(uintptr(0)))

// errNoRoom is the error of a batch whose outputs exceed the room for them. Nothing of the batch is lost: it must be
// polled again with fewer records.
var errNoRoom = errors.New("the outputs of the batch are more than there is room for")

// noRoomError is errNoRoom with the number of records to try next.
type noRoomError struct{ most int }

// Error implements error.
func (e *noRoomError) Error() string { return errNoRoom.Error() }

// Unwrap returns errNoRoom.
func (e *noRoomError) Unwrap() error { return errNoRoom }

// fits reports whether there is room for size more bytes.
func (m *room) fits(size int64) bool {
	return m.max == 0 || m.bytes.Load()+size <= m.max
}

// take adds the size of the outputs of some input records.
func (m *room) take(records int, size int64) {
	m.records.Add(int64(records))
	m.bytes.Add(size)
}

// enough returns how many records like these there is room for, with some to spare.
func (m *room) enough() int {
	bytes, records := m.bytes.Load(), m.records.Load()
	if bytes == 0 {
		return max(1, int(records)*2)
	}
	return int(max(1, min(float64(m.max)*3/4/float64(bytes)*float64(records), math.MaxInt32)))
}

// sizeOf returns what output i of an input takes in addition to the fetched record, which is mostly the first output.
func (m *room) sizeOf(i int, value []byte, headers, source []Header) int64 {
	size := int64(len(value))
	if i > 0 {
		size += outputBytes
	}
	if own := len(headers) > 0 && (m.marked || len(source) == 0 || &headers[0] != &source[0]); own {
		size += headersSize(headers)
	}
	return size
}

// headerBytes is what a header takes beside its bytes.
const headerBytes = int64(unsafe.Sizeof(Header{}))

func headersSize(headers []Header) (n int64) {
	for _, h := range headers {
		n += headerBytes + int64(len(h.Key)+len(h.Value))
	}
	return n
}

func isTooLarge(err error) bool {
	_, ok := errors.AsType[*OutputsTooLargeError](err)
	return ok
}
