// Package audit checks that the output of a pipe is an exactly-once copy of its input, as far as the group has
// committed it: it is what `eos-pipe verify` does. It only reads, and may run beside the pipe.
//
// A judge tells a checker of single records, and asks no broker; an auditor reads the records and decides what is read
// before what.
package audit

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/jq"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// Config says which pipe is audited, and what it does with a record.
type Config struct {
	From        []string // topics that the pipe reads; To is not one of them
	FromPattern string   // a regular expression for further topics that it reads; "": none
	To          string   // the topic that it writes
	Group       string   // its offsets say how far the output must reach

	ID              *jq.Program      // identifies a record on both sides; nil: the header processor.ProvenanceHeader does
	Filter, Map     *jq.Program      // of the pipe; nil: every record, as it is
	Policy          processor.Policy // what the pipe does with records that cannot be processed
	DeadLetterTopic string           // "": none
	AnyTimestamp    bool             // the timestamps of input and output are not compared

	Logger *slog.Logger
	// Progress is called when a read of total offsets begins; what names what is read. add is then called with how many
	// more offsets were read, and finish at the end, all from the goroutine that called Run. Optional.
	Progress func(what string, total int64) (add func(offsets int64), finish func())
}

// Run reads the input that the group has committed, and then the output, and returns what it found. cl is a client that
// may be used for questions; records are read by further clients with its options. Run changes nothing in the cluster.
//
// The error is a *ProgramError if --filter or --map fails for a record of the input. Any other error says why nothing
// could be compared: brokers that do not answer, a topic that does not exist, or a group that has committed nothing.
func Run(ctx context.Context, cl *kgo.Client, c Config) (Result, error) {
	a := auditor{Config: c, brokers: newBrokers(cl, c), judge: newJudge(c)}
	return a.run(ctx)
}

// auditor is one Run. It belongs to one goroutine.
type auditor struct {
	Config
	brokers *brokers
	judge   *judge
}

// run reads the two sides.
//
// The pipe may continue meanwhile. All that the group has committed at first is below the output's end, which is asked
// for next; and all that is below that end is committed when the group is asked again. What comes from between the two
// answers of the group is not judged.
func (a *auditor) run(ctx context.Context) (Result, error) {
	until, err := a.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	a.judge.until = until
	if err := a.readDeadLetters(ctx); err != nil {
		return Result{}, err
	}
	if err := a.brokers.read(ctx, "offsets of the input read", nil, until, a.judge.input); err != nil {
		return Result{}, fmt.Errorf("read the input: %w", err)
	}
	ends, open, err := a.outputEnds(ctx)
	if err != nil {
		return Result{}, err
	}
	if a.judge.later, err = a.committed(ctx); err != nil {
		return Result{}, err
	}
	if a.ID != nil {
		err := a.brokers.read(ctx, "offsets of the newest input read", until, a.judge.later, a.judge.lateInput)
		if err != nil {
			return Result{}, fmt.Errorf("read the input: %w", err)
		}
	}
	if err := a.brokers.read(ctx, "offsets of the output read", nil, ends, a.judge.output); err != nil {
		return Result{}, fmt.Errorf("read the output: %w", err)
	}
	result := a.judge.result()
	result.Open = open
	return result, nil
}

// begin finds out which topics are read, looks whether all topics exist, and returns what the group has committed.
func (a *auditor) begin(ctx context.Context) (offsets.Set, error) {
	if err := a.matchInputs(ctx); err != nil {
		return nil, err
	}
	for _, topic := range append([]string{a.To}, a.From...) {
		if _, err := a.brokers.list(ctx, topic, a.brokers.client.Ends); err != nil {
			return nil, err
		}
	}
	return a.committed(ctx)
}

// readDeadLetters notes which input records have become dead letters. The dead letters of all that the group had
// committed are there by now.
func (a *auditor) readDeadLetters(ctx context.Context) error {
	if a.DeadLetterTopic == "" {
		return nil
	}
	ends, err := a.brokers.list(ctx, a.DeadLetterTopic, a.brokers.client.Readable)
	if err != nil {
		return err
	}
	if err := a.brokers.read(ctx, "offsets of the dead letters read", nil, ends, a.judge.deadLetter); err != nil {
		return fmt.Errorf("read the dead letters: %w", err)
	}
	return nil
}

// outputEnds returns how far the topics that the pipe writes can be read, and in how many of their partitions a
// transaction is open.
func (a *auditor) outputEnds(ctx context.Context) (ends offsets.Set, open int, err error) {
	ends = offsets.Set{}
	for topic := range a.judge.outputs {
		stable, err := a.brokers.list(ctx, topic, a.brokers.client.Readable)
		if err != nil {
			return nil, 0, err
		}
		high, err := a.brokers.list(ctx, topic, a.brokers.client.Ends)
		if err != nil {
			return nil, 0, err
		}
		for p, end := range high {
			ends[p] = stable[p]
			if stable[p].Offset < end.Offset {
				open++
			}
		}
	}
	return ends, open, nil
}
