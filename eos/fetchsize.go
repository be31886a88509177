package eos

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/isolation"
)

// fetchSize bounds the bytes that the client asks of each broker at once, so that the result fits into the InputBuffer: a fetch of
// records without content takes 24 times its bytes in memory, and a compressed one much more. It is a hook of the client, and learns
// from what was fetched.
type fetchSize struct {
	most     int64 // bytes that one fetch may ask for
	capacity int64 // memory that the result of one fetch may take

	wire, memory atomic.Int64 // bytes that were fetched since the last adjust, and that they take in memory

	mu        sync.Mutex
	expansion float64 // bytes of memory for one that was fetched
	now       int64
	pace      fetchPace
	brought   int64                      // bytes of the last answer that had leastPace or more
	throttled time.Time                  // when a fetch was throttled last, or the pace has changed since
	update    func(now, size int64) bool // changes the client's size from now; nil: there is no client
}

const (
	leastFetch     = 64 << 10
	firstExpansion = 32
)

// newFetchSize returns the sizes for a client that fetches from this number of brokers.
func newFetchSize(most int, buffer *InputBuffer, brokers int) *fetchSize {
	f := &fetchSize{most: int64(most), capacity: buffer.max / buffer.sessions / int64(max(brokers, 1)), expansion: firstExpansion}
	f.now = f.size()
	return f
}

// size returns how many bytes to ask for. The caller holds mu, except in newFetchSize.
func (f *fetchSize) size() int64 {
	size := min(max(int64(float64(f.capacity)/f.expansion), leastFetch), f.most)
	if f.pace > 0 {
		size = min(size, int64(f.pace))
	}
	return size
}

// OnFetchBatchRead implements kgo.HookFetchBatchRead.
func (f *fetchSize) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	f.wire.Add(int64(m.CompressedBytes))
	f.memory.Add(int64(m.UncompressedBytes) + int64(m.NumRecords)*isolation.RecordBytes)
}

// headers adds the memory that the headers of fetched records take.
func (f *fetchSize) headers(n int64) { f.memory.Add(n) }

// asked returns how much the client asks for.
func (f *fetchSize) asked() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// calmAfter is how long no fetch may be throttled before the pace gets faster, and before it gets faster again.
const calmAfter = 15 * time.Second

// answered takes the size of each answer to a fetch, and for how long fetches are throttled. It makes the client ask for less.
func (f *fetchSize) answered(bytes int64, throttle time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case throttle > 0:
		asked := f.now
		if f.brought > 0 {
			asked = min(asked, f.brought)
		}
		f.pace, f.throttled = f.pace.slower(asked, throttle), time.Now()
	case f.pace > 0 && time.Since(f.throttled) > calmAfter:
		f.pace, f.throttled = f.pace.faster(f.most), time.Now()
	case bytes >= leastPace: // for a smaller answer the broker had no more records
		f.brought = bytes
		return
	default:
		return
	}
	f.tell()
}

// adjust tells the client how much to ask for from now on: less at once if records expand more in memory, more step by step if they
// expand less.
func (f *fetchSize) adjust() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if wire, memory := f.wire.Swap(0), f.memory.Swap(0); wire > 0 {
		seen := float64(memory) / float64(wire)
		f.expansion = max(seen, (seen+f.expansion)/2)
	}
	f.tell()
}

// tell tells the client. The caller holds mu.
func (f *fetchSize) tell() {
	if size := f.size(); size != f.now && f.update != nil && f.update(f.now, size) {
		f.now = size
	}
}

// of makes c the client that is told from now on, and returns how much it asks for at first. (A user's own size is left as it is.)
func (f *fetchSize) of(c *client) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.update = func(now, size int64) bool {
		cl := c.gts.Client()
		asked, _ := cl.OptValue(kgo.FetchMaxBytes).(int32)
		if int64(asked) != now {
			return false
		}
		cl.UpdateFetchMaxBytes(int32(size), int32(min(size, maxPartitionFetch)))
		return true
	}
	return f.now
}
