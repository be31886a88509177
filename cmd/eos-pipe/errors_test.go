package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/processor"
)

// Every kind of error ends with the documented exit code and its hint, one line each.
func TestReport(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		err    error
		code   int
		stderr string
	}{
		{"nothing", nil, 0, ""},
		{"any failure", errors.New("broker is\ngone"), 1, "error: broker is; gone\n"},
		{"in the table", fmt.Errorf("run: %w", processor.ErrAborted), 1, "error: run: " + processor.ErrAborted.Error() + "\nhint: " + hintOf(t, processor.ErrAborted) + "\n"},
		{"the command's own", fmt.Errorf("run: %w", &exitError{exitFenced, errors.New("fenced"), "look"}), 3, "error: run: fenced\nhint: look\n"},
		{"own before table", &exitError{exitOperator, processor.ErrAborted, "x"}, 4, "error: " + processor.ErrAborted.Error() + "\nhint: x\n"},
		{"usage", faults{{"a is wrong", "write b"}, {"c is wrong", ""}}, 2, "error: a is wrong\nhint: write b\nerror: c is wrong\n"},
		{"no faults", faults{}.err(), 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			require.Equal(t, test.code, (&app{stderr: &stderr, logFormat: "text"}).report(test.err))
			require.Equal(t, test.stderr, stderr.String())

			stderr.Reset() // where no person reads it, it is a line of the log
			require.Equal(t, test.code, (&app{stderr: &stderr, logFormat: "auto"}).report(test.err))
			require.Equal(t, strings.Count(test.stderr, "error: "), strings.Count(stderr.String(), "\n"))
			said := ""
			for line := range strings.Lines(stderr.String()) {
				var e struct {
					Level, Err, Hint string
					Time             time.Time
					ExitCode         int `json:"exit_code"`
				}
				require.NoError(t, json.Unmarshal([]byte(line), &e))
				require.Equal(t, "ERROR", e.Level)
				require.Equal(t, test.code, e.ExitCode)
				require.False(t, e.Time.IsZero())
				said += "error: " + e.Err + "\n"
				if e.Hint != "" {
					said += "hint: " + e.Hint + "\n"
				}
			}
			require.Equal(t, test.stderr, said)
		})
	}
}

// What the brokers refuse has a code and a hint of its own, also where it is the reason why none can be reached.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		hint string
	}{
		{&eos.PartitionsChangedError{Topic: "out", Was: 3, Now: 6}, "a restart goes on with 6 partitions"},
		{eos.ErrTopicChanged, "--delete-offsets"},
		{kerr.SaslAuthenticationFailed, "--sasl-password"},
		{kerr.UnsupportedSaslMechanism, "sasl.enabled.mechanisms"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "--tls-ca"},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, "--tls-cert"},
		{kerr.TransactionalIDAuthorizationFailed, "WRITE on the transactional id"},
		{kerr.GroupAuthorizationFailed, "READ on the group"},
		{kerr.TopicAuthorizationFailed, "READ on an input topic, or WRITE on an output topic"},
		{kerr.ClusterAuthorizationFailed, "the cluster"},
		{kerr.InvalidTransactionTimeout, "--transaction-timeout"},
		{kerr.InvalidSessionTimeout, "--session-timeout"},
		{fmt.Errorf("%w: %w", eos.ErrOtherGroup, kerr.GroupIDNotFound), "--group"},
		{kerr.OffsetMetadataTooLarge, "offset.metadata.max.bytes"},
		{kerr.UnsupportedAssignor, "group.consumer.assignors"},
	} {
		code, hint := classify(&eos.Error{Op: "open", Outcome: eos.NotAttempted, Next: eos.Stop, Err: fmt.Errorf("%w: %w", eos.ErrUnreachable, test.err)})
		require.Equal(t, exitOperator, code, "%v", test.err)
		require.Contains(t, hint, test.hint)
		require.Contains(t, hint, "nothing is lost")
	}
}

// What becomes of one record has a hint that fits the reason; where its dead letter is refused, none that says to make dead letters.
func TestHintsOfRecords(t *testing.T) {
	t.Parallel()
	rejected := func(err error) error {
		return &eos.RejectedError{Record: &kgo.Record{Topic: "t"}, Err: err}
	}
	for _, test := range []struct {
		err       error
		hint, not string
	}{
		{rejected(kerr.MessageTooLarge), "raise the output topic's limit", "dead-letter topic"},
		{rejected(eos.CheckOutput("bad name!", time.Time{})), "create the topic, or give the user WRITE on it", "max.message.bytes"},
		{rejected(eos.CheckOutput("t", time.UnixMilli(1<<50))), "mend the record's producer", "max.message.bytes"},
		{&processor.DeadLetterError{Err: rejected(kerr.MessageTooLarge)}, "raise max.message.bytes of the dead-letter topic", "--on-error"},
		{&processor.DeadLetterError{Err: rejected(kerr.InvalidRecord)}, "cleanup.policy", "--on-error"},
	} {
		code, hint := classify(&processor.RecordError{Stage: "produce", Err: test.err})
		require.Equal(t, exitOperator, code)
		require.Contains(t, hint, test.hint)
		require.NotContains(t, hint, test.not)
	}
	code, hint := classify(replayError(&processor.RecordError{Err: errors.New("it came from elsewhere")}))
	require.Equal(t, exitOperator, code)
	require.Contains(t, hint, "--to")
	require.NotContains(t, hint, "--on-error")
}

func hintOf(t *testing.T, err error) string {
	t.Helper()
	_, hint := classify(err)
	require.NotEmpty(t, hint)
	return hint
}

// The two ways of matching an error in the table look through wrapping, and a hint can use what the error holds.
func TestOutcomesMatch(t *testing.T) {
	t.Parallel()
	wrapped := fmt.Errorf("read: %w", &fs.PathError{Op: "open", Path: "/x", Err: fs.ErrNotExist})

	hint, ok := is(fs.ErrNotExist, exitOperator, "make it").match(wrapped)
	require.True(t, ok)
	require.Equal(t, "make it", hint)

	hint, ok = as(exitOperator, func(e *fs.PathError) string { return "make " + e.Path }).match(wrapped)
	require.True(t, ok)
	require.Equal(t, "make /x", hint)

	_, ok = as(exitOperator, func(*exitError) string { return "" }).match(wrapped)
	require.False(t, ok)
}

// nearest finds the name a slip of the keyboard meant, and is silent where nothing is near.
func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"run", "verify", "version", "bootstrap-server", "from", "lanes"}
	for word, want := range map[string]string{
		"rnu": "run", "verfy": "verify", "vers": "version", "boot": "bootstrap-server", "bootstrap-servers": "bootstrap-server",
		"FORM": "from", "lane": "lanes", "x": "", "completely-else": "", "txn": "", "fro": "from",
	} {
		require.Equal(t, want, nearest(word, names), word)
	}
}

// A size is a number of bytes or has a unit, in the forms that Go, the JVM, docker and vendors of disks write; it never overflows in silence. It prints
// in the largest unit that fits, and what it prints is read as the same.
func TestSizeValue(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]sizeValue{
		"0": 0, "1048576": 1 << 20, "512KiB": 512 << 10, "16 MiB": 16 << 20, "1GiB": 1 << 30,
		"16m": 16 << 20, "16M": 16 << 20, "2g": 2 << 30, "64k": 64 << 10, "16MB": 16_000_000, "1kB": 1000, "3gb": 3_000_000_000, "10b": 10,
	} {
		var v sizeValue
		require.NoError(t, v.Set(text), text)
		require.Equal(t, want, v, text)
		require.NoError(t, v.Set(v.String()))
		require.Equal(t, want, v, "printed and read again")
	}
	for _, text := range []string{"", "x", "MiB", "16Mb/s", "16T", "1.5MiB", "0x10", "9223372036854775807GiB"} {
		require.Error(t, new(sizeValue).Set(text), text)
	}
}

// Every flag of a pipe is in a group of the help, and every group names flags that there are; so do the values that the shell completes.
func TestHelpGroups(t *testing.T) {
	t.Parallel()
	root := newRoot(&app{})
	run, _, err := root.Find([]string{"run"})
	require.NoError(t, err)
	grouped := map[string]bool{}
	for _, g := range append(slices.Clone(runGroups), connectionGroup(run.Flags())) {
		for _, name := range g.flags {
			require.NotNil(t, run.Flags().Lookup(name), name)
			require.False(t, grouped[name], "%s is in two groups", name)
			grouped[name] = true
		}
	}
	run.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		require.True(t, grouped[f.Name] || f.Name == "help", "%s is in no group", f.Name)
	})
	known := settingNames(root)
	for name := range flagValues() {
		require.Contains(t, known, name)
	}
	for _, name := range fileFlags {
		require.True(t, name == "config" || slices.Contains(known, name), name)
	}
}

// A configuration file from Windows is read like any other: with a byte order mark, and in UTF-16.
func TestConfigFilesFromWindows(t *testing.T) {
	t.Parallel()
	wide := []byte{0xFF, 0xFE}
	for _, b := range []byte("lanes: 4\r\n") {
		wide = append(wide, b, 0)
	}
	for _, text := range [][]byte{[]byte("\xEF\xBB\xBFlanes: 4\r\n"), wide} {
		keys, err := parseFile(text)
		require.NoError(t, err)
		require.Len(t, keys, 1)
		require.Equal(t, "lanes", keys[0].name)
		require.Equal(t, "4", keys[0].value.Value)
	}
}
