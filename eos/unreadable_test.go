package eos_test

import (
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
