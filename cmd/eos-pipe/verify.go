package main

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/eos-pipe/eos-pipe/internal/audit"
	"github.com/eos-pipe/eos-pipe/processor"
)

// verifyOptions is what `eos-pipe verify` was asked to compare, checked.
type verifyOptions struct {
	connection
	formats
	audit.Config // To is not among From

	OnError string // the policy of the pipe
}

const verifyLong = `Read both sides of a pipe, read_committed, and check that every input record the group has
committed is in the output once: not lost, not duplicated, not made up, and in order within
its partition. It only reads, and may run while the pipe runs.

The header eos-pipe-from says which input record an output record belongs to, if the pipe
runs with --provenance. Otherwise --id does: a jq program that gives the same text for an
input record and its output. Give the --filter, --map, --value-format, --key-format,
--on-error and --dead-letter-topic of the pipe, so that what it leaves out on purpose does
not count as lost: a dead letter is the one output of its record. Records that the pipe
skipped because the broker refused their output count as lost. A header that names topics
other than --from belongs to another pipe, and does not count.

An output has the timestamp of its input, unless its topic has LogAppendTime. Give
--any-timestamp if your own program sets other timestamps.

It exits with 0 if there is no finding, and with 1 otherwise.`

const verifyExample = `  eos-pipe verify -b localhost:9092 --from orders --to large-orders --group large-orders

  # a pipe without provenance: compare by a field of the value
  eos-pipe verify -b localhost:9092 --from orders --to large-orders --group large-orders \
      --id .value.order_id --filter '.value.amount > 1000' --json`

func newVerifyCommand(a *app) *cobra.Command {
	var o verifyOptions
	var id, filter, mapping string
	cmd := &cobra.Command{Use: "verify", Short: "Check that every input record is in the output once", Long: verifyLong, Example: verifyExample}
	f := cmd.Flags()
	addConnection(f, &o.connection)
	f.StringSliceVar(&o.From, "from", nil, "`topic` the pipe reads; repeat it or use commas for more (required, or --from-pattern)")
	f.StringVar(&o.FromPattern, "from-pattern", "", "regular `expression` of the pipe for topics to read")
	f.StringVar(&o.To, "to", "", "`topic` the pipe writes (required)")
	f.StringVar(&o.Group, "group", "", "consumer `group` of the pipe: its offsets say how far the output must reach (required)")
	f.StringVar(&id, "id", "", "jq `expression` that identifies a record on both sides (default the header eos-pipe-from)")
	f.BoolVar(&o.AnyTimestamp, "any-timestamp", false, "do not compare the timestamps of input and output")
	f.StringVar(&filter, "filter", "", "jq `expression`: the filter of the pipe")
	f.StringVar(&mapping, "map", "", "jq `expression`: the map of the pipe")
	f.StringVar(&o.OnError, "on-error", "stop", "`stop|dead-letter|skip`: what the pipe does with records that cannot be processed")
	f.StringVar(&o.DeadLetterTopic, "dead-letter-topic", "", "`topic` of the pipe's dead letters")
	addFormats(f, &o.formats)
	addSecurity(f, &o.connection)

	return a.command(cmd, action{
		check: func(all *faults) {
			o.ID, o.Filter, o.Map = compileJQ(all, "id", id), compileJQ(all, "filter", filter), compileJQ(all, "map", mapping)
			o.checkConnection(all)
			o.check(all)
			checkTopics(all, o.From, o.FromPattern, o.To)
			checkPresent(all, "group", o.Group != "", "NAME")
			checkPolicy(all, o.OnError, o.DeadLetterTopic, o.From, o.To)
		},
		do: func(ctx context.Context, s streams) error { return runVerify(ctx, s, o) },
	})
}

// runVerify compares the two sides of a pipe. nil means that every input record is in the output once; a finding is an
// *exitError with exitFailure.
func runVerify(ctx context.Context, s streams, o verifyOptions) error {
	if err := o.open(&o.ID, &o.Filter, &o.Map); err != nil {
		return err
	}
	cl, err := o.client(ctx, s.Log)
	if err != nil {
		return err
	}
	defer cl.Close()
	o.Policy = processor.Policy(slices.Index(processor.PolicyNames(), o.OnError))
	o.Logger, o.Progress = s.Log, s.progress
	result, err := audit.Run(ctx, cl, o.Config)
	if _, ok := errors.AsType[*audit.ProgramError](err); ok {
		return &exitError{
			exitFailure, err,
			"the pipe has left it out or made a dead letter of it, or ran another program: give verify the --on-error, --dead-letter-topic, --filter and --map of the pipe",
		}
	}
	if err != nil {
		return err
	}
	if err := s.print(result); err != nil {
		return err
	}
	return finding(result)
}

// finding returns the error of a result that is not an exactly-once copy; nil if it is one.
func finding(result audit.Result) error {
	if result.Incomparable {
		return &exitError{
			exitFailure, errors.New("nothing can be said of the output: none of its records says, by the header " + processor.ProvenanceHeader + ", that it comes from the input"),
			"give --id, a jq program that gives the same text for an input record and its output; or run the pipe with --provenance",
		}
	}
	if !result.OK() {
		return &exitError{
			exitFailure, errors.New("the output is not an exactly-once copy of what the group has committed"),
			"examples of each kind are above; were all writers of the output topic this one pipe, and --filter and --map the same?",
		}
	}
	return nil
}
