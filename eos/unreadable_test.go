package eos_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// What is damaged on its way is asked for again, and is whole then.
func TestDamagedOnce(t *testing.T) {
	b := setup(t)
	b.produce(30)
	cfg, tap := b.tapped()
	flipped := tap.Add(wiretap.Rule{API: kmsg.Fetch, Action: wiretap.FlipReply, Count: 3})
	s := b.open(cfg)
	require.Empty(t, run(t, s, 30))
	require.Equal(t, 3, flipped.Hits())
	b.requireOnce(30)
}

// What is damaged each time stops the session with its place, and is never passed over.
func TestDamagedForGood(t *testing.T) {
	b := setup(t)
	b.produce(30)
	s := b.open(b.config())
	require.Empty(t, run(t, s, 30))
	require.NoError(t, s.Close(t.Context()))
	require.NoError(t, b.cl.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Partition: 1, Value: []byte("30")}).FirstErr())
	cfg, tap := b.tapped()
	tap.Add(wiretap.Rule{API: kmsg.Fetch, Action: wiretap.FlipReply, Count: wiretap.Always})
	s = b.open(cfg)
	err := untilError(t, s)
	var damaged *eos.UnreadableError
	require.ErrorAs(t, err, &damaged)
	require.Equal(t, offsets.Partition{Topic: "in", Number: 1}, damaged.Partition)
	require.EqualValues(t, 10, damaged.Offset)
	require.ErrorContains(t, err, "in-1 cannot be read from offset 10 on")
	require.Equal(t, eos.Stop, nextOf(err))
	require.NoError(t, s.Close(t.Context()))
	s = b.open(b.config())
	require.Empty(t, run(t, s, 1))
	b.requireOnce(31)
}

// A batch of some kilobytes that grows beyond the bound when it is decompressed stops the session with its place, after all before it is
// committed; nothing of that size is ever held. With a higher bound it is a record like any other.
func TestDecompressionBomb(t *testing.T) {
	b := setup(t)
	b.produce(30)
	bomber, err := kgo.NewClient(kgo.SeedBrokers(b.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(80<<20), kgo.BrokerMaxWriteBytes(100<<20))
	require.NoError(t, err)
	defer bomber.Close()
	require.NoError(t, bomber.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Partition: 1, Value: make([]byte, 65<<20)}).FirstErr())
	b.produceFrom(30, 3)
	s := b.open(b.config())
	err = untilError(t, s)
	var bomb *eos.UnreadableError
	require.ErrorAs(t, err, &bomb)
	require.Equal(t, offsets.Partition{Topic: "in", Number: 1}, bomb.Partition)
	require.EqualValues(t, 10, bomb.Offset)
	require.ErrorContains(t, err, "grows beyond the bound")
	require.Equal(t, eos.Stop, nextOf(err))
	require.NoError(t, s.Close(t.Context()))
	require.Len(t, b.output(), 32, "all but the bomb and what is behind it")

	cfg := b.config()
	cfg.Client = []kgo.Opt{kgo.MaxDecompressBatchBytes(80 << 20)}
	s = b.open(cfg)
	batch, err := s.Poll(t.Context())
	require.NoError(t, err)
	require.Len(t, batch.Records[0].Value, 65<<20)
}

// With PassOver a batch that is too large when decompressed is handed out as one record in its place, which says where the batch stood, and is
// committed like any other, after an abort, too: the records around it are copied once. Batches of the same bytes are told apart.
func TestPassOver(t *testing.T) {
	b := setup(t)
	bomb := func(partition int32, records int) { // one batch
		bomber, err := kgo.NewClient(kgo.SeedBrokers(b.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ManualFlushing(),
			kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(8<<20))
		require.NoError(t, err)
		defer bomber.Close()
		loaded := make(chan error, 1) // with a topic that it does not know, a client may begin with a batch of the first record
		bomber.Produce(t.Context(), &kgo.Record{Topic: "in", Partition: 99}, func(_ *kgo.Record, err error) { loaded <- err })
		require.Error(t, <-loaded, "there is no such partition")
		for range records {
			bomber.Produce(t.Context(), &kgo.Record{Topic: "in", Partition: partition, Value: make([]byte, 1<<20)}, nil)
		}
		require.NoError(t, bomber.Flush(t.Context()))
	}
	b.produce(30)
	bomb(1, 3)
	bomb(1, 3)
	bomb(2, 3)
	bomb(2, 4)
	b.produceFrom(30, 30)
	bomb(0, 3)
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
