package schedules

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// judge compares the output with the input, and looks for what is left behind.
func (w *world) judge() error {
	for _, topic := range []string{input, output} {
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
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.Dialer(w.dial), kgo.ConsumeTopics(output),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ends := map[int32]int64{}
	for _, p := range w.cluster.PartitionInfos(output) {
		if p.LastStableOffset > 0 {
			ends[p.Partition] = p.LastStableOffset
		}
	}
	seen := map[int]int{}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for len(ends) > 0 {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			return nil, fmt.Errorf("read the output: %w", err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				tell(c, r, seen)
			}
			if r.Offset >= ends[r.Partition]-1 {
				delete(ends, r.Partition)
			}
		})
	}
	return seen, nil
}

// tell tells the checker of one output.
func tell(c *checker.Checker, r *kgo.Record, seen map[int]int) {
	var partition int32
	var offset int64
	var index, count, attempt int
	at := offsets.Partition{Topic: r.Topic, Number: r.Partition}
	if _, err := fmt.Sscanf(string(r.Value), "%d %d %d %d %d", &partition, &offset, &index, &count, &attempt); err != nil {
		c.Foreign(at, r.Offset)
		return
	}
	c.Output(at, r.Offset, offsets.Partition{Topic: input, Number: partition}, offset, index, count)
	if attempt >= 0 {
		seen[attempt]++
	}
}
