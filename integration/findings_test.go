package integration

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// What a session adds to franz-go's own GroupTransactSession: each test shows first, as its control, what the plain loop
// does under a fault, with figures (go test -v), and then what a session does under the same.

// plainLoop copies until the group's offsets stand at the input's ends, by the loop that franz-go's GroupTransactSession
// invites to write: poll, begin, produce, end. Nobody looks at the promises of Produce; an error of End is answered as
// its documentation says, by another End with TryAbort, and the loop goes on. It returns the errors of End.
func (b *sessionBench) plainLoop(opts ...kgo.Opt) (failures []error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), sessionDeadline)
	defer cancel()
	s := b.openPlain(opts...)
	defer s.Close()
	for ends := b.ends(b.in); ; {
		fetches := s.PollFetches(ctx)
		require.NoError(b.t, fetches.Err(), "the loop was told")
		require.NoError(b.t, s.Begin())
		fetches.EachRecord(func(r *kgo.Record) {
			s.Produce(ctx, &kgo.Record{Topic: b.out, Partition: r.Partition, Value: r.Value}, nil)
		})
		committed, err := s.End(ctx, kgo.TryCommit)
		switch {
		case err != nil:
			failures = append(failures, err)
			_, err := s.End(ctx, kgo.TryAbort)
			require.NoError(b.t, err)
		case committed && b.committed().Equal(ends):
			return failures
		}
	}
}

// openPlain returns franz-go's session, set up as its documentation says.
func (b *sessionBench) openPlain(opts ...kgo.Opt) *kgo.GroupTransactSession {
	b.t.Helper()
	s, err := kgo.NewGroupTransactSession(append([]kgo.Opt{
		kgo.SeedBrokers(b.kafka.Bootstrap()...), kgo.ConsumerGroup(b.group), kgo.ConsumeTopics(b.in), kgo.TransactionalID(b.group + "-plain"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}, opts...)...)
	require.NoError(b.t, err)
	return s
}

// verdict waits until no transaction is open on the output, and judges it.
func (b *sessionBench) verdict() checker.Report {
	b.t.Helper()
	b.eventually("no transaction is open on the output", func() bool { return b.stable(b.out).Equal(b.ends(b.out)) })
	return b.report()
}

// Finding 1: the client commits what it produced, and the offsets of all it polled, though a record could not be
// produced. Whoever does not look at every promise loses records without a word. A session aborts and says which record
// it is; when the topic's limit is raised, all of them are there.
func TestFindingCommitAfterFailedProduce(t *testing.T) {
	control := newSessionBench(t, smallMessages)
	control.write(300)
	control.writeBig(1, bigRecord)
	require.Empty(t, control.plainLoop())
	lost := control.verdict()
	t.Logf("plain loop: %s, and no error", lost)
	require.Positive(t, lost.Lost)
	require.Zero(t, lost.Doubled)

	b := newSessionBench(t, smallMessages)
	b.write(300)
	b.writeBig(1, bigRecord)
	s := b.open(b.config("a"))
	err := b.untilError(s)
	var rejected *eos.RejectedError
	require.ErrorAs(t, err, &rejected)
	t.Logf("session: %v", err)
	_, err = b.adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: new("1000000")}}, b.out)
	require.NoError(t, err)
	b.eventually("the topic takes the record", func() bool {
		batch, err := s.Poll(t.Context())
		require.NoError(t, err)
		return s.Commit(t.Context(), batch, b.copies(batch)) == nil && b.committed().Equal(b.ends(b.in))
	})
	b.requireOnce()
	t.Logf("session, the limit raised: %s", b.verdict())
}

// Finding 2: when the answers to a commit are lost until the client gives up, its documentation advises to end again
// with TryAbort. That succeeds, whatever became of the commit, and has the loop go back to what the client remembers:
// what was committed is processed again. A session discards the client and asks the broker.
func TestFindingTryAbortAfterUnknownEnd(t *testing.T) {
	control := newSessionBench(t)
	control.write(300)
	tap := wiretap.New()
	t.Cleanup(tap.Close)
	lostCommit(tap)
	failures := control.plainLoop(kgo.Dialer(tap.Dial), sessionFastRetries, kgo.RequestRetries(2))
	doubled := control.verdict()
	t.Logf("plain loop: %s, after %v", doubled, failures)
	require.Len(t, failures, 1)
	require.Positive(t, doubled.Doubled)
	require.Zero(t, doubled.Lost)

	b := newSessionBench(t)
	b.write(300)
	cfg, tap := b.tapped("a")
	cfg.Client = append(cfg.Client, kgo.RequestRetries(2))
	fault := lostCommit(tap)
	require.Empty(t, b.copy(b.open(cfg), 300))
	require.Equal(t, 3, fault.Hits())
	b.requireOnce()
	t.Logf("session: %s", b.verdict())
}

// lostCommit has the answers to the first commit lost, its two retries included.
func lostCommit(tap *wiretap.Tap) *wiretap.Fault {
	return tap.Add(wiretap.Rule{API: kmsg.EndTxn, Commit: new(true), Action: wiretap.DropReply, Count: 3})
}

// Finding 3: where retention has passed the committed offset, the client resets to some other one and says nothing,
// by its default (rewind by a minute) as well as with AtStart. A session stops, with the exact range that is gone.
func TestFindingSilentReset(t *testing.T) {
	for name, opts := range map[string][]kgo.Opt{
		"default": nil,
		"AtStart": {kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())},
	} {
		t.Run(name, func(t *testing.T) {
			control := newSessionBench(t)
			control.write(30)
			require.Empty(t, control.plainLoop(opts...))
			control.write(60)
			control.deleteRecords(1, 17)
			require.Empty(t, control.plainLoop(opts...))
			lost := control.verdict()
			t.Logf("plain loop: %s, and no error", lost)
			require.EqualValues(t, 7, lost.Lost)
		})
	}

	b := newSessionBench(t)
	b.write(30)
	s := b.open(b.config("a"))
	require.Empty(t, b.copy(s, 30))
	require.NoError(t, s.Close(t.Context()))
	b.write(60)
	b.deleteRecords(1, 17)
	s = b.open(b.config("a"))
	err := b.untilError(s)
	var lost *eos.LostOffsetsError
	require.ErrorAs(t, err, &lost)
	require.Equal(t, &eos.LostOffsetsError{Partition: offsets.Partition{Topic: b.in, Number: 1}, From: 10, To: 17}, lost)
	t.Logf("session: %v", err)
	require.NoError(t, s.Close(t.Context()))
	b.accept(lost)
	b.work(b.open(b.config("a")))
	b.requireOnce()
	t.Logf("session, the loss accepted: %s", b.verdict())
}
