package eos

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/isolation"
)

// fetchSize keeps what the client asks of each broker at once to what there is room for: a fetch of records without content takes 24
// times its bytes in memory, and one that is compressed much more. It is a hook of the client, and learns from what was fetched.
type fetchSize struct {
	most     int64 // for one fetch
	capacity int64 // for what comes of one fetch

	wire, memory atomic.Int64 // of what was fetched since the last look

	mu        sync.Mutex
	expansion float64 // bytes of memory for one that was fetched
	now       int64
	pace      fetchPace
	brought   int64                      // by the last fetch that brought something
	throttled time.Time                  // when a fetch was throttled last, or the pace has changed since
	update    func(now, size int64) bool // tells the client, which asks for now; nil: there is none
}

const (
	leastFetch     = 64 << 10
	firstExpansion = 32
)

// newFetchSize returns the sizes for a client that fetches of so many brokers.
func newFetchSize(most int, buffer *InputBuffer, brokers int) *fetchSize {
	f := &fetchSize{most: int64(most), capacity: buffer.max / buffer.sessions / int64(max(brokers, 1)), expansion: firstExpansion}
	f.now = f.size()
	return f
}

// size is what to ask for. The caller holds mu, but for the first time.
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

// headers is told how much memory the headers of records take that were fetched.
func (f *fetchSize) headers(n int64) { f.memory.Add(n) }

// asked returns how much the client asks for.
func (f *fetchSize) asked() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// calmAfter is how long no fetch is throttled before more is fetched at once, and again before more than that.
const calmAfter = 15 * time.Second

// answered is told of each answer to a fetch, how large it is and for how long fetches are throttled. It tells the client to ask for less.
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
	case bytes >= leastPace: // one with less had nothing more to bring
		f.brought = bytes
		return
	default:
		return
	}
	f.tell()
}

// adjust tells the client what to ask for from now on: less at once where records grow, more little by little where they do not.
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

// of has a new client be told from now on, and returns what it is to ask for at first. (A user's own size is left as it is.)
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
