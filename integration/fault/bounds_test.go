package fault

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// F29. A program is never done with one record, and is given longer than the transaction timeout: no transaction is open meanwhile, so that the broker
// aborts none. Past --handler-timeout the record has failed; all others come over.
func TestFaultHandlerNeverDone(t *testing.T) {
	t.Parallel()
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{2}, To: []int32{2}}, "--until-end", "--transaction-timeout", "1s", "--handler-timeout", "2s")
	p.Record = proc.JSONRecord
	p.Fill(200)
	p.Filter = `if .partition == 1 and .offset == 50 then (0 | until(. < 0; . + 1)) else true end`
	p.Start("a").RequireFails(time.Minute, 4, p.From[0]+"-1@50", "--filter")
	a := p.Start("a", "--on-error", "skip")
	require.Zero(t, a.Wait(time.Minute), "%q", a.Said())
	require.Zero(t, a.Result().Aborted)

	p.Filter = ".partition != 1 or .offset != 50" // what verify, and the audit, go by
	p.Expect = func(r *kgo.Record) []*kgo.Record {
		if r.Partition == 1 && r.Offset == 50 {
			return nil
		}
		return []*kgo.Record{{Topic: p.To[0], Key: r.Key, Value: r.Value, Headers: r.Headers}}
	}
	p.RequireExactlyOnce(200, 199)
}

// F31. A batch of kilobytes grows to 4 MB when it is decompressed, and 1 MiB is allowed: what stands before it is committed, and the process stops with
// its place; with a policy the batch is left out, and what stands behind it comes over.
func TestFaultEnormousBatch(t *testing.T) {
	t.Parallel()
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{1}, To: []int32{1}}, "--until-end", "--max-decompressed", "1MiB")
	p.Fill(10)
	bomb := p.Cluster.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ManualFlushing(),
		kgo.ProducerBatchMaxBytes(8<<20))
	sent := make(chan error, 40)
	for range cap(sent) {
		bomb.Produce(t.Context(), &kgo.Record{Topic: p.From[0], Value: bytes.Repeat([]byte("0"), 100_000)}, func(_ *kgo.Record, err error) { sent <- err })
	}
	require.NoError(t, bomb.Flush(t.Context()))
	for range cap(sent) {
		require.NoError(t, <-sent)
	}
	p.Fill(10)

	hint := p.Start("a").RequireFails(time.Minute, 4, p.From[0]+"-0 cannot be read from offset 10 on")
	require.Contains(t, hint, "--max-decompressed")
	committed, err := p.Committed(t.Context())
	require.NoError(t, err)
	at := offsets.Partition{Topic: p.From[0]}
	require.EqualValues(t, 10, committed[at].Offset, "all before it")

	require.Zero(t, p.Start("a", "--on-error", "skip").Wait(time.Minute))
	committed, err = p.Committed(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 60, committed[at].Offset)
	p.RequireNothingOpen()
	ends, err := p.Listed(t.Context(), p.Adm.ListCommittedOffsets, p.To)
	require.NoError(t, err)
	var from []int64
	require.NoError(t, p.Read(t.Context(), ends, func(r *kgo.Record) {
		of, ok := processor.ProvenanceOf(r)
		require.True(t, ok)
		from = append(from, of.Offset)
	}))
	require.Equal(t, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59}, from)
}
