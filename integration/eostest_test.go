package integration

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/eos/eostest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/trace"
	"github.com/eos-pipe/eos-pipe/validator"
)

// This file shows that real brokers and the session have nothing to be found by eostest: a watcher's findings fail these tests. That it
// finds what is wrong is shown on brokers that lie (eos/eostest).

// watched is the config of a session that is watched, with a tap between the watcher and the brokers.
func (b *sessionBench) watched(name string, watch func(eostest.DialFunc) *eostest.Watcher) (eos.Config, *wiretap.Tap) {
	cfg, tap := b.tapped(name)
	cfg.Client = []kgo.Opt{watch(tap.Dial).Client(), sessionFastRetries}
	return cfg, tap
}

// A session whose requests and answers are lost at each step passes: what the watcher did not see answered is followed both ways.
func TestEostestSessionPasses(t *testing.T) {
	t.Parallel()
	for _, action := range []wiretap.Action{wiretap.DropReply, wiretap.DropRequest} {
		for _, api := range []kmsg.Key{kmsg.InitProducerID, kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.EndTxn} {
			t.Run(fmt.Sprint(action, " ", api.Name()), func(t *testing.T) {
				b := newSessionBench(t)
				var watch *eostest.Watcher
				cfg, tap := b.watched("a", func(dial eostest.DialFunc) *eostest.Watcher {
					watch = eostest.Watch(t, eostest.Over(dial), eostest.SentTwice())
					return watch
				})
				lost := tap.Add(wiretap.Rule{API: api, Action: action, Skip: skipFirst(api), Count: 2})
				s := b.open(cfg)
				for range 3 {
					b.write(30)
					b.copy(s, 30)
				}
				require.Equal(t, 2, lost.Hits())
				require.NoError(t, s.Close(t.Context()))
				b.requireOnce()
				requireJudged(t, "", watch.Trace())
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
	b := newSessionBench(t)
	tap := wiretap.New()
	t.Cleanup(tap.Close)
	watch := eostest.Watch(t, eostest.Over(tap.Dial))
	config := func(name string) eos.Config {
		cfg := b.config(name)
		cfg.Client = []kgo.Opt{watch.Client(), sessionFastRetries}
		cfg.MaxRecords, cfg.SessionTimeout, cfg.TransactionTimeout = 20, 1500*time.Millisecond, 2*time.Second
		return cfg
	}
	first := b.work(b.open(config("a")))
	for round := range 3 {
		b.write(300)
		s := b.open(config(fmt.Sprint("guest-", round)))
		guest := b.work(s)
		b.works(guest)
		if round == 1 {
			guest.cancel()
			guest.kill()
			continue
		}
		guest.stop(t)
		require.NoError(t, s.Close(t.Context()))
	}
	b.caughtUp()
	second := b.work(b.open(config("a")))
	b.write(300)
	select { // the older one, unless the newer one takes seconds to join the group
	case err := <-first.failed:
		require.ErrorIs(t, err, eos.ErrFenced)
		defer second.stop(t)
	case err := <-second.failed:
		require.ErrorIs(t, err, eos.ErrFenced)
		defer first.stop(t)
	case <-time.After(sessionDeadline):
		require.FailNow(t, "two sessions with the same ids go on")
	}
	b.requireOnce()
	requireJudged(t, "", watch.Trace())
}

// requireJudged requires that nothing is found in the trace by the rules of that version, and that a fault anywhere in it would have been: a gap in a sequence, and a
// commit or a batch of an epoch that is past. On a busy machine so many answers may be missing at once that a trace cannot be
// followed to its end; then a fault need not be found in it.
func requireJudged(t *testing.T, kafka string, events []trace.Event) {
	t.Helper()
	judge := func(events []trace.Event) (findings []validator.Finding) {
		v, err := validator.New(validator.Config{Kafka: kafka, IgnoresContents: true})
		require.NoError(t, err)
		for _, e := range events {
			findings = append(findings, v.Observe(e)...)
		}
		return findings
	}
	for _, f := range judge(events) {
		require.Equal(t, validator.Undecided, f.Class, "%v", f)
		t.Logf("more answers were missing at once than can be followed; nothing is planted: %v", f)
		return
	}
	planted := 0
	for i := len(events) - 1; i >= 0; i -= max(5, len(events)/4) { // some of them, from the end, where it is hardest
		for ; i >= 0; i-- {
			if changed := plant(events, i); changed != nil {
				require.NotEmpty(t, judge(changed), "a fault is not found in event %d: %s", i, changed[i])
				planted++
				break
			}
		}
	}
	require.Greater(t, planted, 2)
}

// plant returns the events with a fault in that one; nil if it is not of a kind that can have one.
func plant(events []trace.Event, at int) []trace.Event {
	changed := slices.Clone(events)
	switch e := events[at].(type) {
	case trace.Produce:
		if e.Code != trace.None {
			return nil
		}
		e.BaseSequence++
		changed[at] = e
		return changed
	case trace.EndTxn:
		if e.Code != trace.None || e.Producer.Epoch < 2 {
			return nil
		}
		e.Producer.Epoch -= 2
		changed[at] = e
		return changed
	}
	return nil
}
