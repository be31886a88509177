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
// input.buffer.max.bytes): what the clients hold and what is handed out and not let go of yet. A batch that finds no room is fetched again
// when there is some; one that would fill it alone finds room when it is empty. It is safe for many goroutines at once.
//
// Room is given back when the collector has found that nobody holds a batch any more. Who keeps slices of records, even short ones, keeps the
// batches that they came in.
type InputBuffer struct {
	max      int64
	sessions int64

	mu        sync.Mutex
	used      int64
	collected time.Time // when a batch that found no room had the collector run
	forced    bool      // the next batch is let in whatever is used

	releases atomic.Int64 // how often room was given back
}

// NewInputBuffer returns a buffer of maxBytes, 0: DefaultInputBufferMaxBytes, for so many sessions.
func NewInputBuffer(maxBytes, sessions int) *InputBuffer {
	setDefault(&maxBytes, DefaultInputBufferMaxBytes)
	return &InputBuffer{max: int64(maxBytes), sessions: int64(max(sessions, 1))}
}

// Used returns how many bytes are taken, those included that wait for the collector.
func (b *InputBuffer) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// take takes n bytes if there is room for them, now or after a collection, or if nothing is taken but the caller's own.
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

// The collector runs for the buffer once in collectAgain, and tells what it has found within cleanupTime.
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

// await waits until room is given back and returns true, or returns false when d is over or ctx ends. It looks again and again: what the
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

// force lets the next batch in: somebody keeps what they were handed out, and the session would stand still.
func (b *InputBuffer) force() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forced = true
}

// hold ties n bytes that are taken to the life of data, which is not empty.
func (b *InputBuffer) hold(data []byte, n int64) {
	runtime.AddCleanup(unsafe.SliceData(data), b.release, n)
}
