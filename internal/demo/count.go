package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Result is what was counted for both pipes.
type Result struct {
	ExactlyOnce Counts `json:"exactly_once"`
	AtLeastOnce Counts `json:"at_least_once"`
}

// Counts are a pipe's figures, counted from its topics by the payments' ids.
type Counts struct {
	In      int64 `json:"in"`      // payments in the input topic
	Out     int64 `json:"out"`     // bookings in the output topic that a read_committed reader gets
	Lost    int64 `json:"lost"`    // payments without a booking
	Doubled int64 `json:"doubled"` // bookings beyond the first of a payment

	// Invented are bookings of no payment.
	Invented int64 `json:"-"`
	// Reordered are bookings that come after a later one of the same account.
	Reordered int64 `json:"-"`
}

// OK says whether every payment was booked once, in order, and nothing else was.
func (c Counts) OK() bool {
	return c.In > 0 && c.Out == c.In && c.Lost+c.Doubled+c.Invented+c.Reordered == 0
}

// String returns the figures as a table.
func (r Result) String() string {
	row := func(name string, c Counts) string {
		return fmt.Sprintf("%-13s %8d %8d %7d %9d", name, c.In, c.Out, c.Lost, c.Doubled)
	}
	return fmt.Sprintf("%-13s %8s %8s %7s %9s\n", "", "in", "out", "lost", "doubled") +
		row("exactly once", r.ExactlyOnce) + "\n" + row("at least once", r.AtLeastOnce)
}

// entry is a payment or a booking as the count sees it.
type entry struct {
	place   offsets.Partition
	offset  int64
	id, key string
}

// count reads the payments and a topic of bookings, and compares them.
func count(ctx context.Context, servers []string, output string) (Counts, error) {
	c := checker.New()
	if err := read(ctx, servers, payments, func(e entry) { c.InputID(e.id, e.place, e.offset) }); err != nil {
		return Counts{}, err
	}
	var reordered int64
	newest := map[string]string{} // by account
	err := read(ctx, servers, output, func(e entry) {
		c.OutputID(e.id, e.place, e.offset)
		if e.id < newest[e.key] {
			reordered++
		}
		newest[e.key] = e.id
	})
	if err != nil {
		return Counts{}, err
	}
	r := c.Report()
	return Counts{In: r.In, Out: r.Out, Lost: r.Lost, Doubled: r.Doubled, Invented: r.Phantom, Reordered: reordered}, nil
}

// read calls see for every record of the topic that a read_committed reader gets now. It uses a client of its own.
func read(ctx context.Context, servers []string, topic string, see func(entry)) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(servers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("find the end of %s: %w", topic, err)
	}
	left := map[int32]int64{} // partitions not read to their end, which is a record or a transaction's marker
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w", topic, err)
		}
		for r := range fetches.RecordsAll() {
			end, ok := left[r.Partition]
			if !ok {
				continue // came after we began
			}
			if !r.Attrs.IsControl() {
				e, err := entryOf(r)
				if err != nil {
					return err
				}
				see(e)
			}
			if r.Offset >= end-1 {
				delete(left, r.Partition)
			}
		}
	}
	return nil
}

func entryOf(r *kgo.Record) (entry, error) {
	var v struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(r.Value, &v); err != nil {
		return entry{}, fmt.Errorf("%s-%d@%d is no record of this demo: %w", r.Topic, r.Partition, r.Offset, err)
	}
	return entry{offsets.Partition{Topic: r.Topic, Number: r.Partition}, r.Offset, v.ID, string(r.Key)}, nil
}
