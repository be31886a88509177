package wire

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
)

// What is written by hand is what a client library reads, and what is read by hand.
func TestBatch(t *testing.T) {
	t.Parallel()
	b := model.Batch{ProducerID: 7, Epoch: 3, BaseSequence: 2147483646, Count: 3, IsTransactional: true, TimeMs: 1234, Digest: 42}
	raw := encodeBatch(b)

	var theirs kmsg.RecordBatch
	require.NoError(t, theirs.ReadFrom(raw))
	require.Equal(t, int32(len(raw)-12), theirs.Length)
	require.Equal(t, int32(crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli))), theirs.CRC)
	require.Equal(t, []any{int64(7), int16(3), int32(2147483646), int32(3), int32(2), int16(0x10), int64(1234), int64(1234)},
		[]any{theirs.ProducerID, theirs.ProducerEpoch, theirs.FirstSequence, theirs.NumRecords, theirs.LastOffsetDelta, theirs.Attributes, theirs.FirstTimestamp, theirs.MaxTimestamp})
	records := theirs.Records
	for i := range 3 {
		var r kmsg.Record
		require.NoError(t, r.ReadFrom(records))
		length, n := binary.Varint(records)
		require.Equal(t, int32(i), r.OffsetDelta)
		require.Equal(t, binary.BigEndian.AppendUint64(nil, 42), r.Value)
		records = records[n+int(length):]
	}
	require.Empty(t, records)

	ours, err := decodeBatches(append(raw, raw[:30]...))
	require.NoError(t, err)
	require.Equal(t, []model.LogBatch{{
		LastOffset: 2, ProducerID: 7, Epoch: 3, BaseSequence: 2147483646, IsTransactional: true, TimeMs: 1234,
	}}, ours, "what is cut off at the end is left out")
}

// A flawed batch is the right one but for its flaw.
func TestFlaws(t *testing.T) {
	t.Parallel()
	good := model.Batch{ProducerID: 7, Count: 2}
	flawed := func(f model.Flaw) []byte {
		b := good
		b.Flaw = f
		return encodeBatch(b)
	}
	whole := encodeBatch(good)
	require.Empty(t, flawed(model.FlawNoBatch))
	require.NotNil(t, flawed(model.FlawNoBatch), "null would leave the broker without an answer")
	require.Len(t, flawed(model.FlawTwoBatches), 2*len(whole))
	require.Equal(t, byte(1), flawed(model.FlawMagic)[batchMagicAt])
	require.Equal(t, byte(1), flawed(model.FlawBaseOffset)[7])
	require.Equal(t, whole[batchCRCAt+3]^1, flawed(model.FlawChecksum)[batchCRCAt+3])
	require.Equal(t, byte(2), flawed(model.FlawCount)[26], "last offset delta of two records")
	require.Equal(t, byte(attrControl), flawed(model.FlawControl)[batchAttributes+1])
}

// A marker is told by the key of its record.
func TestMarker(t *testing.T) {
	t.Parallel()
	for kind, want := range map[byte]model.Control{0: model.Abort, 1: model.Commit} {
		raw := encodeEntries([]entry{{[]byte{0, 0, 0, kind}, []byte{0, 0, 0, 0, 0, 9}}}, 5)
		raw[batchAttributes+1] |= attrTxn | attrControl
		batches, err := decodeBatches(raw)
		require.NoError(t, err)
		require.Equal(t, want, batches[0].Control)
		require.Equal(t, int32(9), batches[0].CoordinatorEpoch)
	}
}
