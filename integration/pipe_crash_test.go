package integration

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Of two instances, one is killed (kill -9) at ten random moments and started again at once with its ids: nothing is
// lost, nothing doubled. Each restart goes on within seconds, though session and transaction timeout are a minute: it
// fences its predecessor instead of waiting for it.
func TestKillNine(t *testing.T) { killNine(t, 400_000, 10, "--session-timeout", "60s") }

// The same in the consumer protocol, where the group would keep a dead member for the brokers' session timeout.
func TestKillNineConsumerProtocol(t *testing.T) {
	killNine(t, 200_000, 5, "--group-protocol", "consumer")
}

func killNine(t *testing.T, total int64, kills int, flags ...string) {
	t.Helper()
	p := newPipe(t, kafkatest.Shared(t), sixToSix, append(flags, "--transaction-timeout", "60s", "--max-records", "500", "--until-end")...)
	p.fill(int(total))
	running := map[string]*process{"a": p.start("a"), "b": p.start("b")}
	p.awaitOwners(30*time.Second, "a", "b")
	var pauses []time.Duration
	open := 0
	for k := range kills {
		p.awaitCommitted(int64(float64(total) * (float64(k) + p.rng.Float64()) / float64(kills+1)))
		name, owned := p.pickVictim(running)
		running[name].kill()
		require.Equal(t, -1, running[name].code, "it died of the signal")
		if txn, err := p.transaction(t.Context(), name); err == nil && txn.State == "Ongoing" {
			open++
		}
		before, err := p.committed(t.Context())
		require.NoError(t, err)
		require.Less(t, sum(before), total, "the process died while records remained")
		running[name] = p.start(name)
		pauses = append(pauses, p.awaitProgress(owned, before))
	}
	for _, pr := range running {
		require.Zero(t, pr.wait(time.Minute))
	}
	t.Logf("%d kills, %d of them in an open transaction; from restart to the next commit: %v", len(pauses), open, pauses)
	require.Len(t, pauses, kills)
	require.Less(t, slices.Max(pauses), 20*time.Second, "a restart waits for no timeout (60s)")
	p.requireExactlyOnce(total, total)
}

// pickVictim chooses a running instance that has work left, and returns what it owns.
func (p *pipe) pickVictim(running map[string]*process) (name string, owned []offsets.Partition) {
	p.t.Helper()
	p.await("an instance has work left", 30*time.Second, func(ctx context.Context) (bool, error) {
		owners, err := p.owners(ctx)
		if err != nil {
			return false, err
		}
		done, err := p.committed(ctx)
		if err != nil {
			return false, err
		}
		ends, err := p.listed(ctx, p.adm.ListCommittedOffsets, p.from)
		if err != nil {
			return false, err
		}
		var names []string
		for name, owned := range owners {
			if running[name] != nil && running[name].alive() && sum(done, owned...) < sum(ends, owned...) {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			return false, nil
		}
		slices.Sort(names)
		name = names[p.rng.IntN(len(names))]
		owned = owners[name]
		return true, nil
	})
	return name, owned
}

// awaitProgress waits until more of these partitions is committed than before, and returns how long that took.
func (p *pipe) awaitProgress(owned []offsets.Partition, before offsets.Set) time.Duration {
	p.t.Helper()
	began := time.Now()
	p.await("commits go on", time.Minute, func(ctx context.Context) (bool, error) {
		now, err := p.committed(ctx)
		return err == nil && sum(now, owned...) > sum(before, owned...), err
	})
	return time.Since(began)
}

// A process is killed in the middle of a transaction, shown by the brokers as Ongoing, with timeouts of a minute and
// nobody else in the group. Its successor ends that transaction and goes on within seconds.
func TestKillInOpenTransaction(t *testing.T) {
	const total = 300_000
	p := newPipe(t, kafkatest.Shared(t), sixToSix, "--session-timeout", "60s", "--transaction-timeout", "60s",
		"--max-records", "5000", "--until-end")
	p.fill(int(total))
	for open := 0; open < 3; { // what it had sent before it was stopped may still end a transaction
		a := p.start("a")
		p.awaitMore(10_000)
		p.freezeInTransaction(a)
		frozen, err := p.committed(t.Context())
		require.NoError(t, err)
		require.Less(t, sum(frozen), int64(total))
		a.kill()
		txn, err := p.transaction(t.Context(), "a")
		require.NoError(t, err)
		if txn.State == "Ongoing" {
			open++
		}
		b := p.start("a")
		pause := p.awaitProgress(nil, frozen)
		t.Logf("from restart to the next commit: %v", pause)
		require.Less(t, pause, 20*time.Second)
		b.signal(syscall.SIGTERM)
		require.Zero(t, b.wait(10*time.Second))
	}
	require.Zero(t, p.start("a").wait(time.Minute))
	p.requireExactlyOnce(total, total)
}

// A process is killed in the middle of a transaction and never comes back: after the session timeout another instance
// takes its partitions, after the transaction timeout the broker aborts what it left open, and nothing is lost or doubled.
func TestKillWithoutRestart(t *testing.T) {
	const total = 200_000
	p := newPipe(t, kafkatest.Shared(t), sixToSix, "--session-timeout", "6s", "--transaction-timeout", "8s",
		"--max-records", "1000", "--until-end")
	p.fill(int(total))
	a, b := p.start("a"), p.start("b")
	owned := p.awaitOwners(30*time.Second, "a", "b")["a"]
	p.freezeInTransaction(a)
	a.kill()
	before, err := p.committed(t.Context())
	require.NoError(t, err)
	ends, err := p.listed(t.Context(), p.adm.ListEndOffsets, p.from)
	require.NoError(t, err)
	require.Less(t, sum(before, owned...), sum(ends, owned...), "the process died while records remained")
	p.awaitOwners(30*time.Second, "b")
	t.Logf("%v after the session timeout began, the other one commits", p.awaitProgress(owned, before))
	require.Zero(t, b.wait(time.Minute))
	p.awaitNothingOpen(30 * time.Second)
	p.requireExactlyOnce(total, total)
}
