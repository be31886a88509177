package fault

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// This file is about sessions whose network is bad. Lost requests and answers are in integration/session
// (replies_test.go, endtxn_test.go), those that come in a later transaction in network_late_test.go.

// everyAPI are the requests that a session makes in its work.
var everyAPI = []kmsg.Key{
	kmsg.Metadata, kmsg.FindCoordinator, kmsg.InitProducerID, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.OffsetFetch,
	kmsg.Fetch, kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.EndTxn, kmsg.Heartbeat,
}

// copyWithin copies until n input records are committed, and returns how long that took. It goes on wherever the session says so, and
// for that long at most.
func copyWithin(b *bench.Bench, s *eos.Session, n int, within time.Duration) time.Duration {
	b.T.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(b.T.Context(), within)
	defer cancel()
	for n > 0 {
		batch, err := s.Poll(ctx)
		if err == nil {
			if err = s.Commit(ctx, batch, b.Copies(batch)); err == nil {
				n -= len(batch.Records)
				continue
			}
		}
		require.NoError(b.T, ctx.Err(), "not within %v; %d records are left; the last error: %v", within, n, err)
		require.Equal(b.T, eos.PollAgain, bench.Next(err), "%v", err)
	}
	require.Zero(b.T, n, "more was committed than was written")
	return time.Since(began)
}

// Connections end in the middle of a request and in the middle of an answer, of every kind: nothing is lost, nothing is doubled, and the
// session goes on.
func TestNetworkCutFrames(t *testing.T) {
	t.Parallel()
	for _, action := range []wiretap.Action{wiretap.CutRequest, wiretap.CutReply} {
		for _, count := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s %d", action, count), func(t *testing.T) {
				t.Parallel()
				b := bench.New(t)
				cfg, tap := b.Tapped("a")
				cfg.MaxRecords, cfg.SessionTimeout = 50, 1500*time.Millisecond // heartbeats every 500 ms
				var faults []*wiretap.Fault
				for _, api := range everyAPI {
					faults = append(faults, tap.Add(wiretap.Rule{API: api, Action: action, Count: count}))
				}
				s := b.Open(cfg)
				w := b.Work(s)
				for _, f := range faults {
					b.Eventually("fault "+f.String(), func() bool { b.Write(3); return f.Hits() == count })
				}
				b.Write(30)
				b.CaughtUp()
				w.Stop(t)
				b.RequireOnce()
			})
		}
	}
}

// All connections are cut, again and again, wherever the session stands: nothing is lost, nothing is doubled, and between any two cuts it
// commits.
func TestNetworkFlapping(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	cfg, tap := b.Tapped("a")
	cfg.MaxRecords = 20
	w := b.Work(b.Open(cfg))
	const cuts = 20
	for range cuts {
		b.Works(w)
		b.Write(60)
		tap.Cut()
		tap.Restore()
	}
	b.CaughtUp()
	failures := w.Stop(t)
	b.RequireOnce()
	t.Logf("%d cuts, %d commits, %d of them failed", cuts, w.Commits.Load(), len(failures))
}

// A connection goes half-open: nothing comes from it any more, or nothing goes through at all, and nobody is told. The session goes on
// within a bounded time, which the client's time-outs make, and nothing is lost or doubled.
func TestNetworkHalfOpen(t *testing.T) {
	t.Parallel()
	for _, action := range []wiretap.Action{wiretap.HangReply, wiretap.HangRequest} {
		for _, api := range []kmsg.Key{kmsg.Produce, kmsg.EndTxn} {
			t.Run(fmt.Sprint(action, " ", api.Name()), func(t *testing.T) {
				t.Parallel()
				b := bench.New(t)
				cfg, tap := b.Tapped("a")
				cfg.SessionTimeout = 30 * time.Second
				b.Write(30)
				s := b.Open(cfg)
				b.Copy(s, 30)
				fault := tap.Add(wiretap.Rule{API: api, Action: action})
				b.Write(30)
				took := copyWithin(b, s, 30, 55*time.Second) // less than the transaction timeout of a minute
				require.Equal(t, 1, fault.Hits())
				b.RequireOnce()
				t.Logf("it went on after %v", took.Round(time.Millisecond))
			})
		}
	}
}

// Every answer comes late, by 200 to 500 ms, and every request by 50: slower, and the same result.
func TestNetworkLatency(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	cfg, tap := b.Tapped("a")
	cfg.MaxRecords = 50
	rng := bench.Seeded(t)
	var faults []*wiretap.Fault
	for range 3 { // of three delays, each answer has one, two or all
		delay := 100*time.Millisecond + time.Duration(rng.IntN(70))*time.Millisecond
		faults = append(faults, tap.Add(wiretap.Rule{API: wiretap.AnyAPI, Action: wiretap.DelayReply, Delay: delay, Count: wiretap.Always}))
	}
	faults = append(faults, tap.Add(wiretap.Rule{API: wiretap.AnyAPI, Action: wiretap.DelayRequest, Delay: 50 * time.Millisecond, Count: wiretap.Always}))
	b.Write(150)
	s := b.Open(cfg)
	took := copyWithin(b, s, 150, 2*time.Minute)
	for _, f := range faults {
		require.Greater(t, f.Hits(), 10, "%v", f)
	}
	b.RequireOnce()
	t.Logf("150 records took %v", took.Round(time.Millisecond))
}

// A bit of a fetched record batch flips on the way: the checksum shows it, the batch is fetched again, and what is committed is what was
// written. A bit of a produced batch flips: the broker refuses it, and it is sent again.
func TestNetworkFlippedBits(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	cfg, tap := b.Tapped("a")
	b.Write(300)
	fetched := tap.Add(wiretap.Rule{API: kmsg.Fetch, Topic: b.In, Action: wiretap.FlipReply, Count: 3})
	produced := tap.Add(wiretap.Rule{API: kmsg.Produce, Topic: b.Out, Action: wiretap.FlipRequest, Count: 3})
	s := b.Open(cfg)
	copyWithin(b, s, 300, 50*time.Second)
	for range 5 {
		b.Write(30)
		copyWithin(b, s, 30, 50*time.Second)
	}
	require.Equal(t, 3, fetched.Hits())
	require.Equal(t, 3, produced.Hits())
	b.RequireOnce()
}

// The brokers say for a while that topics are unknown, or that they do not lead partitions, though they do as they are asked: the session
// goes on, and nothing is lost or doubled.
func TestNetworkMetadataLies(t *testing.T) {
	t.Parallel()
	for _, lie := range []struct {
		api  kmsg.Key
		code *kerr.Error
	}{
		{kmsg.Metadata, kerr.UnknownTopicOrPartition},
		{kmsg.Metadata, kerr.LeaderNotAvailable},
		{kmsg.Produce, kerr.UnknownTopicOrPartition},
		{kmsg.Produce, kerr.NotLeaderForPartition},
		{kmsg.Fetch, kerr.UnknownTopicOrPartition},
		{kmsg.Fetch, kerr.NotLeaderForPartition},
	} {
		t.Run(lie.api.Name()+" "+lie.code.Message, func(t *testing.T) {
			t.Parallel()
			b := bench.New(t)
			cfg, tap := b.Tapped("a")
			cfg.Client = append(cfg.Client, kgo.MetadataMaxAge(100*time.Millisecond))
			w := b.Work(b.Open(cfg))
			b.Write(30)
			b.CaughtUp()
			fault := tap.Add(wiretap.Rule{API: lie.api, Action: wiretap.RewriteError, ErrorCode: lie.code.Code, Count: 5})
			b.Eventually("the lies are told", func() bool { b.Write(3); return fault.Hits() == 5 })
			b.Write(30)
			b.CaughtUp()
			w.Stop(t)
			b.RequireOnce()
		})
	}
}
