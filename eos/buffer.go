package eos

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// DefaultInputBufferMaxBytes is the size of an InputBuffer where none is given.
const DefaultInputBufferMaxBytes = 64 << 20

// InputBuffer bounds the memory that fetched input takes once it is decompressed, in all sessions that share it (Kafka Streams'
// input.buffer.max.bytes): both records still buffered by clients and records handed out but not yet released. A batch that does not
// fit is fetched again later; a batch larger than the buffer is admitted when the buffer is empty. It is safe for many goroutines at
// once.
//
// Memory is released when the garbage collector finds that nothing refers to a batch any more. A caller that keeps slices of records,
// even short ones, keeps the batches that they came in.
type InputBuffer struct {
	max      int64
	sessions int64

	mu        sync.Mutex
	used      int64
	collected time.Time // when the collector was run last for a batch that did not fit
	forced    bool      // the next batch is admitted whatever is used

	releases atomic.Int64 // how often memory was released
}

// NewInputBuffer returns a buffer of maxBytes for this number of sessions. 0 bytes means DefaultInputBufferMaxBytes, and fewer than
// one session means one.
func NewInputBuffer(maxBytes, sessions int) *InputBuffer {
	setDefault(&maxBytes, DefaultInputBufferMaxBytes)
	return &InputBuffer{max: int64(maxBytes), sessions: int64(max(sessions, 1))}
}

// Used returns how many bytes are taken, including those that wait for the collector.
func (b *InputBuffer) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// take takes n bytes if they fit, now or after a collection, or if nothing but the caller's own bytes is taken.
func (b *InputBuffer) take(n, own int64) bool {
	if b.taken(n, own) {
		return true
	}
	b.mu.Lock()
	now := time.Now()
	due := now.Sub(b.collected) >= collectAgain
	if due {
		b.collected = now
	}
	b.mu.Unlock()
	if !due {
		return false
	}
	runtime.GC()
	for wait := time.Now().Add(cleanupTime); !b.taken(n, own); {
		if !b.await(context.Background(), time.Until(wait)) {
			return false
		}
	}
	return true
}

// The collector runs for the buffer at most once in collectAgain, and releases what it has found within cleanupTime.
const (
	collectAgain = 50 * time.Millisecond
	cleanupTime  = 20 * time.Millisecond
)

func (b *InputBuffer) taken(n, own int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used > own && b.used+n > b.max && !b.forced {
		return false
	}
	b.used += n
	b.forced = false
	return true
}

func (b *InputBuffer) release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.releases.Add(1)
}

// await waits until memory is released and returns true, or returns false when d is over or ctx ends. It polls: a function that the
// collector calls must not touch a channel of a test in virtual time.
func (b *InputBuffer) await(ctx context.Context, d time.Duration) bool {
	before := b.releases.Load()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(d); time.Now().Before(end) && ctx.Err() == nil; {
		if b.releases.Load() != before {
			return true
		}
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
	return b.releases.Load() != before
}

// force admits the next batch: the application keeps the records that it was handed, and the session would stop.
func (b *InputBuffer) force() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forced = true
}

// hold ties n bytes that are taken to the life of data, which is not empty.
func (b *InputBuffer) hold(data []byte, n int64) {
	runtime.AddCleanup(unsafe.SliceData(data), b.release, n)
}
