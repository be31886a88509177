package session

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// A zombie: a session is frozen beyond its session timeout, another (of other ids) takes its partitions over and does its
// work, and then it thaws. Whatever it was about to commit is refused, nothing is doubled, and it goes on. It is frozen
// with a batch in hand, between its records and its offsets, and between its offsets and its commit; in the last case the
// other one waits until the broker has aborted the transaction, for its offsets may yet be committed.
func TestSessionZombie(t *testing.T) {
	for name, rule := range map[string]wiretap.Rule{
		"with a batch in hand": {API: kmsg.Produce, Action: wiretap.HoldRequest},
		"before its offsets":   {API: kmsg.TxnOffsetCommit, Action: wiretap.HoldRequest},
		"before its commit":    {API: kmsg.EndTxn, Action: wiretap.HoldRequest},
	} {
		t.Run(name, func(t *testing.T) {
			bench.Protocols(t, func(b *bench.Bench) { zombie(b, name, rule) })
		})
	}
}

func zombie(b *bench.Bench, name string, rule wiretap.Rule) {
	t := b.T
	t.Helper()
	b.Write(300)
	cfg, tap := b.Tapped("a")
	b.SessionTimeout(&cfg, 1500*time.Millisecond)
	if rule.API == kmsg.EndTxn {
		cfg.TransactionTimeout = 3 * time.Second // else its transaction is still open when it thaws
	}
	zombie := b.Open(cfg)
	batch := b.Poll(zombie)
	held := tap.Hold(rule)
	ended := make(chan error, 1)
	go func() { ended <- zombie.Commit(t.Context(), batch, b.Marked(batch)) }()
	b.Await(held.Reached(), name)
	tap.Freeze()
	held.Release()

	cfg = b.Config("b")
	cfg.SessionTimeout = 3 * time.Second // a heartbeat a second, which is how it hears of the others
	other := b.Work(b.Open(cfg))
	b.CaughtUp() // the other one has done all of it
	tap.Thaw()
	if err := <-ended; err != nil { // nil: its records are committed, though by the other
		var e *eos.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, eos.Aborted, e.Outcome, "%v", err)
		require.Equal(t, eos.PollAgain, e.Next, "%v", err)
	}
	b.RequireOnce()
	b.RequireNoneMarked("the zombie has committed")

	revived := b.Work(zombie)
	b.Write(300)
	b.RequireOnce()
	other.Stop(t)
	require.NoError(t, other.Session.Close(t.Context())) // all partitions are the revived one's now
	b.Write(300)
	b.RequireOnce()
	revived.Stop(t)
}
