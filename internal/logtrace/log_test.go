package logtrace

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/trace"
)

// rawBatch encodes a batch of count records of one byte; with control it is a marker: "COMMIT" or "ABORT".
func rawBatch(base, id int64, epoch int16, sequence, count int32, attributes int16, control string) []byte {
	var records []byte
	for range count {
		records = append(records, 14, 0, 0, 0, 1, 2, 'x', 0)
	}
	if control != "" {
		kind := byte(strings.Count(control, "COMMIT"))
		records = []byte{32, 0, 0, 0, 8, 0, 0, 0, kind, 12, 0, 0, 0, 0, 0, 3, 0}
	}
	b := kmsg.RecordBatch{
		FirstOffset: base, Length: int32(49 + len(records)), Magic: 2, Attributes: attributes, LastOffsetDelta: count - 1, ProducerID: id, ProducerEpoch: epoch,
		FirstSequence: sequence, NumRecords: count, Records: records,
	}
	encoded := b.AppendTo(nil)
	binary.BigEndian.PutUint32(encoded[17:], crc32.Checksum(encoded[21:], crc32.MakeTable(crc32.Castagnoli)))
	return encoded
}

func rawData(base, id int64, count int32) []byte { return rawBatch(base, id, 0, 0, count, 0x10, "") }

func rawMarker(base, id int64, control string) []byte {
	return rawBatch(base, id, 1, -1, 1, 0x30, control)
}

// written is what a logTrace has written, without what is the same in every line.
type written []string

func newLogTrace(t *testing.T, start int64) (*logTrace, *written) {
	var w written
	l := &logTrace{partition: trace.Partition{Topic: "t"}, emit: func(e trace.Event) error {
		line := e.String()
		for _, same := range []string{" v=0", " to=t-0", " of=t-0", " transactional=true", " time_ms=0", " acks=0", " protocol=0", " committed=true", " NONE", " hw=-1 lso=-1", " compacted=false", " coordinator=3"} {
			line = strings.Replace(line, same, "", 1)
		}
		w = append(w, line)
		return nil
	}}
	require.NoError(t, l.begin(start, false))
	return l, &w
}

func join(batches ...[]byte) (raw []byte) {
	for _, b := range batches {
		raw = append(raw, b...)
	}
	return raw
}

// What a reader saw is written when all transactions in it have ended, behind their markers, and holds nothing of what comes later.
func TestRecordedViewsWait(t *testing.T) {
	t.Parallel()
	l, got := newLogTrace(t, 0)
	aborted := []trace.Aborted{{ProducerID: 7, FirstOffset: 0}, {ProducerID: 8, FirstOffset: 5}}
	require.NoError(t, l.take(join(rawData(0, 7, 2), rawData(2, 9, 1)), 100, true, aborted))
	require.NoError(t, l.take(join(rawMarker(3, 9, "COMMIT"), rawMarker(4, 7, "ABORT"), rawData(5, 8, 1)), 100, true, aborted))
	require.NoError(t, l.take(rawMarker(6, 8, "ABORT"), 100, false, nil))
	require.NoError(t, l.finish(7, 7))
	require.Equal(t, written{
		"log start=0",
		"produce producer=7/0 seq=0 count=2 -> offset=0",
		"produce producer=9/0 seq=0 count=1 -> offset=2",
		"marker producer=9/1 commit=true -> offset=3",
		"marker producer=7/1 commit=false -> offset=4",
		"produce producer=8/0 seq=0 count=1 -> offset=5",
		"fetch from=0 -> aborted=7@0 delivered=2 next=3",
		"marker producer=8/1 commit=false -> offset=6",
		"fetch from=3 -> aborted=7@0,8@5 next=6",
		"fetch from=7 -> hw=7 lso=7 next=7",
	}, *got)
	require.Equal(t, Counts{Batches: 3, Markers: 3}, l.counts)
}

// Where the log is open, views are cut: what the broker told of transactions that ended later is not judged. What was fetched before the
// next offset, or from the end on, is left out.
func TestRecordedViewsAreCut(t *testing.T) {
	t.Parallel()
	l, got := newLogTrace(t, 4)
	fetched := join(rawData(0, 6, 3), rawData(3, 6, 3), rawMarker(6, 6, "COMMIT"), rawData(7, 8, 1), rawData(8, 9, 1), rawMarker(9, 9, "COMMIT"), rawMarker(10, 8, "ABORT"))
	require.NoError(t, l.take(fetched, 10, true, []trace.Aborted{{ProducerID: 8, FirstOffset: 7}}))
	require.NoError(t, l.finish(-1, -1))
	require.Equal(t, written{
		"log start=4",
		"produce producer=6/0 seq=0 count=3 -> offset=3",
		"marker producer=6/1 commit=true -> offset=6",
		"produce producer=8/0 seq=0 count=1 -> offset=7",
		"produce producer=9/0 seq=0 count=1 -> offset=8",
		"marker producer=9/1 commit=true -> offset=9",
		"fetch from=4 -> aborted=[] delivered=3 next=7",
		"fetch from=10 -> next=10",
	}, *got)
	require.Equal(t, 1, l.counts.Open)
}
