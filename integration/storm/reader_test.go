package storm

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/internal/isolation"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// liveReader reads the output read_committed while faults happen to it. What it gets must be what a reader gets who comes
// when all is over: nothing that is taken back, nothing that appears behind it.
type liveReader struct {
	p      *proc.Pipe
	cl     *kgo.Client
	cancel context.CancelFunc
	ended  chan struct{}

	mu       sync.Mutex
	held     *isolation.Reader
	readings map[offsets.Partition]*checker.Reading
	next     map[offsets.Partition]int64 // where it is
	faults   []string                    // fetch errors that are no passing ones
	changed  chan struct{}               // closed at each change, and replaced
}

// readLive starts such a reader. It ends with the test.
func readLive(p *proc.Pipe) *liveReader {
	p.T.Helper()
	ends, err := p.Listed(p.T.Context(), p.Adm.ListEndOffsets, p.To)
	require.NoError(p.T, err)
	starts := map[string]map[int32]kgo.Offset{}
	for at := range ends {
		if starts[at.Topic] == nil {
			starts[at.Topic] = map[int32]kgo.Offset{}
		}
		starts[at.Topic][at.Number] = kgo.NewOffset().At(0)
	}
	ctx, cancel := context.WithCancel(p.T.Context())
	l := &liveReader{
		p: p, held: bench.StableReader(p.T), cancel: cancel, ended: make(chan struct{}), readings: proc.NewReadings(ends), next: map[offsets.Partition]int64{}, changed: make(chan struct{}),
		cl: p.Cluster.Client(p.T, kgo.ConsumePartitions(starts), kgo.KeepControlRecords(), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.ConsumeResetOffset(kgo.NoResetOffset())),
	}
	go l.run(ctx)
	p.T.Cleanup(func() { cancel(); <-l.ended })
	return l
}

func (l *liveReader) run(ctx context.Context) {
	defer close(l.ended)
	for ctx.Err() == nil {
		fetches := l.cl.PollFetches(ctx)
		l.take(ctx, fetches)
	}
}

func (l *liveReader) take(ctx context.Context, fetches kgo.Fetches) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fetches.EachError(func(topic string, partition int32, err error) {
		if ctx.Err() == nil {
			l.faults = append(l.faults, fmt.Sprintf("%s-%d: %v", topic, partition, err))
		}
	})
	for _, r := range l.held.Records(fetches) {
		at := offsets.Partition{Topic: r.Topic, Number: r.Partition}
		l.next[at] = r.Offset + 1
		if !r.Attrs.IsControl() {
			l.readings[at].Record(r.Offset, proc.Fingerprint(0, r))
		}
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// finish waits until the reader has come to the ends, stops it, and returns what it got.
func (l *liveReader) finish(ends offsets.Set, within time.Duration) map[offsets.Partition]*checker.Reading {
	l.p.T.Helper()
	limit := time.NewTimer(within)
	defer limit.Stop()
	for {
		l.mu.Lock()
		behind := ""
		for at, end := range ends.Sorted() {
			if l.next[at] < end.Offset {
				behind = fmt.Sprintf("it is at %d of %d in %v", l.next[at], end.Offset, at)
			}
		}
		changed, faults := l.changed, l.faults
		l.mu.Unlock()
		require.Empty(l.p.T, faults, "the reader beside the faults")
		if behind == "" {
			break
		}
		select {
		case <-changed:
		case <-limit.C:
			require.FailNow(l.p.T, "the reader beside the faults does not come to the end", behind)
		}
	}
	l.cancel()
	<-l.ended
	return l.readings
}
