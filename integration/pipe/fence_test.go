package pipe

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// Two processes run with the same transactional id: one stops with exit code 3, an error and a hint; the other one goes
// on undisturbed. That they do not fence each other again and again shows in the producer epoch: it grows by one for
// each transaction (KIP-890) and each fence.
func TestSameTransactionalID(t *testing.T) {
	for _, c := range []struct {
		name  string
		delay int64 // records that the first commits before the second starts
	}{{"one after the other", 20_000}, {"at once", 0}} {
		t.Run(c.name, func(t *testing.T) {
			p := proc.New(t, kafkatest.Shared(t), proc.SixToSix, "--session-timeout", "10s", "--transaction-timeout", "10s", "--max-records", "1000")
			stop := p.Feed(20_000)
			first := p.Start("a")
			p.AwaitMore(c.delay)
			second := p.Start("a")
			first.Doomed, second.Doomed = true, true
			loser, winner := first, second
			p.Await("one of them stops", 30*time.Second, func(context.Context) (bool, error) {
				if !second.Alive() {
					loser, winner = second, first
				}
				return !loser.Alive(), nil
			})
			loser.RequireSaid(3, "fenced")
			p.AwaitMore(40_000)
			total := stop()
			p.AwaitAll()
			require.True(t, winner.Alive())
			winner.Drain(syscall.SIGTERM)
			require.Empty(t, winner.Said())
			txn, err := p.Transaction(t.Context(), "a")
			require.NoError(t, err)
			r := winner.Result()
			transactions := r.Transactions + r.Aborted
			if loser.Stdout.Len() > 0 { // it may have committed nothing
				r := loser.Result()
				transactions += r.Transactions + r.Aborted
			}
			t.Logf("%d transactions, producer epoch %d", transactions, txn.ProducerEpoch)
			require.LessOrEqual(t, int64(txn.ProducerEpoch), transactions+10, "a war of fences")
			p.RequireExactlyOnce(total, total)
		})
	}
}
