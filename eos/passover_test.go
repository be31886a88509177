package eos_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// bomb writes one batch of so many records of a megabyte each, compressed.
func (b *testBench) bomb(partition int32, records int) {
	b.t.Helper()
	bomber, err := kgo.NewClient(kgo.SeedBrokers(b.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ManualFlushing(),
		kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(8<<20))
	require.NoError(b.t, err)
	defer bomber.Close()
	loaded := make(chan error, 1) // with a topic that it does not know, a client may begin with a batch of the first record
	bomber.Produce(b.t.Context(), &kgo.Record{Topic: "in", Partition: 99}, func(_ *kgo.Record, err error) { loaded <- err })
	require.Error(b.t, <-loaded, "there is no such partition")
	for range records {
		bomber.Produce(b.t.Context(), &kgo.Record{Topic: "in", Partition: partition, Value: make([]byte, 1<<20)}, nil)
	}
	require.NoError(b.t, bomber.Flush(b.t.Context()))
}

// With PassOver a batch that is too large when decompressed is handed out as one record in its place, which says where the batch stood, and is
// committed like any other, after an abort, too: the records around it are copied once. Batches of the same bytes are told apart.
func TestPassOver(t *testing.T) {
	b := setup(t)
	b.produce(30)
	b.bomb(1, 3)
	b.bomb(1, 3)
	b.bomb(2, 3)
	b.bomb(2, 4)
	b.produceFrom(30, 30)
	b.bomb(0, 3)
	cfg := b.config()
	cfg.PassOver = true
	cfg.Client = []kgo.Opt{kgo.MaxDecompressBatchBytes(2 << 20)}
	s := b.open(cfg)
	var over []eos.PassedOverError
	aborted := false
	for copied := 0; copied < 60 || len(over) < 5; {
		batch, err := s.Poll(t.Context())
		require.NoError(t, err)
		var outs []*kgo.Record
		var passed []eos.PassedOverError
		for _, r := range batch.Records {
			if e := eos.PassedOver(r); e != nil {
				require.Equal(t, e.To, r.Offset)
				require.Empty(t, r.Headers)
				require.Less(t, e.Bytes, 10_000)
				passed = append(passed, eos.PassedOverError{Partition: e.Partition, From: e.From, To: e.To})
				continue
			}
			outs = append(outs, &kgo.Record{Topic: "out", Value: r.Value, Partition: r.Partition})
		}
		if len(passed) > 0 && !aborted {
			aborted = true
			continue // it comes again
		}
		require.NoError(t, s.Commit(t.Context(), batch, slices.Values(outs)))
		copied += len(outs)
		over = append(over, passed...)
	}
	at := func(n int32) offsets.Partition { return offsets.Partition{Topic: "in", Number: n} }
	require.ElementsMatch(t, []eos.PassedOverError{
		{Partition: at(1), From: 10, To: 12},
		{Partition: at(1), From: 13, To: 15},
		{Partition: at(2), From: 10, To: 12},
		{Partition: at(2), From: 13, To: 16},
		{Partition: at(0), From: 20, To: 22},
	}, over)
	b.requireOnce(60)
	committed, err := b.adm.FetchOffsets(t.Context(), "g")
	require.NoError(t, err)
	for n, end := range []int64{23, 26, 27} {
		o, _ := committed.Lookup("in", int32(n))
		require.Equal(t, end, o.At, "partition %d", n)
	}
}

// batchesRead is a hook that counts the batches that were fetched of a partition.
type batchesRead struct {
	partition int32
	seen      chan struct{}
}

// OnFetchBatchRead implements kgo.HookFetchBatchRead.
func (h batchesRead) OnFetchBatchRead(_ kgo.BrokerMetadata, topic string, partition int32, _ kgo.FetchBatchMetrics) {
	if topic == "in" && partition == h.partition {
		select {
		case h.seen <- struct{}{}:
		default:
		}
	}
}

// The client has fetched a batch that is too large, and throws away what it has fetched before the session asks: it does when a batch of
// another partition is given back. The batch is fetched again then, and the session gets to know of it: it stops, or passes over it. (kgo
// fetches a partition no more of which it has said that a batch is larger than kgo's own bound, and says so once.)
func TestTooLargeIsNotSaidOnce(t *testing.T) {
	for name, passOver := range map[string]bool{"stop": false, "pass over": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			b := setup(t)
			require.NoError(t, b.cl.ProduceSync(ctx, &kgo.Record{Topic: "in", Partition: 1, Value: []byte("0")}).FirstErr())
			fetched := batchesRead{partition: 0, seen: make(chan struct{}, 1)}
			cfg := b.config()
			cfg.PassOver = passOver
			cfg.Client = []kgo.Opt{kgo.MaxDecompressBatchBytes(2 << 20), kgo.WithHooks(fetched)}
			s := b.open(cfg)
			_, err := s.Poll(ctx)
			require.NoError(t, err)
			b.bomb(0, 3)
			select {
			case <-fetched.seen:
			case <-ctx.Done():
				require.Fail(t, "the client does not fetch while a batch is out")
			}
			for over := false; !over; { // the first Poll gives the batch back
				batch, err := s.Poll(ctx)
				if !passOver && err != nil {
					require.ErrorIs(t, err, kgo.ErrMaxDecompress)
					require.ErrorContains(t, err, "in-0 cannot be read from offset 0 on")
					return
				}
				require.NoError(t, err)
				for _, r := range batch.Records {
					over = over || eos.PassedOver(r) != nil
				}
				require.NoError(t, s.Commit(ctx, batch, slices.Values([]*kgo.Record(nil))))
			}
		})
	}
}
