package session

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// This file has members come back after their group has gone on without them: see eos/membership.go.

// A session whose JoinGroup is held up is given up by the group, and another one processes all of its partitions. The JoinGroup is answered
// with UNKNOWN_MEMBER_ID then: the client joins again as a new member, and keeps what it had fetched before. A batch of it is not committed
// as that new member, though the group's coordinator would take its offsets.
func TestSessionGivenUpByTheGroup(t *testing.T) {
	b := bench.New(t)
	missed := sessionComesBack(b, 3*time.Second, func(*bench.Worker) {
		b.Eventually("the group has given the first up", func() bool { return memberOf(b, "a") == "" })
		b.CaughtUp()
	})
	require.False(t, missed)
}

// The same where the JoinGroup arrives before the group gives the member up, but after a generation has begun without it, which a static
// member survives with its member id. (On a machine so slow that the group has given it up by then, this shows the former again, and says so.)
func TestSessionMissesAGeneration(t *testing.T) {
	b := bench.New(t)
	if missed := sessionComesBack(b, missesFor, b.Works); !missed {
		t.Log("not shown: the group had given the member up by the time that it came back")
	}
}

// missesFor is the time in which a group waits for a member to join, goes on without it, and then waits as long for it to fetch its part of the
// assignment before it gives it up: in the latter the other member must have done its work.
const missesFor = 12 * time.Second

// Finding 5: the plain loop under the same: it commits what the other one has committed already. (Where the machine is so slow that the
// group has given it up by then, nothing is shown, and the log says so.)
func TestFindingMissedGeneration(t *testing.T) {
	b := bench.New(t)
	var plain *kgo.GroupTransactSession
	copied := func(ctx context.Context, fetches kgo.Fetches) error {
		require.NoError(t, plain.Begin())
		fetches.EachRecord(func(r *kgo.Record) {
			plain.Produce(ctx, &kgo.Record{Topic: b.Out, Partition: r.Partition, Value: r.Value}, nil)
		})
		_, err := plain.End(ctx, kgo.TryCommit)
		plain.AllowRebalance()
		return err
	}
	var out kgo.Fetches
	second, missed, err := comesBack(b, missesFor, b.Works, returning{
		open: func(cfg eos.Config) {
			var err error
			plain, err = kgo.NewGroupTransactSession(append([]kgo.Opt{
				kgo.SeedBrokers(cfg.BootstrapServers...), kgo.ConsumerGroup(cfg.Group), kgo.ConsumeTopics(b.In), kgo.TransactionalID(cfg.TransactionalID),
				kgo.InstanceID(cfg.TransactionalID), kgo.SessionTimeout(10 * time.Minute), kgo.RebalanceTimeout(cfg.SessionTimeout),
				kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.BlockRebalanceOnPoll(),
			}, cfg.Client...)...)
			require.NoError(t, err)
			t.Cleanup(plain.CloseAllowingRebalance)
			for !b.Committed().Equal(b.Ends(b.In)) {
				require.NoError(t, copied(t.Context(), plain.PollFetches(t.Context())))
			}
		},
		poll: func(ctx context.Context) { // of each partition, whichever the other one gets
			for out.NumRecords() < 30 && ctx.Err() == nil {
				out = append(out, plain.PollFetches(ctx)...)
			}
		},
		commit: func(ctx context.Context) error { return copied(ctx, out) },
	})
	if !missed {
		t.Logf("not shown: the group had given the member up by the time that it came back: %v", err)
		return
	}
	require.NoError(t, err, "the loop is told")
	second.Stop(t)
	report := b.Verdict()
	t.Logf("the plain loop: %d records are doubled", report.Doubled)
	require.Positive(t, report.Doubled)
}

// returning is a member that comes back.
type returning struct {
	open   func(cfg eos.Config) // and copies what is there
	poll   func(ctx context.Context)
	commit func(ctx context.Context) error
}

// sessionComesBack has a session come back. It is told, and goes on, and everything is over once.
func sessionComesBack(b *bench.Bench, sessionTimeout time.Duration, wentOn func(second *bench.Worker)) (missed bool) {
	b.T.Helper()
	var s *eos.Session
	var batch eos.Batch
	second, missed, err := comesBack(b, sessionTimeout, wentOn, returning{
		open: func(cfg eos.Config) {
			s = b.Open(cfg)
			b.Copy(s, 30)
		},
		poll:   func(ctx context.Context) { batch, _ = s.Poll(ctx) }, // what fails here fails again in Commit
		commit: func(ctx context.Context) error { return s.Commit(ctx, batch, b.Copies(batch)) },
	})
	require.Error(b.T, err)
	b.T.Log(err)
	require.Equal(b.T, eos.PollAgain, bench.Next(err))
	first := b.Work(s)
	b.Write(300)
	b.CaughtUp()
	first.Stop(b.T)
	second.Stop(b.T)
	b.RequireOnce()
	return missed
}

// comesBack has two members work. The JoinGroup of the first is held up while the second joins, until the group has gone on without the
// first; then that has a batch from before, and commits it: the error is what came of that. The second has processed some of the same by then. The
// first has missed a generation if it is still the same member then; otherwise the group had given it up.
func comesBack(b *bench.Bench, sessionTimeout time.Duration, wentOn func(second *bench.Worker), first returning) (second *bench.Worker, missed bool, err error) {
	t := b.T
	t.Helper()
	var synced, heartbeats atomic.Int32 // answers to the first
	tap := bench.Tap(t, wiretap.Observe(func(e wiretap.Event) {
		switch {
		case e.Phase != wiretap.PhaseReply:
		case e.API == kmsg.SyncGroup:
			synced.Add(1)
		case e.API == kmsg.Heartbeat:
			heartbeats.Add(1)
		}
	}))
	cfg := b.Config("a")
	cfg.Client = []kgo.Opt{kgo.Dialer(tap.Dial), bench.FastRetries}
	cfg.SessionTimeout, cfg.TransactionTimeout = sessionTimeout, 3*time.Second
	b.Write(30)
	first.open(cfg)
	held := tap.Add(wiretap.Rule{API: kmsg.JoinGroup, Action: wiretap.HoldRequest})
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		first.poll(t.Context())
	}()
	before := heartbeats.Load() // behind a heartbeat the most time is left until the next one, which says that it is to join again
	b.Eventually("a heartbeat", func() bool { return heartbeats.Load() > before })
	other := b.Config("b")
	other.SessionTimeout, other.TransactionTimeout = cfg.SessionTimeout, cfg.TransactionTimeout
	member := memberOf(b, "a")
	second = b.Work(b.Open(other)) // the group waits for the first, and then goes on without it
	b.Await(held.Reached(), "the first wants to join again")
	b.Write(30)
	b.Await(polled, "the first has a batch")
	wentOn(second)
	was := synced.Load()
	held.Release()
	b.Eventually("the first has joined again", func() bool { return synced.Load() > was })
	missed = memberOf(b, "a") == member
	return second, missed, first.commit(t.Context())
}

// memberOf returns the id that an instance has as a member of the group; none if it is not one.
func memberOf(b *bench.Bench, instance string) string {
	b.T.Helper()
	groups, err := b.Adm.DescribeGroups(b.T.Context(), b.Group)
	require.NoError(b.T, err)
	for _, m := range groups[b.Group].Members {
		if m.InstanceID != nil && *m.InstanceID == b.Config(instance).TransactionalID {
			return m.MemberID
		}
	}
	return ""
}
