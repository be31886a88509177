package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/eos-pipe/eos-pipe/internal/replay"
	"github.com/eos-pipe/eos-pipe/processor"
)

// replayOptions is what `eos-pipe dlq replay` was asked to do, checked.
type replayOptions struct {
	connection

	From   string   // the topic of dead letters
	To     []string // topics that dead letters may go back to; never holds From
	Group  string
	Follow bool
}

const replayLong = `Put dead letters back into the topics they came from, exactly once: each becomes the
record that it was (key, value, own headers, timestamp), in the partition that it was in,
with a key or without. Then the pipe processes it again, after the records that arrived
meanwhile: fix the cause first, or it becomes a dead letter again.

It takes dead letters of eos-pipe, Kafka Streams, share groups, Kafka Connect (if it writes
context headers) and Spring Kafka, and logs which parts of the record some of them lack.

--to names the topics that records may go back to. A dead letter of another topic stops
the command (exit code 4) before it puts back anything of that batch.

The consumer group remembers how far it came; a second call puts back only what is new.
It ends at the end that the topic had when it began; with --follow it continues.`

const replayExample = `  eos-pipe dlq replay -b localhost:9092 --from orders-dead --to orders`

func newDLQReplayCommand(a *app) *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{Use: "replay", Short: "Put dead letters back into the topics they came from, exactly once", Long: replayLong, Example: replayExample}
	f := cmd.Flags()
	addConnection(f, &o.connection)
	f.StringVar(&o.From, "from", "", "`topic` of the dead letters (required)")
	f.StringSliceVar(&o.To, "to", nil, "`topic` that records may go back to; repeat it or use commas for more (required)")
	f.StringVar(&o.Group, "group", "", "consumer `group` that remembers what was put back (default FROM-replay)")
	f.BoolVar(&o.Follow, "follow", false, "continue at the end, until a signal stops it")
	addSecurity(f, &o.connection)
	return a.command(cmd, action{
		check: func(all *faults) {
			o.Group = cmp.Or(o.Group, o.From+"-replay")
			o.checkConnection(all)
			checkPresent(all, "from", o.From != "", "TOPIC")
			checkPresent(all, "to", len(o.To) > 0, "TOPIC")
			for _, to := range o.To {
				checkTopic(all, "to", to)
			}
			if slices.Contains(o.To, o.From) {
				all.add("--from and --to both name topic "+quote(o.From), "dead letters go back to the topics that they came from")
			}
		},
		do: func(ctx context.Context, s streams) error { return runReplay(ctx, s, o) },
	})
}

// runReplay puts the dead letters back. nil means that all it has begun is committed.
func runReplay(ctx context.Context, s streams, o replayOptions) error {
	client, err := o.options(s.Log)
	if err != nil {
		return err
	}
	host := faults{}
	var count processor.Counter
	id := o.Group + "-" + hostName(&host)
	if err := host.err(); err != nil {
		return err
	}
	p, err := replay.New(replay.Config{
		BootstrapServers: o.BootstrapServers, From: o.From, To: o.To, Group: o.Group, TransactionalID: id, Follow: o.Follow,
		Observer: count.Observer(), Client: client, Logger: s.Log,
	})
	if err != nil {
		return usageError(err.Error(), "see eos-pipe dlq replay --help")
	}
	drain, stop := drainOnSignal(ctx, s.Log, p.Abort)
	defer stop()
	release, err := o.hold(drain, s, id)
	if err != nil {
		return unlessStopped(drain, err)
	}
	defer release()
	began := time.Now()
	if err := p.Run(drain); err != nil {
		return replayError(err)
	}
	return s.print(runResult{Stats: count.Stats(), Seconds: time.Since(began).Seconds()})
}

// replayError gives the error of a dead letter the hint that fits.
func replayError(err error) error {
	if _, ok := errors.AsType[*processor.RecordError](err); !ok {
		return err
	}
	return &exitError{exitOperator, err, "nothing of its batch is put back: name the topic that it came from in --to, or see that this takes the record and has the partition; " +
		"to leave this dead letter where it is, set the offset of the group (--group) behind it (kafka-consumer-groups.sh --reset-offsets)"}
}
