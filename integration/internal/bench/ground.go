// Package bench is the harness of the tests on real Kafka: [Ground] is what all of them stand on, and [Bench] has topics, a group
// and sessions for the tests of package eos. integration/internal/proc builds on Ground for processes of eos-pipe.
package bench

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/isolation"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Ground is a test with a cluster and a consumer group of its own. Only the test's goroutine may change its fields.
type Ground struct {
	T       *testing.T
	Cluster *kafkatest.Cluster
	Adm     *kadm.Client
	Group   string
}

// again is how long [Until] waits between two questions.
const again = 20 * time.Millisecond

// Until calls ask, and again every 20 ms, until it returns true. It returns false if ctx ends first.
func Until(ctx context.Context, ask func() bool) bool {
	tick := time.NewTicker(again)
	defer tick.Stop()
	for !ask() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// Lister is one of kadm's List…Offsets.
type Lister func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error)

// Listed returns what list says of all partitions of the topics. It fails if it says nothing of one of them.
func (g *Ground) Listed(ctx context.Context, list Lister, topics []string) (offsets.Set, error) {
	listed, err := list(ctx, topics...)
	if err := errors.Join(err, listed.Error()); err != nil {
		return nil, err
	}
	set := offsets.Set{}
	listed.Each(func(o kadm.ListedOffset) {
		set[offsets.Partition{Topic: o.Topic, Number: o.Partition}] = offsets.NewPosition(o.Offset)
	})
	return set, nil
}

// Read gives each read_committed record below the ends to f, those of a partition in their order.
func (g *Ground) Read(ctx context.Context, ends offsets.Set, f func(*kgo.Record), more ...kgo.Opt) error {
	return g.ReadAs(ctx, kgo.ReadCommitted(), ends, func(r *kgo.Record) {
		if !r.Attrs.IsControl() {
			f(r)
		}
	}, more...)
}

// ReadAs gives each record below the ends that this level shows to f, markers included. It leaves out aborted records that a
// broker shows to a read_committed reader by mistake: see [StableReader].
func (g *Ground) ReadAs(ctx context.Context, level kgo.IsolationLevel, ends offsets.Set, f func(*kgo.Record), more ...kgo.Opt) error {
	starts := map[string]map[int32]kgo.Offset{}
	left := map[offsets.Partition]int64{}
	for at, end := range ends {
		if end.Offset == 0 {
			continue
		}
		if starts[at.Topic] == nil {
			starts[at.Topic] = map[int32]kgo.Offset{}
		}
		starts[at.Topic][at.Number] = kgo.NewOffset().AtStart()
		left[at] = end.Offset
	}
	if len(left) == 0 {
		return nil
	}
	options := g.Cluster.Options(kgo.ConsumePartitions(starts), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchIsolationLevel(level))
	records := kgo.Fetches.Records
	if level == kgo.ReadCommitted() {
		records = StableReader(g.T).Records
	}
	cl, err := kgo.NewClient(append(options, more...)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	next := map[offsets.Partition]int64{}
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read up to %v: %w", left, err)
		}
		for _, r := range records(fetches) {
			at := offsets.Partition{Topic: r.Topic, Number: r.Partition}
			if r.Offset < next[at] {
				return fmt.Errorf("the reading client gives %v@%d again, after @%d: what it gives is not what the log has", at, r.Offset, next[at]-1)
			}
			next[at] = r.Offset + 1
			end, reading := left[at]
			if reading && r.Offset < end {
				f(r)
			}
			if r.Offset >= end-1 {
				delete(left, at)
			}
		}
	}
	return nil
}

// StableReader returns a filter for what a read_committed reader gets. At times brokers list too few aborted transactions
// (testAbortedNotListed), and then give a reader aborted records. That is no fault of a pipe: the filter takes them out, and logs it.
func StableReader(t testing.TB) *isolation.Reader {
	return &isolation.Reader{Unlisted: func(topic string, partition int32, a isolation.Aborted) {
		t.Logf("a broker gives a reader of %s-%d %d records of an aborted transaction of producer %d, from @%d to @%d", topic, partition, a.Records, a.ProducerID, a.First, a.Last)
	}}
}
