package fault

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// The brokers' transaction.version goes down and up again while two instances work. One lives through it; the other has a
// transaction open at every change, is killed (kill -9), and its successor ends that transaction at the new version and
// goes on at it. At 0 two others work, and live through the way up: a transactional id that was in use at 2 is not served
// there by Kafka 4.3.1, which has no place for what it remembers of it ("Attempted to write a non-default
// clientTransactionVersion at version 0"); such a process stops with UNSUPPORTED_VERSION.
func TestFaultTransactionVersion(t *testing.T) {
	t.Parallel()
	p, a, b, stop := workingPipe(t, kafkatest.Start(t), 2_000, threeFlags...)
	change := func(level int16) {
		p.FreezeInTransaction(b)
		setTransactionVersion(p, level)
		b.Kill()
		b = p.Start(b.Name)
		p.AwaitOwners(time.Minute, a.Name, b.Name)
		awaitWork(p, a.Name)
		awaitWork(p, b.Name)
	}
	change(1)
	change(2)
	change(1)
	a.Drain(syscall.SIGTERM)
	b.Drain(syscall.SIGTERM)
	setTransactionVersion(p, 0)
	a, b = p.Start("c"), p.Start("d")
	p.AwaitOwners(time.Minute, "c", "d")
	awaitWork(p, "c")
	p.FreezeInTransaction(b)
	b.Kill() // at version 0
	b = p.Start("d")
	awaitWork(p, "d")
	change(1)
	change(2)
	finish(p, stop, a, b)
}

// awaitWork waits until an instance commits something of the partitions that it owns.
func awaitWork(p *proc.Pipe, instance string) {
	p.T.Helper()
	owners, err := p.Owners(p.T.Context())
	require.NoError(p.T, err)
	require.NotEmpty(p.T, owners[instance], "instance %s owns nothing", instance)
	before, err := p.Committed(p.T.Context())
	require.NoError(p.T, err)
	p.AwaitProgress(owners[instance], before)
}

// setTransactionVersion changes the feature, as kafka-features does, and waits until the broker says so.
func setTransactionVersion(p *proc.Pipe, level int16) {
	p.T.Helper()
	const upgrade, safeDowngrade = 1, 2
	now, err := p.TransactionVersion(p.T.Context())
	require.NoError(p.T, err)
	update := kadm.FeatureUpdate{Feature: "transaction.version", MaxVersionLevel: level, UpgradeType: upgrade}
	if level < now {
		update.UpgradeType = safeDowngrade
	}
	updated, err := p.Adm.UpdateFeatures(p.T.Context(), false, update)
	require.NoError(p.T, errors.Join(err, updated.Error()))
	p.Await(fmt.Sprintf("transaction.version is %d", level), 30*time.Second, func(ctx context.Context) (bool, error) {
		now, err := p.TransactionVersion(ctx)
		return now == level, err
	})
}
