package eos

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/stable"
)

// fetchSize keeps what the client asks of each broker at once to what there is room for: a fetch of records without content takes 24
// times its bytes in memory, and one that is compressed much more. It is a hook of the client, and learns from what was fetched.
type fetchSize struct {
	most int64 // for one fetch
	room int64 // for what comes of one fetch

	wire, memory atomic.Int64 // of what was fetched since the last look
	expansion    float64      // bytes of memory for one that was fetched; the rest is the session's own
	now          int64
}

const (
	leastFetch     = 64 << 10
	firstExpansion = 32
)

// newFetchSize returns the sizes for a client that fetches of so many brokers.
func newFetchSize(most int, buffer *InputBuffer, brokers int) *fetchSize {
	f := &fetchSize{most: int64(most), room: buffer.max / buffer.sessions / int64(max(brokers, 1)), expansion: firstExpansion}
	f.now = f.size()
	return f
}

func (f *fetchSize) size() int64 {
	return min(max(int64(float64(f.room)/f.expansion), leastFetch), f.most)
}

// OnFetchBatchRead implements kgo.HookFetchBatchRead.
func (f *fetchSize) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	f.wire.Add(int64(m.CompressedBytes))
	f.memory.Add(int64(m.UncompressedBytes) + int64(m.NumRecords)*stable.RecordBytes)
}

// adjust tells the client what to ask for from now on: less at once where records grow, more little by little where they do not.
func (f *fetchSize) adjust(cl *kgo.Client) {
	wire, memory := f.wire.Swap(0), f.memory.Swap(0)
	if wire == 0 {
		return
	}
	seen := float64(memory) / float64(wire)
	f.expansion = max(seen, (seen+f.expansion)/2)
	size := f.size()
	if size == f.now {
		return
	}
	if asked, _ := cl.OptValue(kgo.FetchMaxBytes).(int32); int64(asked) == f.now { // else the user has set it
		f.now = size
		cl.UpdateFetchMaxBytes(int32(size), int32(min(size, maxPartitionFetch)))
	}
}
