package schedules

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/internal/isolation"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// judge compares the output with the input, and looks for what is left behind.
func (w *world) judge() error {
	for _, topic := range []string{input, output, dead} {
		for _, p := range w.cluster.PartitionInfos(topic) {
			if p.LastStableOffset != p.HighWatermark {
				w.finding("open: a transaction is open in %s-%d from %d, the log ends at %d", topic, p.Partition, p.LastStableOffset, p.HighWatermark)
			}
		}
	}
	if behind := w.behind(); behind != "" {
		w.finding("offsets: the group does not stand at the input's end:%s", behind)
	}
	c := checker.New()
	for p, rs := range w.expected() {
		for _, r := range rs {
			c.Input(p, r.offset, r.expect)
		}
	}
	seen, err := w.readOutput(c)
	if err != nil {
		return err
	}
	report := c.Report()
	for _, example := range report.Examples {
		w.finding("%s", example)
	}
	w.judgeAnswers(seen)
	return nil
}

// judgeAnswers compares what Commit has said with what a reader sees.
func (w *world) judgeAnswers(seen map[int]int) {
	w.mu.Lock()
	attempts := w.attempts
	w.mu.Unlock()
	for id, a := range attempts {
		switch {
		case a.known && a.outcome == eos.Committed && seen[id] != a.outputs:
			w.finding("false answer: Commit said committed, and of %d outputs %d are there", a.outputs, seen[id])
		case a.known && a.outcome == eos.Aborted && seen[id] != 0:
			w.finding("false answer: Commit said aborted, and %d outputs are there", seen[id])
		}
	}
}

// readOutput tells the checker what a read_committed reader sees, and returns how many outputs each attempt has.
func (w *world) readOutput(c *checker.Checker) (map[int]int, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.Dialer(w.dial))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ends := offsets.Set{}
	for _, topic := range []string{output, dead} {
		for _, p := range w.cluster.PartitionInfos(topic) {
			ends[offsets.Partition{Topic: topic, Number: p.Partition}] = offsets.NewPosition(p.LastStableOffset)
		}
	}
	seen := map[int]int{}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	unlisted := func(p offsets.Partition, a isolation.Aborted) { // the brokers of schedules list them all to this reader
		w.finding("a read_committed reader of %s is given %d records of an aborted transaction, from offset %d", p, a.Records, a.First)
	}
	_, err = cluster.New(cl, cluster.Patience{}).ReadCommitted(ctx, cluster.Read{Until: ends, Unlisted: unlisted}, func(r *kgo.Record) error {
		tell(c, r, seen)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the output: %w", err)
	}
	return seen, nil
}

// tell tells the checker of one output, or of one dead letter.
func tell(c *checker.Checker, r *kgo.Record, seen map[int]int) {
	at := offsets.Partition{Topic: r.Topic, Number: r.Partition}
	from, ok := readProvenance(string(r.Value))
	if r.Topic == dead {
		from, ok = readDeadLetter(r)
	}
	if !ok {
		c.Foreign(at, r.Offset)
		return
	}
	c.Output(at, r.Offset, offsets.Partition{Topic: input, Number: from.partition}, from.offset, from.index, from.count)
	if from.attempt >= 0 {
		seen[from.attempt]++
	}
}

// origin says where an output comes from.
type origin struct {
	partition             int32
	offset                int64
	index, count, attempt int
}

// readProvenance reads what provenance has written.
func readProvenance(value string) (o origin, ok bool) {
	_, err := fmt.Sscanf(value, "%d %d %d %d %d", &o.partition, &o.offset, &o.index, &o.count, &o.attempt)
	return o, err == nil
}

// readDeadLetter reads the headers of a dead letter, whose value is that of the input.
func readDeadLetter(r *kgo.Record) (o origin, ok bool) {
	info, ok := processor.DeadLetterOf(r.Headers)
	o = origin{partition: info.Partition.Number, offset: info.Offset, count: 1, attempt: -1}
	for _, h := range r.Headers {
		if h.Key == attemptHeader {
			_, err := fmt.Sscan(string(h.Value), &o.attempt)
			ok = ok && err == nil
		}
	}
	return o, ok && info.Partition.Topic == input && isPoison(r.Value)
}
