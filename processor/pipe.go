package processor

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Pipe is the path of a record, read from left to right. A Pipe is a value and may be used by many processors.
type Pipe[In, Out any] struct {
	Source Source[In]
	// Handle makes output records of input records: a Handler as Map and Each return it, or a BatchHandler as Batches
	// returns it. It may be nil if In and Out are the same type: then records are handed on as they are.
	Handle Step[In, Out]
	Sink   Sink[Out]
}

// Source says where records come from and what their values mean.
type Source[In any] struct {
	Topics []string
	// Pattern is a regular expression for the whole name of further topics, as eos.Config.TopicPattern: those that are created later, too.
	Pattern string
	Value   Codec[In]
}

// Sink says where records go to and how their values are written.
type Sink[Out any] struct {
	// Topic is the output topic of every record that does not name another one in Record.To.
	Topic string
	Value Codec[Out]

	more []string // further topics: see Many
}

// Topics are all topics that the sink is for: more than one where it is of Many.
func (s Sink[Out]) Topics() []string { return append([]string{s.Topic}, s.more...) }

// From returns a Source that reads topics with codec.
func From[In any](codec Codec[In], topics ...string) Source[In] {
	return Source[In]{Topics: topics, Value: codec}
}

// FromPattern returns a Source that reads with codec the topics whose whole name matches the regular expression pattern, also those that are created
// while the processor runs. What the pipe writes to is not among them.
func FromPattern[In any](codec Codec[In], pattern string) Source[In] {
	return Source[In]{Pattern: pattern, Value: codec}
}

// To returns a Sink that writes to topic with codec.
func To[Out any](codec Codec[Out], topic string) Sink[Out] {
	return Sink[Out]{Topic: topic, Value: codec}
}

// Header is one of a record's headers.
type Header = kgo.RecordHeader

// Record is a Kafka record with a typed value. As an input, Topic, Partition and Offset say where it stands. As an
// output, To names its topic (empty: the sink's), and Topic, Partition and Offset are those of the input it was made of, as With leaves them:
// a record with a key goes where Kafka's clients send that key, one without a key to Partition, modulo the number of the topic's
// partitions, or where Topic is empty to the partition of the input. To a topic of Config.Placed every record goes to Partition.
//
// Timestamp is time.UnixMilli(-1) for an input that has none, because of its old format (v0) or since its producer has set it so; an output with that time has none
// either. An output with the zero time gets the time at which it is produced. One before September 1677 or after April 2262 the client cannot write: the
// output is refused.
type Record[T any] struct {
	Key       []byte
	Value     T
	Headers   []Header
	Timestamp time.Time
	To        string

	Topic     string
	Partition int32
	Offset    int64

	raw *kgo.Record // what was fetched; used again for the output where it can be
}

// With returns r with another value, and everything else as it is: the usual way to make an output of an input.
func With[T, U any](r Record[T], v U) Record[U] {
	return Record[U]{
		Key: r.Key, Value: v, Headers: r.Headers, Timestamp: r.Timestamp, To: r.To,
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, raw: r.raw,
	}
}

func (p Pipe[In, Out]) validate() error {
	var faults []error
	if len(p.Source.Topics) == 0 && p.Source.Pattern == "" {
		faults = append(faults, errors.New("the source names no topic"))
	}
	if p.Source.Value == nil || p.Sink.Value == nil {
		faults = append(faults, errors.New("source and sink need a codec for the value"))
	}
	if p.Sink.Topic == "" {
		faults = append(faults, errors.New("the sink names no topic"))
	}
	for _, topic := range p.Sink.Topics() {
		if slices.Contains(p.Source.Topics, topic) {
			faults = append(faults, fmt.Errorf("topic %s is both source and sink: such a pipe reads what it writes, and never ends", topic))
		}
	}
	if _, same := any(Record[In]{}).(Record[Out]); !same && p.copies() {
		faults = append(faults, errors.New("the pipe has no Handle, and its input and output types differ"))
	}
	return errors.Join(faults...)
}
