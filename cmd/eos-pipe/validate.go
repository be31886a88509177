package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/eos-pipe/eos-pipe/internal/logtrace"
	"github.com/eos-pipe/eos-pipe/validator"
)

// validateOptions is what `eos-pipe validate` was asked to judge, and how, checked.
type validateOptions struct {
	Trace        string // path, or "-" for stdin
	Duplicates   string // what content that was written twice is: note, error or ignore
	HangingAfter time.Duration
	Kafka        string // the version whose rules count
}

const validateLong = `Judge a trace by the rules of Kafka's brokers: each line that no broker would have written or
answered is a finding, with the line's number, what was expected instead, and the rule with the
class of Kafka or the KIP that it comes from.

A trace is either the log of a topic, as eos-pipe record writes it: sequences without gaps per
producer and epoch, markers, what is aborted, the last stable offset, and transactions that
never end. Or it is the requests of clients with their answers, as eos/eostest and eos-pipe sim
write them: then the answers count too, and what became of requests whose answer was lost.
docs/validator.md describes both.

Content that is written twice under other sequences or by other producers is a note: the brokers
are right to accept it. A transaction that is open for less than --hanging-after is a note, too.

It exits with 0 if there are only notes, 1 with a finding, and 2 if it cannot read the trace.`

const validateExample = `  eos-pipe record -b localhost:9092 --topic orders | eos-pipe validate -

  # fail on records that were sent twice, too
  eos-pipe validate orders.trace --duplicates error --json`

var duplicateNames = []string{logtrace.DuplicatesNote, logtrace.DuplicatesError, logtrace.DuplicatesIgnore}

func newValidateCommand(a *app) *cobra.Command {
	o := validateOptions{}
	cmd := &cobra.Command{Use: "validate TRACE|-", Short: "Judge a trace of a topic's log or of requests", Long: validateLong, Example: validateExample}
	f := cmd.Flags()
	f.StringVar(&o.Duplicates, "duplicates", "note", "what content that is written twice `is`: note, error, or ignore (needs less memory)")
	f.DurationVar(&o.HangingAfter, "hanging-after", 15*time.Minute, "a transaction that is open for this `time`, by the timestamps of its records, is a finding; the default is the broker's longest timeout")
	f.StringVar(&o.Kafka, "kafka", "4.4", "`version` of the brokers whose rules apply, 3.5 to 4.4")

	a.command(cmd, action{
		check: func(all *faults) {
			checkOneOf(all, "duplicates", o.Duplicates, duplicateNames...)
			atLeast(all, "hanging-after", o.HangingAfter, 0)
			checkOneOf(all, "kafka", o.Kafka, validator.Versions()...)
		},
		do: func(ctx context.Context, s streams) error { return runValidate(ctx, s, o) },
	})
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return usageError("no trace is given", "name its file, or - for stdin: eos-pipe record --topic T | eos-pipe validate -")
		case 1:
			o.Trace = args[0]
			return nil
		}
		return usageError("unexpected argument "+quote(args[1]), fmt.Sprintf("one trace at a time; see %s --help", cmd.CommandPath()))
	}
	return cmd
}

// runValidate prints what is wrong with a trace, and how much there was. A finding is an *exitError with exitFailure.
func runValidate(ctx context.Context, s streams, o validateOptions) error {
	in := io.Reader(os.Stdin)
	if o.Trace != "-" {
		f, err := os.Open(o.Trace)
		if err != nil {
			return usageError("cannot read the trace: "+err.Error(), "name a file that eos-pipe record has written, or - for stdin")
		}
		defer f.Close()
		in = f
	}
	bar := newProgress(s, "lines judged", -1)
	defer bar.finish()
	summary, err := logtrace.Judge(ctx, in, logtrace.JudgeConfig{
		Kafka: o.Kafka, Duplicates: o.Duplicates, HangingAfter: o.HangingAfter, Progress: bar.add,
		Found: func(f logtrace.Finding) error { return s.print(f) },
	})
	if e, ok := errors.AsType[*logtrace.UnreadableError](err); ok {
		return usageError(e.Error(), "each line is one event; docs/validator.md describes them")
	}
	if err != nil {
		return err
	}
	if err := s.print(summary); err != nil {
		return err
	}
	if summary.Findings == 0 {
		return nil
	}
	return &exitError{exitFailure, errors.New("the trace is not one of Kafka's brokers"), "the findings are above; those that follow the first in the same partition may come of it"}
}
