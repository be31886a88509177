package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"
)

// recordOptions is what `eos-pipe record` was asked to read, checked.
type recordOptions struct {
	connection

	Topic       string
	Partitions  []int32 // empty: all
	Out         string  // "": stdout
	SkipDigests bool
}

const recordLong = `Read the log of a topic as it is, aborted and open transactions and their markers included, and
write it as a trace: one line for each batch, with its producer id, epoch and sequence. What is
in the records is not written, only a digest by which equal batches are found. eos-pipe validate
judges such a trace; docs/validator.md describes the lines.

It reads from the start of the log to its end when the command starts, with read_uncommitted
and with read_committed, so that the trace also has the transactions that the broker lists as
aborted, and the last stable offset. It only reads, holds one fetch at a time in memory, and
may run while producers write to the topic.`

const recordExample = `  eos-pipe record -b localhost:9092 --topic orders | eos-pipe validate -

  eos-pipe record -b localhost:9092 --topic orders --partition 0,3 --out orders.trace`

func newRecordCommand(a *app) *cobra.Command {
	var o recordOptions
	var partitions []string
	cmd := &cobra.Command{Use: "record", Short: "Write the log of a topic as a trace for validate", Long: recordLong, Example: recordExample}
	f := cmd.Flags()
	addConnection(f, &o.connection)
	f.StringVar(&o.Topic, "topic", "", "`topic` to read (required)")
	f.StringSliceVar(&partitions, "partition", nil, "`number` of a partition; repeat it or use commas for more (default all)")
	f.StringVar(&o.Out, "out", "", "write the trace to this `file` and a summary to stdout (default the trace to stdout)")
	f.BoolVar(&o.SkipDigests, "skip-digests", false, "do not read the content of batches: faster, but does not find content that is written twice")
	addSecurity(f, &o.connection)

	return a.command(cmd, action{
		check: func(all *faults) {
			o.checkConnection(all)
			checkPresent(all, "topic", o.Topic != "", "TOPIC")
			if o.Topic != "" {
				checkTopic(all, "topic", o.Topic)
			}
			o.Partitions = parsePartitions(all, partitions)
		},
		do: func(ctx context.Context, s streams) error { return runRecord(ctx, s, o) },
	})
}

func parsePartitions(all *faults, texts []string) []int32 {
	var numbers []int32
	for _, text := range texts {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 0 {
			all.add("--partition: "+quote(text)+" is not the number of a partition", "they count from 0: --partition 0,3")
			continue
		}
		numbers = append(numbers, int32(n))
	}
	return numbers
}
