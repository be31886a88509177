// Package processortest runs a handler or a whole pipe on records in a test: Handle and Run without a broker, Replay on
// an embedded one while records come again, as they do when processes die and transactions are aborted.
package processortest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/internal/dry"
)

// DeadLetterTopic is the topic for dead letters if Config.DeadLetterTopic names none.
const DeadLetterTopic = "dead-letters"

// In returns an input record with value v and no key, at offset 0 of partition 0 of topic "in". Change what matters:
//
//	r := processortest.In(order)
//	r.Key = []byte("customer-1")
func In[T any](v T) processor.Record[T] {
	return processor.Record[T]{Value: v, Topic: "in", Timestamp: time.UnixMilli(0).UTC()}
}

// Handle calls handler for each input in order and returns all its outputs. The error is that of the first input that
// fails, wrapped with its index; the outputs are those of the inputs before it.
func Handle[In, Out any](ctx context.Context, handler processor.Handler[In, Out], inputs ...processor.Record[In]) ([]processor.Record[Out], error) {
	var outs []processor.Record[Out]
	for i, in := range inputs {
		more, err := handler(ctx, in)
		if err != nil {
			return outs, fmt.Errorf("input %d: %w", i, err)
		}
		outs = append(outs, more...)
	}
	return outs, nil
}

// Result is what a pipe has made of its input.
type Result[Out any] struct {
	// Outputs are the records for the sink's topic and those that Record.To names, decoded again; To names the topic.
	Outputs []processor.Record[Out]
	// DeadLetters are the records for the dead-letter topic, as they would be produced.
	DeadLetters []*kgo.Record
	// Skipped counts the records that were left out, by processor.Skip or by the policy.
	Skipped int
	// Produced are outputs and dead letters as they would be produced, in the order of their inputs. Run alone sets it.
	Produced []*kgo.Record
	// GivenUp has an error for each record that was left out or became a dead letter. Run alone sets it.
	GivenUp []*processor.RecordError
	// Retries counts the handler calls that repeated an earlier one. Run alone sets it.
	Retries int
}

// SourceTopic is the source topic of a pipe that has a pattern and names no topic.
const SourceTopic = "source"

func sourceTopics[In, Out any](pipe processor.Pipe[In, Out]) []string {
	if len(pipe.Source.Topics) == 0 {
		return []string{SourceTopic}
	}
	return pipe.Source.Topics
}

// Run takes raw input records through the pipe's stages, as one batch: bytes in, bytes out, as with a broker. cfg
// decides what a processor's Config does about records: Errors, Parallel, Provenance, BufferMemory and the dead
// letters; servers and ids may be missing. A record without a topic gets the pipe's first source topic (SourceTopic if
// it has only a pattern), and its index as offset. The pipe may use the records again for its outputs.
//
// If cfg names no dead-letter topic, Run uses DeadLetterTopic. A processor without one stops at a DeadLetter, and
// processor.New refuses DeadLetterOnError.
//
// An error is what would stop the processor, a *processor.RecordError, or the faults that processor.New reports.
// Nothing of the batch is committed then, so the Result is empty. If the outputs do not fit into BufferMemory, a
// processor polls the batch again with fewer records; Run returns an error.
func Run[In, Out any](ctx context.Context, cfg processor.Config, pipe processor.Pipe[In, Out], records ...*kgo.Record) (Result[Out], error) {
	for i, r := range records {
		if r.Topic == "" {
			r.Topic, r.Offset = sourceTopics(pipe)[0], int64(i)
		}
	}
	if len(cfg.BootstrapServers) == 0 {
		cfg.BootstrapServers = []string{"none:9092"}
	}
	cfg.ApplicationID, cfg.InstanceID = cmp.Or(cfg.ApplicationID, "test"), cmp.Or(cfg.InstanceID, "test")
	cfg.DeadLetterTopic = cmp.Or(cfg.DeadLetterTopic, DeadLetterTopic)
	p, err := processor.New(cfg, pipe)
	if err != nil {
		return Result[Out]{}, err
	}
	made, err := dry.Run(ctx, p, records)
	if err != nil {
		return Result[Out]{}, err
	}
	res := Result[Out]{Skipped: made.Skipped, Produced: made.Records, Retries: made.Retries}
	for _, err := range made.GivenUp {
		if failed, ok := errors.AsType[*processor.RecordError](err); ok {
			res.GivenUp = append(res.GivenUp, failed)
		}
	}
	for _, r := range made.Records {
		if r.Topic == cfg.DeadLetterTopic {
			res.DeadLetters = append(res.DeadLetters, r)
			continue
		}
		v, err := pipe.Sink.Value.Decode(r.Value)
		if err != nil {
			return Result[Out]{}, fmt.Errorf("the sink's codec cannot read what it wrote: %w", err)
		}
		res.Outputs = append(res.Outputs, processor.Record[Out]{
			Key: r.Key, Value: v, Headers: r.Headers, Timestamp: r.Timestamp, To: r.Topic, Partition: r.Partition,
		})
	}
	return res, nil
}
