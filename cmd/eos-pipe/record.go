package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/eos-pipe/eos-pipe/internal/logtrace"
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

// runRecord writes the trace of a topic. A trace in a file is there whole or not at all.
func runRecord(ctx context.Context, s streams, o recordOptions) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.Out == "" {
		r, err := o.record(ctx, s, s.Out)
		if err == nil {
			s.Log.Info("recorded", "topic", r.Topic, "partitions", r.Partitions, "batches", r.Batches, "markers", r.Markers, "open", r.Open)
		}
		return err
	}
	result := recordResult{Out: o.Out}
	err := logtrace.WriteFile(o.Out, func(w io.Writer) (err error) {
		result.Recorded, err = o.record(ctx, s, w)
		return err
	})
	if err != nil {
		return err
	}
	return s.print(result)
}

// record writes the trace to w, and says what can be done about errors.
func (o recordOptions) record(ctx context.Context, s streams, w io.Writer) (logtrace.Recorded, error) {
	cl, err := o.client(ctx, s.Log)
	if err != nil {
		return logtrace.Recorded{}, err
	}
	defer cl.Close()
	var bar *progress
	defer func() { bar.finish() }()
	result, err := logtrace.Record(ctx, cl, logtrace.RecordConfig{
		Topic: o.Topic, Partitions: o.Partitions, SkipDigests: o.SkipDigests, Log: s.Log,
		Progress: func(total int64) func(int64) {
			bar = newProgress(s, "offsets read", total)
			return bar.add
		},
	}, w)
	if e, ok := errors.AsType[*logtrace.NoPartitionError](err); ok {
		return result, usageError("--partition: "+e.Error(), fmt.Sprintf("it has %d, counted from 0", e.Count))
	}
	if errors.Is(err, kerr.OffsetOutOfRange) {
		return result, &exitError{exitFailure, err, "records were deleted while they were read (retention?): start again"}
	}
	return result, err
}

// recordResult is what record prints when the trace goes to a file.
type recordResult struct {
	logtrace.Recorded
	Out string `json:"out"`
}

// String returns the counts.
func (r recordResult) String() string {
	return fmt.Sprintf("%s: topic=%s partitions=%d batches=%d markers=%d open=%d", r.Out, r.Topic, r.Partitions, r.Batches, r.Markers, r.Open)
}
