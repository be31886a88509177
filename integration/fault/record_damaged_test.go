package fault

import (
	be "encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// A byte of a batch in the broker's log is damaged while the broker is down: of its records, so that the checksum does not fit, or
// the one that says in which form it is, so that a client makes nothing of it. The pipe copies what is before that batch, and stops
// with the batch's place: it passes over nothing. When the byte is mended, as a replica's copy would, it goes on.
func TestFaultDamagedSegment(t *testing.T) {
	t.Parallel()
	disk := kafkatest.NewDisk(t, 256)
	cluster := kafkatest.Start(t, kafkatest.On(disk))
	p := proc.New(t, cluster, proc.Shape{From: []int32{1}, To: []int32{1}}, "--until-end")
	for _, n := range []int{100, 100, 1, 99} { // a batch each, at least
		p.Fill(n)
	}
	const damaged = 200 // alone in its batch: the client goes one offset on behind a form that it does not know
	at := offsets.Partition{Topic: p.From[0], Number: 0}
	cluster.Stop(t, 1)
	segment := disk.Segment(t, at.Topic, at.Number)
	for _, where := range []int{inMagic, inRecords} {
		first := flipInBatch(t, segment, damaged, where)
		cluster.Restart(t, 1)
		p.Start("a").RequireFails(time.Minute, 4, at.String(), "corrupt")
		require.Equal(t, first, p.AwaitCommitted(0), "all before the damaged batch is committed, and nothing behind it")
		p.RequireNothingOpen()
		cluster.Stop(t, 1)
		flipInBatch(t, segment, damaged, where)
	}
	cluster.Restart(t, 1)
	require.Zero(t, p.Start("a").Wait(time.Minute))
	p.RequireExactlyOnce(300, 300)
}

// Where a byte is flipped: in the number of the batch's form, which no checksum covers, or in its last byte.
const (
	inMagic   = 16
	inRecords = -1
)

// flipInBatch flips a bit of the batch that holds an offset, and returns the batch's first offset. To flip it again mends it.
func flipInBatch(t *testing.T, segment string, offset int64, where int) (first int64) {
	t.Helper()
	const head, lastDelta = 12, 23 // base offset and length; where the last offset's distance stands
	log, err := os.ReadFile(segment)
	require.NoError(t, err)
	for at := 0; at+lastDelta+4 <= len(log); {
		first = int64(be.BigEndian.Uint64(log[at:]))
		end := at + head + int(be.BigEndian.Uint32(log[at+8:]))
		if first+int64(be.BigEndian.Uint32(log[at+lastDelta:])) >= offset {
			place := at + where
			if where < 0 {
				place = end + where
			}
			file, err := os.OpenFile(segment, os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = file.WriteAt([]byte{log[place] ^ 1}, int64(place))
			require.NoError(t, err)
			require.NoError(t, file.Close())
			return first
		}
		at = end
	}
	require.FailNow(t, "the offset is not in the segment", "%d in %s", offset, segment)
	return 0
}
