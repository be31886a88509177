package pipe

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
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
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix, append(flags, "--transaction-timeout", "60s", "--max-records", "500", "--until-end")...)
	p.Fill(int(total))
	running := map[string]*proc.Process{"a": p.Start("a"), "b": p.Start("b")}
	p.AwaitOwners(30*time.Second, "a", "b")
	var pauses []time.Duration
	open := 0
	for k := range kills {
		p.AwaitCommitted(int64(float64(total) * (float64(k) + p.Rand.Float64()) / float64(kills+1)))
		name, owned := pickVictim(p, running)
		running[name].Kill()
		require.Equal(t, -1, running[name].Code, "it died of the signal")
		if txn, err := p.Transaction(t.Context(), name); err == nil && txn.State == "Ongoing" {
			open++
		}
		before, err := p.Committed(t.Context())
		require.NoError(t, err)
		require.Less(t, proc.Sum(before), total, "the process died while records remained")
		running[name] = p.Start(name)
		pauses = append(pauses, p.AwaitProgress(owned, before))
	}
	for _, pr := range running {
		require.Zero(t, pr.Wait(time.Minute))
	}
	t.Logf("%d kills, %d of them in an open transaction; from restart to the next commit: %v", len(pauses), open, pauses)
	require.Len(t, pauses, kills)
	require.Less(t, slices.Max(pauses), 20*time.Second, "a restart waits for no timeout (60s)")
	p.RequireExactlyOnce(total, total)
}

// pickVictim chooses a running instance that has work left, and returns what it owns.
func pickVictim(p *proc.Pipe, running map[string]*proc.Process) (name string, owned []offsets.Partition) {
	p.T.Helper()
	p.Await("an instance has work left", 30*time.Second, func(ctx context.Context) (bool, error) {
		owners, err := p.Owners(ctx)
		if err != nil {
			return false, err
		}
		done, err := p.Committed(ctx)
		if err != nil {
			return false, err
		}
		ends, err := p.Listed(ctx, p.Adm.ListCommittedOffsets, p.From)
		if err != nil {
			return false, err
		}
		var names []string
		for name, owned := range owners {
			if running[name] != nil && running[name].Alive() && proc.Sum(done, owned...) < proc.Sum(ends, owned...) {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			return false, nil
		}
		slices.Sort(names)
		name = names[p.Rand.IntN(len(names))]
		owned = owners[name]
		return true, nil
	})
	return name, owned
}

// A process is killed in the middle of a transaction, shown by the brokers as Ongoing, with timeouts of a minute and
// nobody else in the group. Its successor ends that transaction and goes on within seconds.
func TestKillInOpenTransaction(t *testing.T) {
	const total = 300_000
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix, "--session-timeout", "60s", "--transaction-timeout", "60s",
		"--max-records", "5000", "--until-end")
	p.Fill(int(total))
	for open := 0; open < 3; { // what it had sent before it was stopped may still end a transaction
		a := p.Start("a")
		p.AwaitMore(10_000)
		p.FreezeInTransaction(a)
		frozen, err := p.Committed(t.Context())
		require.NoError(t, err)
		require.Less(t, proc.Sum(frozen), int64(total))
		a.Kill()
		txn, err := p.Transaction(t.Context(), "a")
		require.NoError(t, err)
		if txn.State == "Ongoing" {
			open++
		}
		b := p.Start("a")
		pause := p.AwaitProgress(nil, frozen)
		t.Logf("from restart to the next commit: %v", pause)
		require.Less(t, pause, 20*time.Second)
		b.Signal(syscall.SIGTERM)
		require.Zero(t, b.Wait(10*time.Second))
	}
	require.Zero(t, p.Start("a").Wait(time.Minute))
	p.RequireExactlyOnce(total, total)
}

// A process is killed in the middle of a transaction and never comes back: after the session timeout another instance
// takes its partitions, after the transaction timeout the broker aborts what it left open, and nothing is lost or doubled.
func TestKillWithoutRestart(t *testing.T) {
	const total = 200_000
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix, "--session-timeout", "6s", "--transaction-timeout", "8s",
		"--max-records", "1000", "--until-end")
	p.Fill(int(total))
	a, b := p.Start("a"), p.Start("b")
	owned := p.AwaitOwners(30*time.Second, "a", "b")["a"]
	p.FreezeInTransaction(a)
	a.Kill()
	before, err := p.Committed(t.Context())
	require.NoError(t, err)
	ends, err := p.Listed(t.Context(), p.Adm.ListEndOffsets, p.From)
	require.NoError(t, err)
	require.Less(t, proc.Sum(before, owned...), proc.Sum(ends, owned...), "the process died while records remained")
	p.AwaitOwners(30*time.Second, "b")
	t.Logf("%v after the session timeout began, the other one commits", p.AwaitProgress(owned, before))
	require.Zero(t, b.Wait(time.Minute))
	p.AwaitNothingOpen(30 * time.Second)
	p.RequireExactlyOnce(total, total)
}
