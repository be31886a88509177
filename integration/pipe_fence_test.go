package integration

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
			p := newPipe(t, kafkatest.Shared(t), sixToSix, "--session-timeout", "10s", "--transaction-timeout", "10s", "--max-records", "1000")
			stop := p.feed(20_000)
			first := p.start("a")
			p.awaitMore(c.delay)
			second := p.start("a")
			first.doomed, second.doomed = true, true
			loser, winner := first, second
			p.await("one of them stops", 30*time.Second, func(context.Context) (bool, error) {
				if !second.alive() {
					loser, winner = second, first
				}
				return !loser.alive(), nil
			})
			loser.requireSaid(3, "fenced")
			p.awaitMore(40_000)
			total := stop()
			p.awaitAll()
			require.True(t, winner.alive())
			winner.drain(syscall.SIGTERM)
			require.Empty(t, winner.said())
			txn, err := p.transaction(t.Context(), "a")
			require.NoError(t, err)
			r := winner.result()
			transactions := r.Transactions + r.Aborted
			if loser.stdout.Len() > 0 { // it may have committed nothing
				r := loser.result()
				transactions += r.Transactions + r.Aborted
			}
			t.Logf("%d transactions, producer epoch %d", transactions, txn.ProducerEpoch)
			require.LessOrEqual(t, int64(txn.ProducerEpoch), transactions+10, "a war of fences")
			p.requireExactlyOnce(total, total)
		})
	}
}
