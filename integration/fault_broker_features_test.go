package integration

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

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
		p.freezeInTransaction(b)
		p.setTransactionVersion(level)
		b.kill()
		b = p.start(b.name)
		p.awaitOwners(time.Minute, a.name, b.name)
		p.awaitWork(a.name)
		p.awaitWork(b.name)
	}
	change(1)
	change(2)
	change(1)
	a.drain(syscall.SIGTERM)
	b.drain(syscall.SIGTERM)
	p.setTransactionVersion(0)
	a, b = p.start("c"), p.start("d")
	p.awaitOwners(time.Minute, "c", "d")
	p.awaitWork("c")
	p.freezeInTransaction(b)
	b.kill() // at version 0
	b = p.start("d")
	p.awaitWork("d")
	change(1)
	change(2)
	p.finish(stop, a, b)
}

// awaitWork waits until an instance commits something of the partitions that it owns.
func (p *pipe) awaitWork(instance string) {
	p.t.Helper()
	owners, err := p.owners(p.t.Context())
	require.NoError(p.t, err)
	require.NotEmpty(p.t, owners[instance], "instance %s owns nothing", instance)
	before, err := p.committed(p.t.Context())
	require.NoError(p.t, err)
	p.awaitProgress(owners[instance], before)
}

// setTransactionVersion changes the feature, as kafka-features does, and waits until the broker says so.
func (p *pipe) setTransactionVersion(level int16) {
	p.t.Helper()
	const upgrade, safeDowngrade = 1, 2
	now, err := p.transactionVersion(p.t.Context())
	require.NoError(p.t, err)
	update := kadm.FeatureUpdate{Feature: "transaction.version", MaxVersionLevel: level, UpgradeType: upgrade}
	if level < now {
		update.UpgradeType = safeDowngrade
	}
	updated, err := p.adm.UpdateFeatures(p.t.Context(), false, update)
	require.NoError(p.t, errors.Join(err, updated.Error()))
	p.await(fmt.Sprintf("transaction.version is %d", level), 30*time.Second, func(ctx context.Context) (bool, error) {
		now, err := p.transactionVersion(ctx)
		return now == level, err
	})
}

// transactionVersion returns the version in force; without the feature it is 0.
func (p *pipe) transactionVersion(ctx context.Context) (int16, error) {
	versions, err := p.adm.ApiVersions(ctx)
	if err != nil {
		return 0, err
	}
	for _, broker := range versions {
		if broker.Err != nil {
			return 0, broker.Err
		}
		for _, f := range broker.Raw().FinalizedFeatures {
			if f.Name == "transaction.version" {
				return f.MaxVersionLevel, nil
			}
		}
	}
	return 0, nil
}
