package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/internal/cluster"
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
	cl, err := kgo.NewClient(kgo.SeedBrokers(servers...), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	ask := cluster.New(cl, cluster.Patience{})
	ends, err := ask.Readable(ctx, topic)
	if err := errors.Join(err, ends.Err()); err != nil {
		return fmt.Errorf("find the end of %s: %w", topic, err)
	}
	_, err = ask.ReadCommitted(ctx, cluster.Read{Until: ends.Set()}, func(r *kgo.Record) error {
		e, err := entryOf(r)
		if err == nil {
			see(e)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", topic, err)
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
