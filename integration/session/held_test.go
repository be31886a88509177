package session

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
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
)

// The input is written in transactions that are larger than a batch and than what is fetched at once, by two producers at the same time, of which one
// aborts. No batch has records of a transaction whose end has not been fetched, so much of what was fetched waits over several commits.
// Meanwhile batches are given back, a member is killed, and another one joins: nothing is lost or doubled, and the group's offsets come to the end.
func TestSessionLargeInputTransactions(t *testing.T) {
	bench.Protocols(t, func(b *bench.Bench) { largeInputTransactions(b) })
}

func largeInputTransactions(b *bench.Bench) {
	t := b.T
	t.Helper()
	tx := writersTogether(b)
	for range 5 {
		tx.write(400)
	}
	cfg, tap := b.Tapped("a")
	little := []kgo.Opt{kgo.FetchMaxPartitionBytes(4_000), kgo.FetchMaxBytes(10_000)}
	cfg.MaxRecords, cfg.Client = 70, append(cfg.Client, little...)
	s := b.Open(cfg)
	for i := range 15 {
		batch, err := s.Poll(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, len(batch.Records), cfg.MaxRecords)
		if i%3 == 0 {
			continue // it comes again
		}
		if err := s.Commit(t.Context(), batch, b.Copies(batch)); err != nil { // the group's epoch may change after the first member has joined
			require.Equal(t, eos.PollAgain, bench.Next(err), "%v", err)
		}
	}
	tap.Cut() // kill -9
	config := func(name string) eos.Config {
		cfg := b.Config(name)
		cfg.MaxRecords, cfg.Client = 70, little
		b.SessionTimeout(&cfg, 6*time.Second)
		return cfg
	}
	first := b.Work(b.Open(config("a")))
	tx.write(400)
	second := b.Work(b.Open(config("b")))
	b.Works(second)
	tx.write(400)
	b.RequireOnce()
	first.Stop(t)
	second.Stop(t)
}

// together are two producers that write to the input at the same time.
type together struct {
	b              *bench.Bench
	commits, abort *kgo.Client
}

// writersTogether makes them.
func writersTogether(b *bench.Bench) *together {
	b.T.Helper()
	return &together{b, b.Producer("-commits"), b.Producer("-aborts")}
}

// write writes n records in one transaction, and among them as many in another one, which is aborted.
func (x *together) write(n int) {
	t := x.b.T
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	require.NoError(t, errors.Join(x.commits.BeginTransaction(), x.abort.BeginTransaction()))
	for written := 0; written < n; {
		var good, bad []*kgo.Record
		for p := range int32(bench.Partitions) {
			for range 7 {
				good = append(good, x.b.Next(p, 0))
				bad = append(bad, &kgo.Record{Topic: x.b.In, Partition: p, Value: []byte("aborted")})
				written++
			}
		}
		require.NoError(t, errors.Join(x.commits.ProduceSync(ctx, good...).FirstErr(), x.abort.ProduceSync(ctx, bad...).FirstErr()))
	}
	require.NoError(t, errors.Join(x.abort.EndTransaction(ctx, kgo.TryAbort), x.commits.EndTransaction(ctx, kgo.TryCommit)))
}

// A transaction of the input that is larger than the InputBuffer is processed all the same: the session says that it does not wait for its end.
func TestSessionInputTransactionBeyondBuffer(t *testing.T) {
	b := bench.New(t)
	writer := b.Producer("")
	require.NoError(t, writer.BeginTransaction())
	for range 40 {
		require.NoError(t, writer.ProduceSync(t.Context(), b.Next(0, 100_000)).FirstErr())
	}
	require.NoError(t, writer.EndTransaction(t.Context(), kgo.TryCommit))
	var log bytes.Buffer
	cfg := b.Config("a")
	cfg.InputBuffer = eos.NewInputBuffer(1<<20, 1)
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s := b.Open(cfg)
	require.Empty(t, b.Copy(s, 40))
	b.RequireOnce()
	require.NoError(t, s.Close(t.Context()))
	require.Contains(t, log.String(), "do not fit into the input buffer")
}
