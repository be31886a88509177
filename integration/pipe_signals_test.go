package integration

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// SIGTERM and SIGINT in the middle of the work, while records keep coming: the process exits with 0 within 10 s, leaves
// nothing open, has committed what is in the output and no more, and has left the group, so that another takes over long
// before the session timeout. The next start goes on from there.
func TestSigterm(t *testing.T) {
	p := newPipe(t, kafkatest.Shared(t), sixToSix, "--session-timeout", "60s", "--max-records", "1000", "--lanes", "2")
	stop := p.feed(20_000)
	a, b := p.start("a"), p.start("b")
	p.awaitOwners(30*time.Second, "a", "b")
	p.awaitMore(20_000)
	took := a.drain(syscall.SIGTERM)
	began := time.Now()
	p.awaitOwners(20*time.Second, "b")
	t.Logf("SIGTERM took %v; %v later the other one has all partitions", took, time.Since(began))
	p.awaitMore(10_000)
	t.Logf("SIGINT took %v", b.drain(syscall.SIGINT))
	report := p.requireConsistent()
	total := stop()
	require.Positive(t, report.In)
	require.Less(t, report.In, total, "it was in the middle of the work")
	require.Zero(t, p.start("a", "--until-end").wait(time.Minute))
	p.requireExactlyOnce(total, total)
}

// The answers to its produces do not come, so a process cannot finish its transaction, and a first SIGTERM is not enough. At the
// second one it ends at once and says that it aborted; nothing stays open beyond the transaction timeout, and the next start goes
// on where the brokers stand.
func TestSecondSigterm(t *testing.T) {
	t.Parallel()
	p := newPipe(t, kafkatest.Shared(t), sixToSix, "--transaction-timeout", "10s", "--max-records", "1000")
	p.fill(10_000)
	tap := tapFor(t)
	held := tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.HoldReply, Count: wiretap.Always})
	a := p.startBehind(p.proxied(tap.Dial), "a")
	<-held.Reached()
	logs := func(text string) func(context.Context) (bool, error) {
		return func(context.Context) (bool, error) { return strings.Contains(a.stderr(), text), nil }
	}
	a.signal(syscall.SIGTERM)
	p.await("it drains", 20*time.Second, logs("draining"))
	drains := time.Now()
	p.await("another signal is another wish", 20*time.Second, func(context.Context) (bool, error) { return time.Since(drains) > time.Second, nil })
	require.True(t, a.alive(), "it has something to finish")
	a.doomed = true
	a.signal(syscall.SIGTERM)
	require.Equal(t, 1, a.wait(20*time.Second), "%q", a.said())
	require.Contains(t, a.stderr(), "aborting what is open")
	held.Release()
	p.awaitNothingOpen(30 * time.Second)
	require.Zero(t, p.start("a", "--until-end").wait(time.Minute))
	p.requireExactlyOnce(10_000, 10_000)
}

// A process is stopped (SIGSTOP) in the middle of a transaction until its session and its transaction have timed out and
// another instance has taken its partitions and processed what it was at. When it continues (SIGCONT), what it still
// sends comes to nothing; it finds out, joins again, and works on. Nothing is lost or doubled.
func TestSigstop(t *testing.T) {
	p := newPipe(t, kafkatest.Shared(t), sixToSix, "--session-timeout", "6s", "--transaction-timeout", "6s", "--max-records", "1000")
	stop := p.feed(20_000)
	a, b := p.start("a"), p.start("b")
	p.awaitOwners(30*time.Second, "a", "b")
	p.awaitMore(20_000)
	p.freezeInTransaction(a)
	owners, err := p.owners(t.Context())
	require.NoError(t, err)
	owned := owners["a"]
	require.NotEmpty(t, owned)
	frozen, err := p.committed(t.Context())
	require.NoError(t, err)
	p.awaitOwners(30*time.Second, "b") // the zombie has lost its partitions
	t.Logf("the other one commits %v after it has them", p.awaitProgress(owned, frozen))
	p.await("the broker has aborted the zombie's transaction", 30*time.Second, func(ctx context.Context) (bool, error) {
		txn, err := p.transaction(ctx, "a")
		return txn.State != "Ongoing", err
	})
	a.signal(syscall.SIGCONT)
	p.awaitOwners(30*time.Second, "a", "b")
	p.awaitMore(20_000)
	total := stop()
	p.awaitAll()
	a.drain(syscall.SIGTERM)
	b.drain(syscall.SIGTERM)
	require.Positive(t, a.result().In)
	p.requireExactlyOnce(total, total)
}

// A process is stopped until the broker has aborted its transaction for its time, but not as long as its session lives: nobody takes
// its partitions. When it continues it is refused, takes a new client instead of an end, and processes the records again.
func TestSigstopBeyondTheTransaction(t *testing.T) {
	t.Parallel()
	p := newPipe(t, kafkatest.Shared(t), sixToSix, "--session-timeout", "60s", "--transaction-timeout", "5s", "--max-records", "1000")
	stop := p.feed(10_000)
	a := p.start("a")
	p.awaitMore(20_000)
	for range 3 {
		p.freezeInTransaction(a)
		p.await("the broker has aborted its transaction", 30*time.Second, func(ctx context.Context) (bool, error) {
			txn, err := p.transaction(ctx, "a")
			return txn.State != "Ongoing", err
		})
		a.signal(syscall.SIGCONT)
		p.awaitMore(20_000)
	}
	total := stop()
	p.awaitAll()
	a.drain(syscall.SIGTERM)
	p.requireExactlyOnce(total, total)
}

// A process is stopped only until its session has timed out: its transaction is open still when it continues. It goes on
// within seconds, and does not wait for its transaction timeout of a minute.
func TestSigstopInOpenTransaction(t *testing.T) {
	p, a, b, stop := zombie(t)
	p.awaitOwners(30*time.Second, "a", "b")
	p.awaitMore(20_000)
	total := stop()
	p.awaitAll()
	a.drain(syscall.SIGTERM)
	b.drain(syscall.SIGTERM)
	p.requireExactlyOnce(total, total)
}

// As before, and SIGTERM comes right when the process continues: it exits within 10 s, and leaves nothing open.
func TestSigstopSigterm(t *testing.T) {
	p, a, b, stop := zombie(t)
	t.Logf("SIGTERM took %v", a.drain(syscall.SIGTERM))
	p.awaitMore(20_000)
	total := stop()
	p.awaitAll()
	b.drain(syscall.SIGTERM)
	p.requireExactlyOnce(total, total)
}

// zombie runs two instances, a and b, while records are fed. It stops a with a transaction open until b has its
// partitions, and lets it continue; the transaction has not timed out.
func zombie(t *testing.T) (p *pipe, a, b *process, stop func() int64) {
	t.Helper()
	p = newPipe(t, kafkatest.Shared(t), sixToSix, "--session-timeout", "6s", "--transaction-timeout", "60s", "--max-records", "1000")
	stop = p.feed(10_000)
	a, b = p.start("a"), p.start("b")
	p.awaitOwners(30*time.Second, "a", "b")
	p.awaitMore(20_000)
	for !p.frozenOverSession(a) {
		a.signal(syscall.SIGCONT)
		p.awaitOwners(30*time.Second, "a", "b")
	}
	a.signal(syscall.SIGCONT)
	return p, a, b, stop
}

// frozenOverSession stops a with a transaction open until b has its partitions, and returns whether the transaction is still open
// then. It is not if a had sent the transaction's end before it was stopped, and the coordinator was slow to read it.
func (p *pipe) frozenOverSession(a *process) bool {
	p.t.Helper()
	p.freezeInTransaction(a)
	p.awaitOwners(30*time.Second, "b")
	txn, err := p.transaction(p.t.Context(), a.name)
	require.NoError(p.t, err)
	return txn.State == "Ongoing"
}
