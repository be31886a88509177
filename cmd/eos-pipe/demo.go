package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/eos-pipe/eos-pipe/internal/demo"
)

const demoLong = `Show what exactly-once means, without a Kafka: a broker is embedded in this process.

Payments are written to a topic, and two pipes book them side by side: one exactly once,
with this program's library, and one at least once, with the usual loop of poll, produce and
commit. Each has two instances, and both suffer the same faults at the same steps of the
protocol: the answer to a produce is lost, the answer to a commit is lost, an instance is
killed in the middle of its work, and one is taken for dead and comes back. Every fault is
seen to happen, or the demo fails.

In the end the topics are read and counted: how many records went in and came out, how many
are lost and how many doubled. It takes some ten seconds, and exits 0 if the exactly-once
pipe lost and doubled nothing, else 1.`

const demoExample = `  eos-pipe demo
  eos-pipe demo --records 100000
  eos-pipe demo --json --quiet`

// demoMoral is what the demo shows, and what it does not.
const demoMoral = `
Both pipes met the same faults. What is committed in one transaction with its offsets counts
once; where the offsets are committed apart, a fault between the two has it done again.
An embedded broker proves the logic, not the durability of a real cluster: nothing here was
replicated, or written to a disk. To go on: eos-pipe run --help, or in the source make test.
`

func newDemoCommand(a *app) *cobra.Command {
	cfg := demo.Config{}
	cmd := &cobra.Command{Use: "demo", Short: "Show exactly-once under faults, with an embedded broker", Long: demoLong, Example: demoExample}
	cmd.Flags().IntVar(&cfg.Records, "records", demo.DefaultRecords, "`number` of payments")
	return a.command(cmd, action{
		check: func(all *faults) { atLeast(all, "records", cfg.Records, demo.MinRecords) },
		do: func(ctx context.Context, s streams) error {
			if a.logLevel != "" { // the pipe's own log is much, and only confuses who did not ask for it
				cfg.Logger = s.Log
			}
			return runDemo(ctx, s, cfg)
		},
	})
}

// runDemo gives the demo: its story goes to stderr, its figures to stdout. A record that the exactly-once pipe lost or
// doubled is an *exitError with exitFailure.
func runDemo(ctx context.Context, s streams, cfg demo.Config) error {
	if !s.Quiet {
		cfg.Tell = func(line string) { fmt.Fprintln(s.Err, line) }
	}
	result, err := demo.Run(ctx, cfg)
	if err != nil {
		return fmt.Errorf("the demo failed: %w", err)
	}
	if !s.Quiet {
		fmt.Fprintln(s.Err)
	}
	if err := s.print(result); err != nil {
		return err
	}
	if !result.ExactlyOnce.OK() {
		return &exitError{
			exitFailure, errors.New("the exactly-once pipe did not book every payment once and in order"),
			"this is a bug of eos-pipe; please report it with the output of --log-level debug",
		}
	}
	return s.moral()
}

// moral says what to make of the figures; it goes along with them, unless a program reads them.
func (s streams) moral() error {
	switch {
	case !s.JSON:
		_, err := io.WriteString(s.Out, demoMoral)
		return wrapWrite(err)
	case !s.Quiet:
		_, _ = io.WriteString(s.Err, demoMoral)
	}
	return nil
}
