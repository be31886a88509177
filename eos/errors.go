package eos

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// Outcome says what became of a batch: of its output records and its input's offsets alike. The zero value, Unknown, claims nothing.
type Outcome int

const (
	// Unknown means: the answer was lost and the brokers could not be asked. They know: the next Open with the same ids
	// continues from the offsets that they have, and nothing is lost or doubled.
	Unknown Outcome = iota
	// Committed means: output and offsets are committed.
	Committed
	// Aborted means: no read_committed reader will ever see an output of this batch; its input will be polled again.
	Aborted
	// NotAttempted means: the call did nothing to any batch. It is the outcome of a failed Open, of ErrMisuse (a second
	// Commit of a batch, a Commit of an older one, calls that overlap), and of a call on a stopped session about a batch
	// that was not out when the session stopped. The batch is still what it was before the call: committed, aborted or
	// unknown, as its own Commit reported; out, and waiting for its Commit; or given back by a Poll. No transaction ends
	// with this outcome.
	NotAttempted
)

// String returns the outcome in one or two words, and "Outcome(n)" for a value that is none of the constants.
func (o Outcome) String() string {
	return nameOf("Outcome", int(o), "unknown", "committed", "aborted", "not attempted")
}

// nameOf returns names[value], or the type with the number where value has no name.
func nameOf(kind string, value int, names ...string) string {
	if value < 0 || value >= len(names) {
		return fmt.Sprintf("%s(%d)", kind, value)
	}
	return names[value]
}

// Next says what the caller of a failed operation does next.
type Next int

const (
	// Stop means: this session will not work again, and a new one would not either before an operator has mended the cause.
	Stop Next = iota
	// PollAgain means: the session works; Poll returns the records of an aborted batch again.
	PollAgain
	// Reopen means: close this session and open another with the same ids.
	Reopen
)

// String returns the advice in words, and "Next(n)" for a value that is none of the constants.
func (n Next) String() string { return nameOf("Next", int(n), "stop", "poll again", "reopen") }

// Error is what every call of a session returns when it fails; its cause is one of the errors below. A nil error of Commit
// means committed; anything else is an Error that says what became of the data and what to do.
type Error struct {
	// Op is the operation that failed: open, poll, commit, close, or replace (making a new client).
	Op string
	// Outcome is what became of the batch: of Commit's batch, or of the batch that was out. It is NotAttempted if the
	// call did nothing to a batch. A call on a stopped session returns the error that stopped it, with its Op and Outcome.
	Outcome Outcome
	// Next is what to do.
	Next Next
	// Err is the cause: a *kerr.Error, a network error, or one of this package's below.
	Err error
}

// Error returns the cause and, for a commit, what became of the batch, in one line.
func (e *Error) Error() string {
	switch {
	case e.Op != "commit":
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	case e.Outcome == NotAttempted:
		return fmt.Sprintf("commit: %v; nothing was done, and the batch is what it was", e.Err)
	}
	return fmt.Sprintf("commit: %v; the batch is %s", e.Err, e.Outcome)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

var (
	// ErrFenced is the cause when another instance has taken this one's transactional id or static membership.
	ErrFenced = errors.New("fenced by another instance with the same transactional id")
	// ErrClosed is the cause when a session is used after Close.
	ErrClosed = errors.New("the session is closed")
	// ErrMisuse is the cause when a session is called out of order or by two goroutines at once. The call does nothing
	// (NotAttempted): the session and its batches stay as they were.
	ErrMisuse = errors.New("wrong use of the session")
	// ErrUnsupported is the cause when the brokers are too old for exactly-once (before 2.5).
	ErrUnsupported = errors.New("these brokers cannot do it")
	// ErrNoTopic is the cause when an input or output topic does not exist, three seconds long.
	ErrNoTopic = errors.New("topic does not exist")
	// ErrNoOffset is the cause when Config.Start is StartNone and the group has committed no offset for a partition.
	ErrNoOffset = errors.New("no committed offset")
	// ErrUnreachable is the cause when no broker answers.
	ErrUnreachable = errors.New("no broker can be reached")
	// ErrTopicChanged is the cause when a topic was deleted and created again: while the session used it, or since the group committed
	// its offsets of a topic of that name. Offsets that were copied from another cluster look the same. Nothing of the new topic is
	// read until the offsets are set or deleted.
	ErrTopicChanged = errors.New("topic was deleted and created again")
	// ErrOtherGroup is the cause when a session cannot be a member of the group with this id: it is a share group, a group of Kafka
	// Streams, or its members have no assignor in common with the session.
	ErrOtherGroup = errors.New("the group is of another kind")
	// ErrProduce is the cause when Commit could not produce a record: the transaction was aborted.
	ErrProduce = errors.New("not every record could be produced")
)

// LostOffsetsError is the cause when records that the group has not processed are no longer in the log: retention or
// DeleteRecords has deleted records after the committed offset. From is the first offset that is gone, To the first that is still there.
type LostOffsetsError struct {
	Partition offsets.Partition
	From, To  int64
}

// Error returns the exact range that is gone.
func (e *LostOffsetsError) Error() string {
	if e.To <= e.From {
		return fmt.Sprintf("offset %d of %s is not in the log any more, which now ends at %d: the log was truncated", e.From, e.Partition, e.To)
	}
	return fmt.Sprintf("offsets %d to %d of %s (%d offsets) were deleted before they were processed",
		e.From, e.To-1, e.Partition, e.To-e.From)
}

// RejectedError is the cause when the broker, the client or the session refuses a record for what it is: too large, without a key
// in a compacted topic, a timestamp out of bounds (TimestampError), or a topic that it cannot go to (DestinationError). It would be
// refused again.
type RejectedError struct {
	// Record is the refused record, as it was passed to Commit.
	Record *kgo.Record
	Err    error
}

// Error names the output topic and size of the record, and why it was refused.
func (e *RejectedError) Error() string {
	topic := e.Record.Topic
	if topicFault(topic) != "" {
		topic = strconv.Quote(topic[:min(len(topic), longTopic+1)])
	}
	return fmt.Sprintf("a record of %d bytes for topic %s is refused: %v", len(e.Record.Key)+len(e.Record.Value), topic, e.Err)
}

// Unwrap returns the reason.
func (e *RejectedError) Unwrap() error { return e.Err }

// authPatience is how long a running session tries again when the brokers refuse its credentials. A password is changed
// at the brokers and in the client's file one after the other, and a mounted secret follows minutes later. The client reads the
// password for every connection, and loses nothing meanwhile.
const authPatience = 2 * time.Minute

// act is actionFor, except that a running session does not stop at once when its credentials are refused.
func (s *Session) act(err error, unknown action) action {
	if s.client == nil || !errors.Is(err, kerr.SaslAuthenticationFailed) {
		return actionFor(err, unknown)
	}
	if s.authFailedSince.IsZero() {
		s.authFailedSince = time.Now()
		s.cfg.Logger.Warn("the brokers refuse the credentials; nothing is lost, the session tries again for some time: is the password being changed?",
			"transactional_id", s.cfg.TransactionalID, "patience", authPatience, "err", err)
	}
	if time.Since(s.authFailedSince) > authPatience {
		return actStop
	}
	return actReplace
}

// explain wraps err in this package's error for it, if there is one.
func explain(err error) error {
	switch {
	case errors.Is(err, ErrTopicChanged), errors.Is(err, ErrNoTopic), errors.Is(err, ErrNoOffset), errors.Is(err, ErrUnsupported), errors.Is(err, ErrOtherGroup):
		return err
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		return fmt.Errorf("%w: %w", ErrOtherGroup, err)
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.InconsistentTopicID):
		return fmt.Errorf("%w: %w", ErrTopicChanged, err)
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return fmt.Errorf("%w: %w", ErrNoTopic, err)
	case errors.Is(err, kerr.UnsupportedVersion):
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return err
}

// isContext reports whether err is only a context that ended.
func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
