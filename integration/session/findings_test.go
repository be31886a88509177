package session

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// What a session adds to franz-go's own GroupTransactSession: each test shows first, as its control, what the plain loop
// does under a fault, with figures (go test -v), and then what a session does under the same.

// plainLoop copies until the group's offsets stand at the input's ends, by the loop that franz-go's GroupTransactSession
// invites to write: poll, begin, produce, end. Nobody looks at the promises of Produce; an error of End is answered as
// its documentation says, by another End with TryAbort, and the loop goes on. It returns the errors of End.
func plainLoop(b *bench.Bench, opts ...kgo.Opt) (failures []error) {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.T.Context(), bench.Deadline)
	defer cancel()
	s := openPlain(b, opts...)
	defer s.Close()
	for ends := b.Ends(b.In); ; {
		fetches := s.PollFetches(ctx)
		require.NoError(b.T, fetches.Err(), "the loop was told")
		require.NoError(b.T, s.Begin())
		fetches.EachRecord(func(r *kgo.Record) {
			s.Produce(ctx, &kgo.Record{Topic: b.Out, Partition: r.Partition, Value: r.Value}, nil)
		})
		committed, err := s.End(ctx, kgo.TryCommit)
		switch {
		case err != nil:
			failures = append(failures, err)
			_, err := s.End(ctx, kgo.TryAbort)
			require.NoError(b.T, err)
		case committed && b.Committed().Equal(ends):
			return failures
		}
	}
}

// openPlain returns franz-go's session, set up as its documentation says.
func openPlain(b *bench.Bench, opts ...kgo.Opt) *kgo.GroupTransactSession {
	b.T.Helper()
	s, err := kgo.NewGroupTransactSession(append([]kgo.Opt{
		kgo.SeedBrokers(b.Cluster.Bootstrap()...), kgo.ConsumerGroup(b.Group), kgo.ConsumeTopics(b.In), kgo.TransactionalID(b.Group + "-plain"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}, opts...)...)
	require.NoError(b.T, err)
	return s
}

// Finding 1: the client commits what it produced, and the offsets of all it polled, though a record could not be
// produced. Whoever does not look at every promise loses records without a word. A session aborts and says which record
// it is; when the topic's limit is raised, all of them are there.
func TestFindingCommitAfterFailedProduce(t *testing.T) {
	control := bench.New(t, bench.SmallMessages)
	control.Write(300)
	control.WriteBig(1, bench.BigRecord)
	require.Empty(t, plainLoop(control))
	lost := control.Verdict()
	t.Logf("plain loop: %s, and no error", lost)
	require.Positive(t, lost.Lost)
	require.Zero(t, lost.Doubled)

	b := bench.New(t, bench.SmallMessages)
	b.Write(300)
	b.WriteBig(1, bench.BigRecord)
	s := b.Open(b.Config("a"))
	err := b.UntilError(s)
	var rejected *eos.RejectedError
	require.ErrorAs(t, err, &rejected)
	t.Logf("session: %v", err)
	_, err = b.Adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: new("1000000")}}, b.Out)
	require.NoError(t, err)
	b.Eventually("the topic takes the record", func() bool {
		batch, err := s.Poll(t.Context())
		require.NoError(t, err)
		return s.Commit(t.Context(), batch, b.Copies(batch)) == nil && b.Committed().Equal(b.Ends(b.In))
	})
	b.RequireOnce()
	t.Logf("session, the limit raised: %s", b.Verdict())
}

// Finding 2: when the answers to a commit are lost until the client gives up, its documentation advises to end again
// with TryAbort. That succeeds, whatever became of the commit, and has the loop go back to what the client remembers:
// what was committed is processed again. A session discards the client and asks the broker.
func TestFindingTryAbortAfterUnknownEnd(t *testing.T) {
	control := bench.New(t)
	control.Write(300)
	tap := wiretap.New()
	t.Cleanup(tap.Close)
	lostCommit(tap)
	failures := plainLoop(control, kgo.Dialer(tap.Dial), bench.FastRetries, kgo.RequestRetries(2))
	doubled := control.Verdict()
	t.Logf("plain loop: %s, after %v", doubled, failures)
	require.Len(t, failures, 1)
	require.Positive(t, doubled.Doubled)
	require.Zero(t, doubled.Lost)

	b := bench.New(t)
	b.Write(300)
	cfg, tap := b.Tapped("a")
	cfg.Client = append(cfg.Client, kgo.RequestRetries(2))
	fault := lostCommit(tap)
	require.Empty(t, b.Copy(b.Open(cfg), 300))
	require.Equal(t, 3, fault.Hits())
	b.RequireOnce()
	t.Logf("session: %s", b.Verdict())
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
			control := bench.New(t)
			control.Write(30)
			require.Empty(t, plainLoop(control, opts...))
			control.Write(60)
			deleteRecords(control, 1, 17)
			require.Empty(t, plainLoop(control, opts...))
			lost := control.Verdict()
			t.Logf("plain loop: %s, and no error", lost)
			require.EqualValues(t, 7, lost.Lost)
		})
	}

	b := bench.New(t)
	b.Write(30)
	s := b.Open(b.Config("a"))
	require.Empty(t, b.Copy(s, 30))
	require.NoError(t, s.Close(t.Context()))
	b.Write(60)
	deleteRecords(b, 1, 17)
	s = b.Open(b.Config("a"))
	err := b.UntilError(s)
	var lost *eos.LostOffsetsError
	require.ErrorAs(t, err, &lost)
	require.Equal(t, &eos.LostOffsetsError{Partition: offsets.Partition{Topic: b.In, Number: 1}, From: 10, To: 17}, lost)
	t.Logf("session: %v", err)
	require.NoError(t, s.Close(t.Context()))
	accept(b, lost)
	b.Work(b.Open(b.Config("a")))
	b.RequireOnce()
	t.Logf("session, the loss accepted: %s", b.Verdict())
}
