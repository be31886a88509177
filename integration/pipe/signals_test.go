package pipe

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// SIGTERM and SIGINT in the middle of the work, while records keep coming: the process exits with 0 within 10 s, leaves
// nothing open, has committed what is in the output and no more, and has left the group, so that another takes over long
// before the session timeout. The next start goes on from there.
func TestSigterm(t *testing.T) {
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix, "--session-timeout", "60s", "--max-records", "1000", "--lanes", "2")
	stop := p.Feed(20_000)
	a, b := p.Start("a"), p.Start("b")
	p.AwaitOwners(30*time.Second, "a", "b")
	p.AwaitMore(20_000)
	took := a.Drain(syscall.SIGTERM)
	began := time.Now()
	p.AwaitOwners(20*time.Second, "b")
	t.Logf("SIGTERM took %v; %v later the other one has all partitions", took, time.Since(began))
	p.AwaitMore(10_000)
	t.Logf("SIGINT took %v", b.Drain(syscall.SIGINT))
	report := p.RequireConsistent()
	total := stop()
	require.Positive(t, report.In)
	require.Less(t, report.In, total, "it was in the middle of the work")
	require.Zero(t, p.Start("a", "--until-end").Wait(time.Minute))
	p.RequireExactlyOnce(total, total)
}

// The answers to its produces do not come, so a process cannot finish its transaction, and a first SIGTERM is not enough. At the
// second one it ends at once and says that it aborted; nothing stays open beyond the transaction timeout, and the next start goes
// on where the brokers stand.
func TestSecondSigterm(t *testing.T) {
	t.Parallel()
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix, "--transaction-timeout", "10s", "--max-records", "1000")
	p.Fill(10_000)
	tap := bench.Tap(t)
	held := tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.HoldReply, Count: wiretap.Always})
	a := p.StartBehind(p.Proxied(tap.Dial), "a")
	<-held.Reached()
	logs := func(text string) func(context.Context) (bool, error) {
		return func(context.Context) (bool, error) { return strings.Contains(a.Stderr(), text), nil }
	}
	a.Signal(syscall.SIGTERM)
	p.Await("it drains", 20*time.Second, logs("draining"))
	drains := time.Now()
	p.Await("another signal is another wish", 20*time.Second, func(context.Context) (bool, error) { return time.Since(drains) > time.Second, nil })
	require.True(t, a.Alive(), "it has something to finish")
	a.Doomed = true
	a.Signal(syscall.SIGTERM)
	require.Equal(t, 1, a.Wait(20*time.Second), "%q", a.Said())
	require.Contains(t, a.Stderr(), "aborting what is open")
	held.Release()
	p.AwaitNothingOpen(30 * time.Second)
	require.Zero(t, p.Start("a", "--until-end").Wait(time.Minute))
	p.RequireExactlyOnce(10_000, 10_000)
}

// A process is stopped (SIGSTOP) in the middle of a transaction until its session and its transaction have timed out and
// another instance has taken its partitions and processed what it was at. When it continues (SIGCONT), what it still
// sends comes to nothing; it finds out, joins again, and works on. Nothing is lost or doubled.
func TestSigstop(t *testing.T) {
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix, "--session-timeout", "6s", "--transaction-timeout", "6s", "--max-records", "1000")
	stop := p.Feed(20_000)
	a, b := p.Start("a"), p.Start("b")
	p.AwaitOwners(30*time.Second, "a", "b")
	p.AwaitMore(20_000)
	p.FreezeInTransaction(a)
	owners, err := p.Owners(t.Context())
	require.NoError(t, err)
	owned := owners["a"]
	require.NotEmpty(t, owned)
	frozen, err := p.Committed(t.Context())
	require.NoError(t, err)
	p.AwaitOwners(30*time.Second, "b") // the zombie has lost its partitions
	t.Logf("the other one commits %v after it has them", p.AwaitProgress(owned, frozen))
	p.Await("the broker has aborted the zombie's transaction", 30*time.Second, func(ctx context.Context) (bool, error) {
		txn, err := p.Transaction(ctx, "a")
		return txn.State != "Ongoing", err
	})
	a.Signal(syscall.SIGCONT)
	p.AwaitOwners(30*time.Second, "a", "b")
	p.AwaitMore(20_000)
	total := stop()
	p.AwaitAll()
	a.Drain(syscall.SIGTERM)
	b.Drain(syscall.SIGTERM)
	require.Positive(t, a.Result().In)
	p.RequireExactlyOnce(total, total)
}

// A process is stopped until the broker has aborted its transaction for its time, but not as long as its session lives: nobody takes
// its partitions. When it continues it is refused, takes a new client instead of an end, and processes the records again.
func TestSigstopBeyondTheTransaction(t *testing.T) {
	t.Parallel()
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix, "--session-timeout", "60s", "--transaction-timeout", "5s", "--max-records", "1000")
	stop := p.Feed(10_000)
	a := p.Start("a")
	p.AwaitMore(20_000)
	for range 3 {
		p.FreezeInTransaction(a)
		p.Await("the broker has aborted its transaction", 30*time.Second, func(ctx context.Context) (bool, error) {
			txn, err := p.Transaction(ctx, "a")
			return txn.State != "Ongoing", err
		})
		a.Signal(syscall.SIGCONT)
		p.AwaitMore(20_000)
	}
	total := stop()
	p.AwaitAll()
	a.Drain(syscall.SIGTERM)
	p.RequireExactlyOnce(total, total)
}

// A process is stopped only until its session has timed out: its transaction is open still when it continues. It goes on
// within seconds, and does not wait for its transaction timeout of a minute.
func TestSigstopInOpenTransaction(t *testing.T) {
	p, a, b, stop := zombie(t)
	p.AwaitOwners(30*time.Second, "a", "b")
	p.AwaitMore(20_000)
	total := stop()
	p.AwaitAll()
	a.Drain(syscall.SIGTERM)
	b.Drain(syscall.SIGTERM)
	p.RequireExactlyOnce(total, total)
}

// As before, and SIGTERM comes right when the process continues: it exits within 10 s, and leaves nothing open.
func TestSigstopSigterm(t *testing.T) {
	p, a, b, stop := zombie(t)
	t.Logf("SIGTERM took %v", a.Drain(syscall.SIGTERM))
	p.AwaitMore(20_000)
	total := stop()
	p.AwaitAll()
	b.Drain(syscall.SIGTERM)
	p.RequireExactlyOnce(total, total)
}

// zombie runs two instances, a and b, while records are fed. It stops a with a transaction open until b has its
// partitions, and lets it continue; the transaction has not timed out.
func zombie(t *testing.T) (p *proc.Pipe, a, b *proc.Process, stop func() int64) {
	t.Helper()
	p = proc.New(t, kafkatest.Shared(t), proc.SixToSix, "--session-timeout", "6s", "--transaction-timeout", "60s", "--max-records", "1000")
	stop = p.Feed(10_000)
	a, b = p.Start("a"), p.Start("b")
	p.AwaitOwners(30*time.Second, "a", "b")
	p.AwaitMore(20_000)
	for !frozenOverSession(p, a) {
		a.Signal(syscall.SIGCONT)
		p.AwaitOwners(30*time.Second, "a", "b")
	}
	a.Signal(syscall.SIGCONT)
	return p, a, b, stop
}

// frozenOverSession stops a with a transaction open until b has its partitions, and returns whether the transaction is still open
// then. It is not if a had sent the transaction's end before it was stopped, and the coordinator was slow to read it.
func frozenOverSession(p *proc.Pipe, a *proc.Process) bool {
	p.T.Helper()
	p.FreezeInTransaction(a)
	p.AwaitOwners(30*time.Second, "b")
	txn, err := p.Transaction(p.T.Context(), a.Name)
	require.NoError(p.T, err)
	return txn.State == "Ongoing"
}
