package proc

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
	"github.com/eos-pipe/eos-pipe/processor"
)

// This file fills the input of a pipe.

// Feeding is the producer of a pipe's input and what it has made so far.
type Feeding struct {
	Client *kgo.Client
	At     []offsets.Partition   // all input partitions; records go to them in turn
	seq    []int64               // of the next record of each
	made   atomic.Int64          // records that were confirmed or at least made
	err    atomic.Pointer[error] // why feeding ended before it was stopped
}

// Prepare finds out the input's partitions, once.
func (p *Pipe) Prepare() *Feeding {
	p.T.Helper()
	f := &p.Feeding
	if f.Client != nil {
		return f
	}
	f.Client = p.Cluster.Client(p.T, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(5*time.Millisecond),
		kgo.MaxBufferedRecords(50_000))
	ends, err := p.Listed(p.T.Context(), p.Adm.ListEndOffsets, p.From)
	require.NoError(p.T, err)
	f.At = nil
	for at := range ends.Sorted() {
		f.At = append(f.At, at)
	}
	f.seq = make([]int64, len(f.At))
	return f
}

// Next makes the next record: they go to the partitions in turn.
func (p *Pipe) Next() *kgo.Record {
	f := &p.Feeding
	n := f.made.Add(1) - 1
	i := int(n) % len(f.At)
	return p.NextFor(n, i)
}

// NextFor makes record n, for the partition at index i.
func (p *Pipe) NextFor(n int64, i int) *kgo.Record {
	f := &p.Feeding
	record := p.Record
	if record == nil {
		record = AnyRecord
	}
	r := record(n, f.At[i], f.seq[i])
	f.seq[i]++
	r.Topic, r.Partition = f.At[i].Topic, f.At[i].Number
	return r
}

// Fill adds n records to the input and returns when the brokers have them.
func (p *Pipe) Fill(n int) {
	p.T.Helper()
	require.NoError(p.T, p.produce(p.T.Context(), n))
}

func (p *Pipe) produce(ctx context.Context, n int) error {
	f := p.Prepare()
	var once sync.Once
	var failed error
	for range n {
		f.Client.Produce(ctx, p.Next(), func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err })
			}
		})
	}
	if err := f.Client.Flush(ctx); err != nil {
		return err
	}
	return failed
}

// feedDeadline bounds the wait for the last records that are fed. What brokers that come back need is some ten seconds.
const feedDeadline = 3 * time.Minute

// Feed adds records to the input at this rate, a hundred times a second, until stop is called, which returns how many
// were fed by then in all. While brokers are down it waits for them.
func (p *Pipe) Feed(perSecond int) (stop func() int64) {
	p.T.Helper()
	p.Prepare()
	stopped := make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			if err := p.produce(p.T.Context(), perSecond/100); err != nil {
				p.Feeding.err.Store(&err)
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
	p.T.Cleanup(func() { _ = end() }) // of a test that failed; its context has ended by then, so this does not block
	return func() int64 {
		require.NoError(p.T, end())
		return p.Feeding.made.Load()
	}
}

// AnyRecord makes records of all kinds: with and without keys and headers, JSON, tombstones and empty values.
func AnyRecord(n int64, at offsets.Partition, seq int64) *kgo.Record {
	r := JSONRecord(n, at, seq)
	switch {
	case n%41 == 40:
		r.Value = nil
	case n%43 == 42:
		r.Value = []byte{}
	}
	return r
}

// JSONRecord makes records whose values are JSON.
func JSONRecord(n int64, at offsets.Partition, seq int64) *kgo.Record {
	r := &kgo.Record{Value: fmt.Appendf(nil, `{"n":%d,"at":"%s","seq":%d,"amount":%d}`, n, "p"+fmt.Sprint(at.Number), seq, n%1000)}
	if n%3 != 0 {
		r.Key = fmt.Appendf(nil, "customer-%d", n%97)
	}
	if n%2 == 0 {
		r.Headers = []kgo.RecordHeader{{Key: "trace", Value: fmt.Append(nil, n)}, {Key: "empty"}}
	}
	return r
}

// Provenance returns the header that eos-pipe gives an output of that input record.
func Provenance(at offsets.Partition, offset int64, index, count int) kgo.RecordHeader {
	from := processor.Provenance{Partition: at, Offset: offset, Index: index, Count: count}
	return kgo.RecordHeader{Key: processor.ProvenanceHeader, Value: []byte(from.String())}
}
