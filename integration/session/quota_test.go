package session

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// throttled is the config of a session whose client id has a quota of so many bytes a second, and what it logs.
func throttled(b *bench.Bench, quota string, rate float64) (eos.Config, *bench.Log) {
	b.T.Helper()
	cfg, log := b.Config("a"), &bench.Log{}
	cfg.ClientID = kafkatest.Name(b.T, "client")
	cfg.Logger = slog.New(slog.NewMultiHandler(cfg.Logger.Handler(), slog.NewTextHandler(log, nil)))
	require.NoError(b.T, setQuota(b, cfg.ClientID, kadm.AlterClientQuotaOp{Key: quota, Value: rate}))
	b.T.Cleanup(func() { _ = setQuota(b, cfg.ClientID, kadm.AlterClientQuotaOp{Key: quota, Remove: true}) })
	b.Eventually("the quota is there", func() bool {
		described, err := b.Adm.DescribeClientQuotas(b.T.Context(), true, []kadm.DescribeClientQuotaComponent{{Type: "client-id", MatchName: &cfg.ClientID}})
		return err == nil && len(described) == 1
	})
	return cfg, log
}

// setQuota sets or removes a quota of a client id.
func setQuota(b *bench.Bench, clientID string, op kadm.AlterClientQuotaOp) error {
	of := kadm.ClientQuotaEntity{{Type: "client-id", Name: &clientID}}
	altered, err := b.Adm.AlterClientQuotas(context.WithoutCancel(b.T.Context()), []kadm.AlterClientQuotaEntry{{Entity: of, Ops: []kadm.AlterClientQuotaOp{op}}})
	for _, a := range altered {
		err = errors.Join(err, a.Err)
	}
	return err
}

// copySlowly copies n input records, however long each batch takes.
func copySlowly(b *bench.Bench, s *eos.Session, n int) (failures []error) {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.T.Context(), bench.SlowDeadline)
	defer cancel()
	for n > 0 {
		batch, err := s.Poll(ctx)
		require.NoError(b.T, err, "%d records are left; %v", n, failures)
		if err := s.Commit(ctx, batch, b.Copies(batch)); err != nil {
			require.Equal(b.T, eos.PollAgain, bench.Next(err), "%v", err)
			failures = append(failures, err)
			continue
		}
		n -= len(batch.Records)
	}
	return failures
}

// Where fetches are throttled, by a quota of 8,000 bytes a second and for longer than a transaction may be open, a session goes on all the
// same, without an aborted transaction: what it commits does not wait behind what is fetched. A warning names the quota and the client id.
func TestQuotaFetch(t *testing.T) {
	b := bench.New(t)
	cfg, log := throttled(b, "consumer_byte_rate", 8000)
	cfg.TransactionTimeout = 5 * time.Second
	for range 2 {
		for p := range int32(bench.Partitions) {
			b.WriteBig(p, 35_000)
		}
	}
	s := b.Open(cfg)
	require.Empty(t, copySlowly(b, s, 2*bench.Partitions))
	require.NotEmpty(t, log.With("the brokers throttle this client", "consumer_byte_rate", "client_id="+cfg.ClientID, "throttle="))
	b.RequireOnce()
}

// No broker gives a batch that is larger than what its quota lets through in eleven seconds: not to any client. A session at 8,000 bytes a
// second that waits for such a batch says so after a minute; when the quota is raised, as the warning has it, it goes on by itself.
func TestQuotaBelowABatch(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	cfg, log := throttled(b, "consumer_byte_rate", 8000)
	b.WriteBig(0, 12_000) // uses up the quota, so that the next is weighed against it
	b.WriteBig(0, 900_000)
	s := b.Open(cfg)
	raised := make(chan error, 1)
	go func() {
		err := log.Await(t.Context(), "nothing can be fetched", "consumer_byte_rate", "client_id="+cfg.ClientID)
		raised <- errors.Join(err, setQuota(b, cfg.ClientID, kadm.AlterClientQuotaOp{Key: "consumer_byte_rate", Value: 100e6}))
	}()
	require.Empty(t, copySlowly(b, s, 2))
	require.NoError(t, <-raised)
	b.RequireOnce()
}

// Where a batch is more than a quota of 15,000 bytes a second lets the session produce in a transaction, its transaction is aborted, and the next
// batches are smaller, until they fit. A warning names the quota and the client id.
func TestQuotaProduce(t *testing.T) {
	b := bench.New(t)
	cfg, log := throttled(b, "producer_byte_rate", 15_000)
	cfg.TransactionTimeout = 8 * time.Second
	cfg.Client = []kgo.Opt{kgo.ProducerBatchMaxBytes(64 << 10)}
	const records = 40
	for range records {
		b.WriteBig(0, 12_000)
	}
	s := b.Open(cfg)
	copySlowly(b, s, records)
	require.NotEmpty(t, log.With("the brokers throttle this client", "producer_byte_rate", "client_id="+cfg.ClientID, "throttle="))
	b.RequireOnce()
}
