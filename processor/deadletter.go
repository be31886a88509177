package processor

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/millis"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Headers of a dead letter: where the record stood, and why it was given up. They stand behind the record's own headers.
const (
	DeadLetterTopicHeader     = "eos-pipe-dlq-topic"
	DeadLetterPartitionHeader = "eos-pipe-dlq-partition"
	DeadLetterOffsetHeader    = "eos-pipe-dlq-offset"
	DeadLetterTimestampHeader = "eos-pipe-dlq-timestamp" // of the record, in ms; -1 if it has none
	DeadLetterErrorHeader     = "eos-pipe-dlq-error"     // its class: decode, handle, panic, timeout, encode, too-large, produce, unreadable
	DeadLetterMessageHeader   = "eos-pipe-dlq-message"
	DeadLetterAttemptHeader   = "eos-pipe-dlq-attempt" // how often its handler was called
	// DeadLetterFirstHeader is there if the dead letter stands for a batch that was not read: from this offset to that of DeadLetterOffsetHeader.
	DeadLetterFirstHeader = "eos-pipe-dlq-first-offset"
)

// maxMessage bounds the message of a dead letter, in bytes: an error must not make a record too large.
const maxMessage = 1024

// DeadLetterInfo is what the headers of a dead letter say.
type DeadLetterInfo struct {
	Partition offsets.Partition
	Offset    int64
	First     int64     // Offset, or if it stands for a batch that was not read the first offset of it, while Offset is the last
	Timestamp time.Time // time.UnixMilli(-1) if the record had none
	Class     string
	Message   string
	Attempts  int
}

// NewDeadLetter returns the record that goes into topic in the place of r: key, value and headers as they came, and the headers that say
// where it stood and why it was given up. What is in r's headers from an earlier time as a dead letter is left out. Its timestamp is that of r, or where
// the client cannot write that, the time at which it is produced.
func NewDeadLetter(r *kgo.Record, topic string, failed *RecordError) *kgo.Record {
	return newDeadLetter(r, topic, failed, OwnHeaders, "")
}

// newDeadLetter is NewDeadLetter with the headers of another program before ours, for the consumer group.
func newDeadLetter(r *kgo.Record, topic string, failed *RecordError, more DeadLetterHeaders, group string) *kgo.Record {
	cause := failed.Err
	if v, ok := errors.AsType[*verdict](cause); ok {
		cause = v.err
	}
	message := strings.ToValidUTF8(cause.Error()[:min(len(cause.Error()), maxMessage)], "")
	header := func(key, value string) Header { return Header{Key: key, Value: []byte(value)} }
	partition, offset := strconv.Itoa(int(failed.Partition.Number)), strconv.FormatInt(failed.Offset, 10)
	headers := withoutDeadLetter(r.Headers)
	for _, h := range more.headers(failed, group, message) {
		headers = append(headers, header(h[0], h[1]))
	}
	headers = append(headers,
		header(DeadLetterTopicHeader, failed.Partition.Topic),
		header(DeadLetterPartitionHeader, partition),
		header(DeadLetterOffsetHeader, offset),
		header(DeadLetterTimestampHeader, strconv.FormatInt(millis.Of(r.Timestamp), 10)),
		header(DeadLetterErrorHeader, failed.Class()),
		header(DeadLetterMessageHeader, message),
		header(DeadLetterAttemptHeader, strconv.Itoa(failed.Attempts)),
	)
	if over, ok := errors.AsType[*eos.PassedOverError](cause); ok {
		headers = append(headers, header(DeadLetterFirstHeader, strconv.FormatInt(over.From, 10)))
	}
	letter := &kgo.Record{Topic: topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Context: r.Context, Headers: headers}
	if millis.CanWrite(r.Timestamp) {
		letter.Timestamp = r.Timestamp
	}
	return letter
}

var deadLetterHeaders = []string{
	DeadLetterTopicHeader, DeadLetterPartitionHeader, DeadLetterOffsetHeader, DeadLetterTimestampHeader,
	DeadLetterErrorHeader, DeadLetterMessageHeader, DeadLetterAttemptHeader, DeadLetterFirstHeader,
}

func withoutDeadLetter(headers []Header) []Header {
	return slices.DeleteFunc(slices.Clone(headers), func(h Header) bool { return slices.Contains(deadLetterHeaders, h.Key) })
}

// DeadLetterOf reads the headers of a dead letter. ok is false where not all of them are there, or one cannot be.
func DeadLetterOf(headers []Header) (info DeadLetterInfo, ok bool) {
	text := map[string]string{}
	for _, h := range headers {
		text[h.Key] = string(h.Value)
	}
	number := func(key string, least int64, bits int) int64 {
		n, err := strconv.ParseInt(text[key], 10, bits)
		ok = ok && err == nil && n >= least
		return n
	}
	ok = text[DeadLetterTopicHeader] != ""
	info.Partition = offsets.Partition{Topic: text[DeadLetterTopicHeader], Number: int32(number(DeadLetterPartitionHeader, 0, 32))}
	info.Offset = number(DeadLetterOffsetHeader, 0, 64)
	info.First = info.Offset
	if text[DeadLetterFirstHeader] != "" {
		info.First = number(DeadLetterFirstHeader, 0, 64)
	}
	info.Timestamp = time.UnixMilli(number(DeadLetterTimestampHeader, math.MinInt64, 64))
	info.Attempts = int(number(DeadLetterAttemptHeader, 0, 64))
	info.Class, info.Message = text[DeadLetterErrorHeader], text[DeadLetterMessageHeader]
	return info, ok
}

// DeadLetterError is the cause when the dead letter of a record is refused: there is nowhere to put the record.
type DeadLetterError struct{ Err error }

// Error says why.
func (e *DeadLetterError) Error() string {
	return "its dead letter cannot be written: " + e.Err.Error()
}

// Unwrap returns why.
func (e *DeadLetterError) Unwrap() error { return e.Err }

// compareLimits warns, once, where the dead-letter topic takes smaller records than an input: the dead letter of a large one would be refused, and stop the
// processor.
func (p *Processor) compareLimits(s *eos.Session) {
	p.limits.Do(func() {
		most, known := s.MaxMessageBytes(p.cfg.DeadLetterTopic)
		for _, topic := range p.topics {
			if limit, ok := s.MaxMessageBytes(topic); ok && known && limit > most {
				p.cfg.Logger.Warn("the dead-letter topic accepts only smaller records than an input: a dead letter of a larger record would stop the pipe; raise its max.message.bytes to 8 KB above that of the input",
					"topic", topic, "max_message_bytes", limit, "dead_letter_topic", p.cfg.DeadLetterTopic, "dead_letter_max_message_bytes", most)
			}
		}
	})
}
