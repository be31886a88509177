package session

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/eos/eostest"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// This file shows that real brokers and the session have nothing to be found by eostest: a watcher's findings fail these tests. That it
// finds what is wrong is shown on brokers that lie (eos/eostest).

// watched is the config of a session that is watched, with a tap between the watcher and the brokers.
func watched(b *bench.Bench, name string, watch func(eostest.DialFunc) *eostest.Watcher) (eos.Config, *wiretap.Tap) {
	cfg, tap := b.Tapped(name)
	cfg.Client = []kgo.Opt{watch(tap.Dial).Client(), bench.FastRetries}
	return cfg, tap
}

// A session whose requests and answers are lost at each step passes: what the watcher did not see answered is followed both ways.
func TestEostestSessionPasses(t *testing.T) {
	t.Parallel()
	for _, action := range []wiretap.Action{wiretap.DropReply, wiretap.DropRequest} {
		for _, api := range []kmsg.Key{kmsg.InitProducerID, kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.EndTxn} {
			t.Run(fmt.Sprint(action, " ", api.Name()), func(t *testing.T) {
				b := bench.New(t)
				var watch *eostest.Watcher
				cfg, tap := watched(b, "a", func(dial eostest.DialFunc) *eostest.Watcher {
					watch = eostest.Watch(t, eostest.Over(dial), eostest.SentTwice())
					return watch
				})
				lost := tap.Add(wiretap.Rule{API: api, Action: action, Skip: skipFirst(api), Count: 2})
				s := b.Open(cfg)
				for range 3 {
					b.Write(30)
					b.Copy(s, 30)
				}
				require.Equal(t, 2, lost.Hits())
				require.NoError(t, s.Close(t.Context()))
				b.RequireOnce()
				bench.RequireJudged(t, "", watch.Trace())
			})
		}
	}
}

// skipFirst leaves the first transaction alone, so that the fault happens midway; a producer id is asked for only at the start.
func skipFirst(api kmsg.Key) int {
	if api == kmsg.InitProducerID {
		return 0
	}
	return 1
}

// Sessions that join, leave and crash, and one that is fenced by another with its ids, pass as well: one watcher sees them all. Their
// answers come over many connections.
func TestEostestSessionsPass(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	tap := wiretap.New()
	t.Cleanup(tap.Close)
	watch := eostest.Watch(t, eostest.Over(tap.Dial))
	config := func(name string) eos.Config {
		cfg := b.Config(name)
		cfg.Client = []kgo.Opt{watch.Client(), bench.FastRetries}
		cfg.MaxRecords, cfg.SessionTimeout, cfg.TransactionTimeout = 20, 1500*time.Millisecond, 2*time.Second
		return cfg
	}
	first := b.Work(b.Open(config("a")))
	for round := range 3 {
		b.Write(300)
		s := b.Open(config(fmt.Sprint("guest-", round)))
		guest := b.Work(s)
		b.Works(guest)
		if round == 1 {
			guest.Cancel()
			guest.Kill()
			continue
		}
		guest.Stop(t)
		require.NoError(t, s.Close(t.Context()))
	}
	b.CaughtUp()
	second := b.Work(b.Open(config("a")))
	b.Write(300)
	select { // the older one, unless the newer one takes seconds to join the group
	case err := <-first.Failed:
		require.ErrorIs(t, err, eos.ErrFenced)
		defer second.Stop(t)
	case err := <-second.Failed:
		require.ErrorIs(t, err, eos.ErrFenced)
		defer first.Stop(t)
	case <-time.After(bench.Deadline):
		require.FailNow(t, "two sessions with the same ids go on")
	}
	b.RequireOnce()
	bench.RequireJudged(t, "", watch.Trace())
}
