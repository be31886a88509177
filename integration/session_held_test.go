package integration

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
)

// The input is written in transactions that are larger than a batch and than what is fetched at once, by two producers at the same time, of which one
// aborts. No batch has records of a transaction whose end has not been fetched, so much of what was fetched waits over several commits.
// Meanwhile batches are given back, a member is killed, and another one joins: nothing is lost or doubled, and the group's offsets come to the end.
func TestSessionLargeInputTransactions(t *testing.T) {
	protocols(t, func(b *sessionBench) { b.largeInputTransactions() })
}

func (b *sessionBench) largeInputTransactions() {
	t := b.t
	t.Helper()
	tx := b.together()
	for range 5 {
		tx.write(400)
	}
	cfg, tap := b.tapped("a")
	little := []kgo.Opt{kgo.FetchMaxPartitionBytes(4_000), kgo.FetchMaxBytes(10_000)}
	cfg.MaxRecords, cfg.Client = 70, append(cfg.Client, little...)
	s := b.open(cfg)
	for i := range 15 {
		batch, err := s.Poll(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, len(batch.Records), cfg.MaxRecords)
		if i%3 == 0 {
			continue // it comes again
		}
		if err := s.Commit(t.Context(), batch, b.copies(batch)); err != nil { // the group's epoch may change after the first member has joined
			require.Equal(t, eos.PollAgain, sessionNext(err), "%v", err)
		}
	}
	tap.Cut() // kill -9
	config := func(name string) eos.Config {
		cfg := b.config(name)
		cfg.MaxRecords, cfg.Client = 70, little
		b.sessionTimeout(&cfg, 6*time.Second)
		return cfg
	}
	first := b.work(b.open(config("a")))
	tx.write(400)
	second := b.work(b.open(config("b")))
	b.works(second)
	tx.write(400)
	b.requireOnce()
	first.stop(t)
	second.stop(t)
}

// together are two producers that write to the input at the same time.
type together struct {
	b              *sessionBench
	commits, abort *kgo.Client
}

func (b *sessionBench) together() *together {
	b.t.Helper()
	return &together{b, b.producer("-commits"), b.producer("-aborts")}
}

// write writes n records in one transaction, and among them as many in another one, which is aborted.
func (x *together) write(n int) {
	t := x.b.t
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	require.NoError(t, errors.Join(x.commits.BeginTransaction(), x.abort.BeginTransaction()))
	for written := 0; written < n; {
		var good, bad []*kgo.Record
		for p := range int32(sessionPartitions) {
			for range 7 {
				good = append(good, x.b.next(p, 0))
				bad = append(bad, &kgo.Record{Topic: x.b.in, Partition: p, Value: []byte("aborted")})
				written++
			}
		}
		require.NoError(t, errors.Join(x.commits.ProduceSync(ctx, good...).FirstErr(), x.abort.ProduceSync(ctx, bad...).FirstErr()))
	}
	require.NoError(t, errors.Join(x.abort.EndTransaction(ctx, kgo.TryAbort), x.commits.EndTransaction(ctx, kgo.TryCommit)))
}

// A transaction of the input that is larger than the InputBuffer is processed all the same: the session says that it does not wait for its end.
func TestSessionInputTransactionBeyondBuffer(t *testing.T) {
	b := newSessionBench(t)
	writer := b.producer("")
	require.NoError(t, writer.BeginTransaction())
	for range 40 {
		require.NoError(t, writer.ProduceSync(t.Context(), b.next(0, 100_000)).FirstErr())
	}
	require.NoError(t, writer.EndTransaction(t.Context(), kgo.TryCommit))
	var log bytes.Buffer
	cfg := b.config("a")
	cfg.InputBuffer = eos.NewInputBuffer(1<<20, 1)
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s := b.open(cfg)
	require.Empty(t, b.copy(s, 40))
	b.requireOnce()
	require.NoError(t, s.Close(t.Context()))
	require.Contains(t, log.String(), "does not fit into the input buffer")
}
