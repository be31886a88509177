package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/security"
)

// The exit codes of eos-pipe, as `eos-pipe --help` documents them.
const (
	exitDone     = 0
	exitFailure  = 1 // a failure, or a finding
	exitUsage    = 2
	exitFenced   = 3
	exitOperator = 4
)

// outcomes says for an error how the process ends and what the user can do. The first match counts; what matches
// nothing is a failure without a hint.
var outcomes = []outcome{
	as(exitOperator, func(e *eos.LostOffsetsError) string {
		return "nothing else is lost; to continue without these records, set the group's offset of " + e.Partition.String() +
			" to " + strconv.FormatInt(e.To, 10) + " (kafka-consumer-groups.sh --reset-offsets) while the pipe is stopped"
	}),
	as(exitOperator, func(e *eos.UnreadableError) string {
		if errors.Is(e.Err, kgo.ErrMaxDecompress) {
			return "nothing is lost, everything before it is committed: if the batch is valid, start with a larger --max-decompressed, or else pass over it, with --on-error dead-letter or skip"
		}
		return "nothing is lost, everything before it is committed: let a replica with a whole copy lead the partition, or, if none has one, set the group's offset after the batch " +
			"(kafka-consumer-groups.sh --reset-offsets) while the pipe is stopped"
	}),
	as(exitOperator, func(e *eos.PartitionsChangedError) string {
		return "nothing is lost or doubled: a restart continues with " + strconv.Itoa(e.Now) + " partitions; before it, make sure that the readers of the output can handle keys that have moved, " +
			"or write to a new topic"
	}),
	as(exitOperator, func(e *processor.DeadLetterError) string {
		if errors.Is(e, kerr.MessageTooLarge) || errors.Is(e, kerr.RecordListTooLarge) {
			return "nothing of its batch is committed: raise max.message.bytes of the dead-letter topic to 8 KB above that of the input: a dead letter is its record and some headers"
		}
		return "nothing of its batch is committed: make sure that the dead-letter topic accepts every record of the input (cleanup.policy, max.message.bytes), or let --filter drop the record"
	}),
	as(exitOperator, func(*eos.DestinationError) string {
		return "nothing of its batch is committed: create the topic, or grant the user WRITE on it, if it is the right one; let --map or --filter handle the record; or choose --on-error dead-letter or skip"
	}),
	as(exitOperator, func(*eos.TimestampError) string {
		return "nothing of its batch is committed: fix the record's producer, let --filter drop the record, or choose --on-error dead-letter or skip"
	}),
	as(exitOperator, func(*eos.RejectedError) string {
		return "nothing of its batch is committed: raise the output topic's limit (max.message.bytes), let --map or --filter handle the record, or choose --on-error dead-letter or skip"
	}),
	as(exitOperator, func(*processor.RecordError) string {
		return "the next start begins with this record's batch: fix the record's producer or the program, let --filter drop the record, " +
			"or choose --on-error dead-letter or skip"
	}),
	is(eos.ErrFenced, exitFenced, "nothing is lost: the other instance continues. Give every running instance its own --instance-id"),
	is(eos.ErrTopicChanged, exitOperator, "nothing is lost: the group's offsets belong to the deleted topic, or were copied from another cluster. To process the new topic "+
		"as --start says, delete the group's offsets for it while the pipe is stopped (kafka-consumer-groups.sh --delete-offsets); to begin elsewhere, set them (--reset-offsets)"),
	is(eos.ErrNoOffset, exitOperator, "nothing is lost: if the group has run before, its offsets were deleted or have expired; set them "+
		"(kafka-consumer-groups.sh --reset-offsets), or choose --start earliest or latest if this is its first start"),
	is(eos.ErrNoTopic, exitFailure, "eos-pipe creates no topics: create it (kafka-topics.sh --create) or check its name and your permissions"),
	is(kerr.SaslAuthenticationFailed, exitOperator, "nothing is lost: the brokers refuse this user, password or token; check --sasl-username, --sasl-password and --sasl-mechanism, and that the user has "+
		"credentials for this mechanism (kafka-configs.sh --describe --entity-type users)"),
	is(kerr.UnsupportedSaslMechanism, exitOperator, "nothing is lost: choose a --sasl-mechanism that the brokers' listener has (sasl.enabled.mechanisms)"),
	{exitOperator, func(err error) (string, bool) {
		return "nothing is lost: make sure that --tls-ca holds the authority of the brokers' certificates, that these are for the host in --bootstrap-server and have not expired, " +
			"and that the brokers know the authority of --tls-cert", security.IsCertificateError(err)
	}},
	is(kerr.TransactionalIDAuthorizationFailed, exitOperator, missingACL("WRITE on the transactional id")),
	is(kerr.GroupAuthorizationFailed, exitOperator, missingACL("READ on the group")),
	is(kerr.TopicAuthorizationFailed, exitOperator, missingACL("READ on an input topic, or WRITE on an output topic")),
	is(kerr.ClusterAuthorizationFailed, exitOperator, missingACL("an operation on the cluster")),
	is(eos.ErrOtherGroup, exitOperator, "nothing is lost: a share group, a group of Kafka Streams or members of another kind use this id; give this pipe its own --group"),
	is(kerr.InvalidTransactionTimeout, exitOperator, "nothing is lost: the brokers' transaction.max.timeout.ms is smaller; lower --transaction-timeout"),
	is(kerr.InvalidSessionTimeout, exitOperator, "nothing is lost: choose a --session-timeout between the brokers' group.min.session.timeout.ms and group.max.session.timeout.ms"),
	is(eos.ErrUnsupported, exitFailure, "Kafka 2.5 or later is needed (KIP-447), 4.0 or later for --group-protocol consumer (KIP-848), and recommended (KIP-890)"),
	{exitOperator, func(err error) (string, bool) {
		remedy := eos.Remedy(err)
		e, ok := errors.AsType[*eos.Error](err)
		return "nothing is lost: " + remedy, ok && e.Next == eos.Stop && remedy != ""
	}},
	is(eos.ErrUnreachable, exitFailure, "check --bootstrap-server, that the broker runs and can be reached from here, and that --security-protocol matches its listener"),
	is(processor.ErrAborted, exitFailure, "nothing is lost or doubled: the next start processes the batch"),
	as(exitFailure, hintFor),
}

// missingACL says what to do if the brokers refuse an operation.
func missingACL(what string) string {
	return "nothing is lost: the user lacks " + what + "; eos-pipe acls prints the commands that grant it, and a restart continues from there"
}

// hintFor says what to do about an error of a session that nothing above has matched.
func hintFor(e *eos.Error) string {
	if e.Next == eos.Stop {
		return "fix the cause before you start it again; nothing is lost or doubled"
	}
	return "start it again with the same ids: it continues from what the brokers have committed, and nothing is lost or doubled"
}

// outcome maps the errors it matches.
type outcome struct {
	code  int
	match func(error) (hint string, ok bool)
}

// is matches errors that wrap target.
func is(target error, code int, hint string) outcome {
	return outcome{code, func(err error) (string, bool) { return hint, errors.Is(err, target) }}
}

// as matches errors that wrap an E; the hint may use what it holds.
func as[E error](code int, hint func(E) string) outcome {
	return outcome{code, func(err error) (string, bool) {
		e, ok := errors.AsType[E](err)
		if !ok {
			return "", false
		}
		return hint(e), true
	}}
}

// exitError is an error for which a command decides code and hint itself. It overrides outcomes.
type exitError struct {
	code int
	err  error
	hint string
}

// Error implements error.
func (e *exitError) Error() string { return e.err.Error() }

// Unwrap makes errors.Is and errors.As see the cause.
func (e *exitError) Unwrap() error { return e.err }

// report says err, and returns the exit code. No error says nothing.
func (a *app) report(err error) int {
	if err == nil {
		return exitDone
	}
	say := sayJSON
	if a.isText() {
		say = sayText
	}
	if usage, ok := errors.AsType[faults](err); ok {
		for _, f := range usage {
			say(a.stderr, exitUsage, f)
		}
		return exitUsage
	}
	code, hint := classify(err)
	say(a.stderr, code, fault{err.Error(), hint})
	return code
}

func classify(err error) (code int, hint string) {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code, e.hint
	}
	for _, o := range outcomes {
		if hint, ok := o.match(err); ok {
			return o.code, hint
		}
	}
	return exitFailure, ""
}

// sayText writes the lines "error: …" and "hint: …".
func sayText(w io.Writer, _ int, f fault) {
	fmt.Fprintln(w, "error: "+f.line())
	if f.hint != "" {
		fmt.Fprintln(w, "hint: "+f.hint)
	}
}

// sayJSON writes one line of the log, whatever its level. Its form is a contract with what collects logs: a line with an exit_code is the last
// word of the process, or one of several about how it was called.
func sayJSON(w io.Writer, code int, f fault) {
	log := slog.New(slog.NewJSONHandler(w, nil))
	if f.hint != "" {
		log = log.With("hint", f.hint)
	}
	log.Error("eos-pipe failed", "err", f.line(), "exit_code", code)
}

// fault is one thing that is wrong with how eos-pipe was called.
type fault struct{ message, hint string }

// line is the message on one line.
func (f fault) line() string { return strings.ReplaceAll(strings.TrimSpace(f.message), "\n", "; ") }

// faults are all of them; as an error they end the process with exitUsage.
type faults []fault

func (f *faults) add(message, hint string) { *f = append(*f, fault{message, hint}) }

func (f *faults) addIf(found *fault) {
	if found != nil {
		*f = append(*f, *found)
	}
}

// err is nil if there is no fault.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// Error implements error.
func (f faults) Error() string {
	var messages []string
	for _, one := range f {
		messages = append(messages, one.message)
	}
	return strings.Join(messages, "; ")
}

func usageError(message, hint string) error { return faults{{message, hint}} }

// flagError words pflag's errors as ours, and looks for the flag that was meant.
func flagError(cmd *cobra.Command, err error) error {
	seeHelp := "see " + cmd.CommandPath() + " --help"
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if letters := e.GetSpecifiedShortnames(); letters != "" {
			return usageError("unknown flag "+quote("-"+e.GetSpecifiedName())+" in "+quote("-"+letters), seeHelp)
		}
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := nearest(e.GetSpecifiedName(), names); near != "" {
			seeHelp = "did you mean --" + near + "?"
		}
		return usageError("unknown flag --"+e.GetSpecifiedName(), seeHelp)
	}
	if e, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return usageError("--"+e.GetFlag().Name+" needs a value", seeHelp)
	}
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return faults{badValue("--"+e.GetFlag().Name, e.GetValue(), e.GetFlag(), e.Unwrap())}
	}
	return usageError(err.Error(), seeHelp)
}

func quote(s string) string { return strconv.Quote(s) }
