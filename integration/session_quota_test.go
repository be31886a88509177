package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// quotaDeadline bounds what a quota makes slow: at its speed it takes less than half a minute.
const quotaDeadline = 3 * time.Minute

// linesOf is a log that a test can read while it is written.
type linesOf struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *linesOf) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// with returns the first line that has all of the texts; "": there is none.
func (l *linesOf) with(texts ...string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
next:
	for line := range strings.Lines(l.text.String()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		return line
	}
	return ""
}

// await waits until there is a line that has all of the texts.
func (l *linesOf) await(ctx context.Context, texts ...string) error {
	ctx, cancel := context.WithTimeout(ctx, quotaDeadline)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for l.with(texts...) == "" {
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("no line of the log has %q", texts)
		}
	}
	return nil
}

// throttled is the config of a session whose client id has a quota of so many bytes a second, and what it logs.
func (b *sessionBench) throttled(quota string, rate float64) (eos.Config, *linesOf) {
	b.t.Helper()
	cfg, log := b.config("a"), &linesOf{}
	cfg.ClientID = kafkatest.Name(b.t, "client")
	cfg.Logger = slog.New(slog.NewMultiHandler(cfg.Logger.Handler(), slog.NewTextHandler(log, nil)))
	require.NoError(b.t, b.setQuota(cfg.ClientID, kadm.AlterClientQuotaOp{Key: quota, Value: rate}))
	b.t.Cleanup(func() { _ = b.setQuota(cfg.ClientID, kadm.AlterClientQuotaOp{Key: quota, Remove: true}) })
	b.eventually("the quota is there", func() bool {
		described, err := b.adm.DescribeClientQuotas(b.t.Context(), true, []kadm.DescribeClientQuotaComponent{{Type: "client-id", MatchName: &cfg.ClientID}})
		return err == nil && len(described) == 1
	})
	return cfg, log
}

// setQuota sets or removes a quota of a client id.
func (b *sessionBench) setQuota(clientID string, op kadm.AlterClientQuotaOp) error {
	of := kadm.ClientQuotaEntity{{Type: "client-id", Name: &clientID}}
	altered, err := b.adm.AlterClientQuotas(context.WithoutCancel(b.t.Context()), []kadm.AlterClientQuotaEntry{{Entity: of, Ops: []kadm.AlterClientQuotaOp{op}}})
	for _, a := range altered {
		err = errors.Join(err, a.Err)
	}
	return err
}

// copySlowly copies n input records, however long each batch takes.
func (b *sessionBench) copySlowly(s *eos.Session, n int) (failures []error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), quotaDeadline)
	defer cancel()
	for n > 0 {
		batch, err := s.Poll(ctx)
		require.NoError(b.t, err, "%d records are left; %v", n, failures)
		if err := s.Commit(ctx, batch, b.copies(batch)); err != nil {
			require.Equal(b.t, eos.PollAgain, sessionNext(err), "%v", err)
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
	b := newSessionBench(t)
	cfg, log := b.throttled("consumer_byte_rate", 8000)
	cfg.TransactionTimeout = 5 * time.Second
	for range 2 {
		for p := range int32(sessionPartitions) {
			b.writeBig(p, 35_000)
		}
	}
	s := b.open(cfg)
	require.Empty(t, b.copySlowly(s, 2*sessionPartitions))
	require.NotEmpty(t, log.with("the brokers throttle this client", "consumer_byte_rate", "client_id="+cfg.ClientID, "throttle="))
	b.requireOnce()
}

// No broker gives a batch that is larger than what its quota lets through in eleven seconds: not to any client. A session at 8,000 bytes a
// second that waits for such a batch says so after a minute; when the quota is raised, as the warning has it, it goes on by itself.
func TestQuotaBelowABatch(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t)
	cfg, log := b.throttled("consumer_byte_rate", 8000)
	b.writeBig(0, 12_000) // uses up the quota, so that the next is weighed against it
	b.writeBig(0, 100_000)
	s := b.open(cfg)
	raised := make(chan error, 1)
	go func() {
		err := log.await(t.Context(), "nothing can be fetched", "consumer_byte_rate", "client_id="+cfg.ClientID)
		raised <- errors.Join(err, b.setQuota(cfg.ClientID, kadm.AlterClientQuotaOp{Key: "consumer_byte_rate", Value: 100e6}))
	}()
	require.Empty(t, b.copySlowly(s, 2))
	require.NoError(t, <-raised)
	b.requireOnce()
}

// Where a batch is more than a quota of 15,000 bytes a second lets the session produce in a transaction, its transaction is aborted, and the next
// batches are smaller, until they fit. A warning names the quota and the client id.
func TestQuotaProduce(t *testing.T) {
	b := newSessionBench(t)
	cfg, log := b.throttled("producer_byte_rate", 15_000)
	cfg.TransactionTimeout = 8 * time.Second
	cfg.Client = []kgo.Opt{kgo.ProducerBatchMaxBytes(64 << 10)}
	const records = 40
	for range records {
		b.writeBig(0, 12_000)
	}
	s := b.open(cfg)
	b.copySlowly(s, records)
	require.NotEmpty(t, log.with("the brokers throttle this client", "producer_byte_rate", "client_id="+cfg.ClientID, "throttle="))
	b.requireOnce()
}
