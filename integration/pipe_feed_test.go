package integration

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// This file fills the input of a pipe.

// feeding is the producer of a pipe's input and what it has made so far.
type feeding struct {
	cl   *kgo.Client
	at   []offsets.Partition   // all input partitions; records go to them in turn
	seq  []int64               // of the next record of each
	made atomic.Int64          // records that were confirmed or at least made
	err  atomic.Pointer[error] // why feeding ended before it was stopped
}

// prepare finds out the input's partitions, once.
func (p *pipe) prepare() *feeding {
	p.t.Helper()
	f := &p.feeding
	if f.cl != nil {
		return f
	}
	f.cl = p.cluster.Client(p.t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(5*time.Millisecond),
		kgo.MaxBufferedRecords(50_000))
	ends, err := p.listed(p.t.Context(), p.adm.ListEndOffsets, p.from)
	require.NoError(p.t, err)
	f.at = nil
	for at := range ends.Sorted() {
		f.at = append(f.at, at)
	}
	f.seq = make([]int64, len(f.at))
	return f
}

// next makes the next record: they go to the partitions in turn.
func (p *pipe) next() *kgo.Record {
	f := &p.feeding
	n := f.made.Add(1) - 1
	i := int(n) % len(f.at)
	return p.nextFor(n, i)
}

// nextFor makes record n, for the partition at index i.
func (p *pipe) nextFor(n int64, i int) *kgo.Record {
	f := &p.feeding
	record := p.record
	if record == nil {
		record = anyRecord
	}
	r := record(n, f.at[i], f.seq[i])
	f.seq[i]++
	r.Topic, r.Partition = f.at[i].Topic, f.at[i].Number
	return r
}

// fill adds n records to the input and returns when the brokers have them.
func (p *pipe) fill(n int) {
	p.t.Helper()
	require.NoError(p.t, p.produce(p.t.Context(), n))
}

func (p *pipe) produce(ctx context.Context, n int) error {
	f := p.prepare()
	var once sync.Once
	var failed error
	for range n {
		f.cl.Produce(ctx, p.next(), func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err })
			}
		})
	}
	if err := f.cl.Flush(ctx); err != nil {
		return err
	}
	return failed
}

// feedDeadline bounds the wait for the last records that are fed. What brokers that come back need is some ten seconds.
const feedDeadline = 3 * time.Minute

// feed adds records to the input at this rate, a hundred times a second, until stop is called, which returns how many
// were fed by then in all. While brokers are down it waits for them.
func (p *pipe) feed(perSecond int) (stop func() int64) {
	p.t.Helper()
	p.prepare()
	stopped := make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			if err := p.produce(p.t.Context(), perSecond/100); err != nil {
				p.feeding.err.Store(&err)
				failed <- err
				return
			}
			select {
			case <-stopped:
				failed <- nil
				return
			case <-tick.C:
			}
		}
	}()
	end := sync.OnceValue(func() error {
		close(stopped)
		select {
		case err := <-failed:
			return err
		case <-time.After(feedDeadline):
			return errors.New("what feeds the input does not end: the brokers do not confirm its records")
		}
	})
	p.t.Cleanup(func() { _ = end() }) // of a test that failed; its context has ended by then, so this does not block
	return func() int64 {
		require.NoError(p.t, end())
		return p.feeding.made.Load()
	}
}

// anyRecord makes records of all kinds: with and without keys and headers, JSON, tombstones and empty values.
func anyRecord(n int64, at offsets.Partition, seq int64) *kgo.Record {
	r := jsonRecord(n, at, seq)
	switch {
	case n%41 == 40:
		r.Value = nil
	case n%43 == 42:
		r.Value = []byte{}
	}
	return r
}

// jsonRecord makes records whose values are JSON.
func jsonRecord(n int64, at offsets.Partition, seq int64) *kgo.Record {
	r := &kgo.Record{Value: fmt.Appendf(nil, `{"n":%d,"at":"%s","seq":%d,"amount":%d}`, n, "p"+fmt.Sprint(at.Number), seq, n%1000)}
	if n%3 != 0 {
		r.Key = fmt.Appendf(nil, "customer-%d", n%97)
	}
	if n%2 == 0 {
		r.Headers = []kgo.RecordHeader{{Key: "trace", Value: fmt.Append(nil, n)}, {Key: "empty"}}
	}
	return r
}
