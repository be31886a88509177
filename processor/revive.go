package processor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// This file makes of a dead letter the record again that it was: of our own, and of those that other programs of Kafka's world write.

// DeadLetterHeaders says whose headers a dead letter has beside those of eos-pipe, so that tools which know these find it.
type DeadLetterHeaders int

const (
	// OwnHeaders are those of eos-pipe alone.
	OwnHeaders DeadLetterHeaders = iota
	// ShareHeaders are those of Kafka's share groups, too (KIP-1191): __dlq.errors.topic, .partition, .offset, .group, .delivery.count and .message.
	ShareHeaders
	// StreamsHeaders are those of Kafka Streams, too (KIP-1034): __streams.errors.exception, .message, .stacktrace, .topic, .partition and .offset. The
	// exception is the class of the error, as in DeadLetterErrorHeader, and the stack trace is empty but for a panic.
	StreamsHeaders
)

var deadLetterHeadersNames = []string{"own", "share", "streams"}

// String returns the name: own, share or streams.
func (h DeadLetterHeaders) String() string {
	if h < 0 || int(h) >= len(deadLetterHeadersNames) {
		return fmt.Sprintf("DeadLetterHeaders(%d)", int(h))
	}
	return deadLetterHeadersNames[h]
}

// DeadLetterHeadersNames are the names of the values, in their order.
func DeadLetterHeadersNames() []string { return slices.Clone(deadLetterHeadersNames) }

// headers are the names and values of the other program's headers, all of them text, in its order.
func (h DeadLetterHeaders) headers(failed *RecordError, group, message string) [][2]string {
	topic, partition, offset := failed.Partition.Topic, strconv.Itoa(int(failed.Partition.Number)), strconv.FormatInt(failed.Offset, 10)
	switch h {
	case OwnHeaders:
	case ShareHeaders:
		return [][2]string{
			{"__dlq.errors.topic", topic},
			{"__dlq.errors.partition", partition},
			{"__dlq.errors.offset", offset},
			{"__dlq.errors.group", group},
			{"__dlq.errors.delivery.count", strconv.Itoa(failed.Attempts)},
			{"__dlq.errors.message", message},
		}
	case StreamsHeaders:
		stack := ""
		if p, ok := errors.AsType[*PanicError](failed.Err); ok {
			stack = string(p.Stack[:min(len(p.Stack), maxMessage)])
		}
		return [][2]string{
			{"__streams.errors.exception", failed.Class()},
			{"__streams.errors.message", message},
			{"__streams.errors.stacktrace", stack},
			{"__streams.errors.topic", topic},
			{"__streams.errors.partition", partition},
			{"__streams.errors.offset", offset},
		}
	}
	return nil
}

// letterForm is how another program writes dead letters: the headers that say where the record stood. Each was seen in a dead letter of that program
// (testdata/letters).
type letterForm struct {
	writer    string
	prefix    string // of all its headers
	topic     string
	partition string
	offset    string
	timestamp string // "": none, the dead letter has the timestamp of the record
	binary    bool   // numbers are big-endian, and not text
	missing   string // what of the record is not in the dead letter, ever
}

var letterForms = []letterForm{
	{
		writer: "Kafka Streams", prefix: "__streams.errors.",
		topic: "__streams.errors.topic", partition: "__streams.errors.partition", offset: "__streams.errors.offset",
	},
	{
		writer: "a share group", prefix: "__dlq.errors.",
		topic: "__dlq.errors.topic", partition: "__dlq.errors.partition", offset: "__dlq.errors.offset",
		missing: "the record's own headers and its timestamp, which the broker does not copy: it comes back without headers, and with the time of the dead letter",
	},
	{
		writer: "Kafka Connect", prefix: "__connect.errors.",
		topic: "__connect.errors.topic", partition: "__connect.errors.partition", offset: "__connect.errors.offset",
	},
	{
		writer: "Spring Kafka", prefix: "kafka_dlt-",
		topic: "kafka_dlt-original-topic", partition: "kafka_dlt-original-partition", offset: "kafka_dlt-original-offset", timestamp: "kafka_dlt-original-timestamp",
		binary:  true,
		missing: "the bytes of key and value where the application had deserialized them: they are as its serializers wrote them again",
	},
}

// formOf returns the form of a dead letter that another program has written last; nil: none, or it is our own.
func formOf(headers []Header) *letterForm {
	for _, h := range slices.Backward(headers) {
		if h.Key == DeadLetterTopicHeader {
			return nil
		}
		for i := range letterForms {
			if letterForms[i].topic == h.Key {
				return &letterForms[i]
			}
		}
	}
	return nil
}

// read returns where the record stood, and with what timestamp; the last header of each name counts.
func (f *letterForm) read(headers []Header, letter time.Time) (info DeadLetterInfo, err error) {
	values := map[string][]byte{}
	for _, h := range headers {
		values[h.Key] = h.Value
	}
	number := func(name string, least int64, bits int) (n int64) {
		n, nerr := f.number(values[name], bits)
		if nerr != nil || n < least {
			err = fmt.Errorf("its header %s cannot be what %s writes: %q", name, f.writer, values[name])
		}
		return n
	}
	info.Timestamp = letter
	if f.timestamp != "" {
		info.Timestamp = time.UnixMilli(number(f.timestamp, math.MinInt64, 64))
	}
	info.Offset = number(f.offset, 0, 64)
	info.Partition = offsets.Partition{Topic: string(values[f.topic]), Number: int32(number(f.partition, 0, 32))}
	if err == nil && info.Partition.Topic == "" {
		err = fmt.Errorf("its header %s names no topic", f.topic)
	}
	return info, err
}

func (f *letterForm) number(value []byte, bits int) (int64, error) {
	switch {
	case !f.binary:
		return strconv.ParseInt(string(value), 10, bits)
	case len(value)*8 != bits:
		return 0, strconv.ErrSyntax
	case bits == 32:
		return int64(int32(binary.BigEndian.Uint32(value))), nil
	}
	return int64(binary.BigEndian.Uint64(value)), nil
}

// DeadLetterWriter returns which program has written a dead letter ("" if it is none), and what of the record is not in it, so that Revive cannot put it
// back; "" if nothing is missing.
func DeadLetterWriter[T any](in Record[T]) (writer, missing string) {
	form := formOf(in.Headers)
	if form == nil {
		if _, ok := DeadLetterOf(in.Headers); ok {
			return "eos-pipe", ""
		}
		return "", ""
	}
	if form.missing == "" && in.raw != nil && in.raw.Attrs.TimestampType() == logAppendTime {
		return form.writer, "the record's timestamp: the topic of dead letters has LogAppendTime, and no header has it"
	}
	return form.writer, form.missing
}

// logAppendTime is the timestamp type of a record whose timestamp the broker has set.
const logAppendTime = 1

var (
	// ErrNotRead is the cause when a dead letter cannot be revived because it stands for a batch that was not read.
	ErrNotRead = errors.New("it stands for a batch that was not read; there is nothing to put back")
	// ErrNotCopied is the cause when a dead letter of a share group cannot be revived because it says only where the record stood.
	ErrNotCopied = errors.New("it has neither key nor value, as the share group does not copy them (errors.deadletterqueue.copy.record.enable); there is nothing to put back")
)

// Revive returns the output by which the dead letter in becomes the record again that it was: with its own headers only, its own timestamp, whatever that
// of the dead letter is, and for the topic and the partition that it came from. Where that topic is not in eos.Config.Placed, a record with a key goes
// where its key is sent by default.
//
// It takes dead letters of eos-pipe, Kafka Streams, share groups, Kafka Connect (with errors.deadletterqueue.context.headers.enable) and Spring Kafka. Where a record has
// become a dead letter several times, the last one counts. What some of them do not hold DeadLetterWriter says.
func Revive[T any](in Record[T]) (Record[T], error) {
	var info DeadLetterInfo
	var err error
	form := formOf(in.Headers)
	switch {
	case form != nil:
		if info, err = form.read(in.Headers, in.Timestamp); err == nil && isBare(in, form) {
			err = fmt.Errorf("%w: that of %s@%d", ErrNotCopied, info.Partition, info.Offset)
		}
	default:
		info, err = reviveOwn(in.Headers)
	}
	if err != nil {
		return in, err
	}
	out := With(in, in.Value)
	out.To, out.Partition, out.Headers = info.Partition.Topic, info.Partition.Number, ownHeaders(in.Headers, form, info)
	out.Timestamp = info.Timestamp
	return out, nil
}

// ownHeaders are the headers of the record: without those of the form that the dead letter has, or without ours and what newDeadLetter has put before
// them. Those that the record had from an earlier time in other hands are its own.
func ownHeaders(headers []Header, form *letterForm, info DeadLetterInfo) []Header {
	if form != nil {
		return slices.DeleteFunc(slices.Clone(headers), func(h Header) bool { return strings.HasPrefix(h.Key, form.prefix) })
	}
	ours := slices.IndexFunc(headers, func(h Header) bool { return h.Key == DeadLetterTopicHeader })
	for _, more := range []DeadLetterHeaders{ShareHeaders, StreamsHeaders} {
		block := more.headers(&RecordError{Partition: info.Partition, Offset: info.Offset}, "", "")
		from := ours - len(block)
		if from < 0 {
			continue
		}
		if f := formOf(headers[from:ours]); f != nil && f.topic == topicHeader(block) {
			if at, err := f.read(headers[from:ours], time.Time{}); err == nil && at.Partition == info.Partition && at.Offset == info.Offset {
				headers = slices.Concat(headers[:from], headers[ours:])
				break
			}
		}
	}
	return withoutDeadLetter(headers)
}

func topicHeader(block [][2]string) string {
	for _, h := range block {
		if strings.HasSuffix(h[0], ".topic") {
			return h[0]
		}
	}
	return ""
}

func reviveOwn(headers []Header) (DeadLetterInfo, error) {
	info, ok := DeadLetterOf(headers)
	switch {
	case !ok:
		return info, fmt.Errorf("it has not the headers of a dead letter (%s and others)", DeadLetterTopicHeader)
	case slices.ContainsFunc(headers, func(h Header) bool { return h.Key == DeadLetterFirstHeader }):
		return info, fmt.Errorf("%w: that of %s@%d..%d", ErrNotRead, info.Partition, info.First, info.Offset)
	}
	return info, nil
}

// isBare says whether a dead letter of a share group holds nothing of the record.
func isBare[T any](in Record[T], form *letterForm) bool {
	return form.prefix == "__dlq.errors." && in.Key == nil && in.raw != nil && in.raw.Value == nil
}
