// Package processortest runs a handler or a whole pipe on records in a test: Handle and Run without a broker, Replay on an embedded one
// while records come again, as they do when processes die and transactions are aborted.
package processortest

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/processor"
)

// DeadLetterTopic is the topic to which Run sends dead letters.
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
func Handle[In, Out any](t testing.TB, handler processor.Handler[In, Out], inputs ...processor.Record[In]) ([]processor.Record[Out], error) {
	t.Helper()
	var outs []processor.Record[Out]
	for i, in := range inputs {
		more, err := handler(t.Context(), in)
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
	// DeadLetters are the records that the handler gave up by processor.DeadLetter, as they would be produced.
	DeadLetters []*kgo.Record
	// Skipped counts the records that the handler gave up by processor.Skip.
	Skipped int
}

// SourceTopic is the source topic of a pipe that names none but has a pattern.
const SourceTopic = "source"

func sourceTopics[In, Out any](pipe processor.Pipe[In, Out]) []string {
	if len(pipe.Source.Topics) == 0 {
		return []string{SourceTopic}
	}
	return pipe.Source.Topics
}

// Run takes raw input records through the pipe's stages, as one batch: bytes in, bytes out, just as with a broker. A
// record without a topic gets the pipe's first source topic (SourceTopic where it has only a pattern), and its index as offset. The error is what would stop the
// processor, a *processor.RecordError; nothing of the batch is committed then, so there is no Result.
func Run[In, Out any](t testing.TB, pipe processor.Pipe[In, Out], records ...*kgo.Record) (Result[Out], error) {
	t.Helper()
	for i, r := range records {
		if r.Topic == "" {
			r.Topic, r.Offset = sourceTopics(pipe)[0], int64(i)
		}
	}
	made, err := pipe.Process(t.Context(), records, processor.Options{DeadLetterTopic: DeadLetterTopic})
	if err != nil {
		return Result[Out]{}, err
	}
	res := Result[Out]{Skipped: made.Skipped}
	for _, r := range made.Records {
		if r.Topic == DeadLetterTopic {
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
