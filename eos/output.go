package eos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/millis"
)

// This file finds the records that cannot be outputs: those that can be known before anything is produced, and those for which the brokers
// answer with an error about the record rather than the session.

// DestinationError is the cause within a RejectedError when a record cannot go to its topic or partition: no topic can have that name, there
// is none, it is an input or internal to Kafka, the client may not write to it, or it has no such partition. Topics in Config.Outputs are
// the configuration's choice: an error of such a topic stops the session.
type DestinationError struct {
	Topic     string
	Partition int32 // the one that does not exist; -1: the fault is the topic's
	Err       error
}

// Error returns the reason.
func (e *DestinationError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *DestinationError) Unwrap() error { return e.Err }

// TimestampError is the cause within a RejectedError when the client cannot write a record's timestamp: it is before September 1677 or after April 2262.
// Mostly it is in microseconds, or nanoseconds, instead of milliseconds.
type TimestampError struct{ Timestamp time.Time }

// Error names the timestamp in milliseconds.
func (e *TimestampError) Error() string {
	return fmt.Sprintf("its timestamp %d is not in milliseconds of the years 1678 to 2261, and would be changed: is it in microseconds?", millis.Of(e.Timestamp))
}

// CheckOutput returns why no session will accept a record for that topic with that timestamp, as far as this can be known without asking
// the brokers; nil if it may be accepted. The error is a DestinationError or a TimestampError. Any goroutine may call it.
func CheckOutput(topic string, timestamp time.Time) error {
	if fault := topicFault(topic); fault != "" {
		return &DestinationError{topic, -1, errors.New(fault)}
	}
	if !millis.CanWrite(timestamp) {
		return &TimestampError{timestamp}
	}
	return nil
}

// longTopic is how long the name of a topic may be.
const longTopic = 249

// topicFault says what is wrong with the name of a topic, as org.apache.kafka.common.internals.Topic.validate (4.4.0) does; "" if nothing is.
func topicFault(name string) string {
	legal := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '_' || r == '-'
	}
	switch {
	case name == "":
		return "it names no topic"
	case name == "." || name == "..":
		return "no topic can have that name"
	case len(name) > longTopic:
		return fmt.Sprintf("no topic can have that name: it is longer than %d characters", longTopic)
	case strings.ContainsFunc(name, func(r rune) bool { return !legal(r) }):
		return "no topic can have that name: it may hold only letters, digits, '.', '_' and '-'"
	}
	return ""
}

// CheckOutput is like the function of that name, and also refuses topics that the session reads. Commit finds the faults that only the
// brokers know. Any goroutine may call it at any time.
func (s *Session) CheckOutput(topic string, timestamp time.Time) error {
	if s.isOutput(topic) && millis.CanWrite(timestamp) {
		return nil // checked at Open; the rest would cost something for each record
	}
	if err := CheckOutput(topic, timestamp); err != nil {
		return err
	}
	if _, input := s.inputs.get(topic); input || isMatch(s.pattern, topic) {
		return &DestinationError{topic, -1, fmt.Errorf("%s is an input topic: a pipe that reads what it writes never ends", topic)}
	}
	return nil
}

func (s *Session) isOutput(topic string) bool { return slices.Contains(s.cfg.Outputs, topic) }

// rejected returns the error of a record that was not produced as a RejectedError if the record is the cause, and otherwise nil.
func (s *Session) rejected(r *kgo.Record, err error) *RejectedError {
	switch {
	case actionFor(err, actReplay) == actRejected:
		return &RejectedError{r, err}
	case !s.isOutput(r.Topic) && isDestination(err):
		return &RejectedError{r, &DestinationError{r.Topic, -1, explain(err)}}
	}
	if n, ok := s.counts.of(r.Topic).misses(r.Partition); ok {
		return &RejectedError{r, &DestinationError{r.Topic, r.Partition, fmt.Errorf("the topic has no partition %d: it has %d", r.Partition, n)}}
	}
	return nil
}

// isDestination reports whether err is a broker's answer about the topic of a record.
func isDestination(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.InvalidTopicException)
}

// isMisdirected reports whether err is that of a record with a wrong destination: records for other destinations are not affected.
func isMisdirected(err error) bool {
	_, ok := errors.AsType[*DestinationError](err)
	return ok
}

// isThere asks a broker, and not the client's cache, whether the partition for which a record was refused exists nevertheless: it may have
// been added just before.
func (s *Session) isThere(ctx context.Context, refused error) bool {
	d, ok := errors.AsType[*DestinationError](refused)
	if !ok || d.Partition < 0 {
		return false
	}
	s.client.gts.Client().ForceMetadataRefresh()
	bounded, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	topic, err := s.ask.TopicNow(bounded, d.Topic)
	return err != nil || int(d.Partition) < len(topic.Partitions)
}
