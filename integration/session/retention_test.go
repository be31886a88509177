package session

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// deleteRecords deletes what is before an offset of an input partition, as retention does.
func deleteRecords(b *bench.Bench, partition int32, before int64) {
	b.T.Helper()
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: b.In, Partition: partition, At: before})
	resp, err := b.Adm.DeleteRecords(b.T.Context(), os)
	require.NoError(b.T, err)
	require.NoError(b.T, resp.Error())
}

// accept does what an operator does who has seen a loss and goes on all the same: the group's offset of a partition is
// set behind it. No session may be open.
func accept(b *bench.Bench, lost *eos.LostOffsetsError) {
	b.T.Helper()
	for number := lost.From; number < lost.To; number++ {
		b.Dropped[bench.Record{Partition: lost.Partition.Number, Number: number}] = true
	}
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: b.In, Partition: lost.Partition.Number, At: lost.To, LeaderEpoch: -1})
	require.NoError(b.T, b.Adm.CommitAllOffsets(b.T.Context(), b.Group, os))
}

// Records that were deleted before they were processed stop the session with their exact range. They are never passed
// over: another session stops just the same, until somebody accepts the loss.
func TestSessionLostOffsets(t *testing.T) {
	b := bench.New(t)
	b.Write(30)
	s := b.Open(b.Config("a"))
	require.Empty(t, b.Copy(s, 30))
	require.NoError(t, s.Close(t.Context()))
	b.Write(60)
	deleteRecords(b, 1, 17)
	var lost *eos.LostOffsetsError
	for range 2 {
		s = b.Open(b.Config("a"))
		err := b.UntilError(s)
		require.ErrorAs(t, err, &lost)
		require.Equal(t, &eos.LostOffsetsError{Partition: offsets.Partition{Topic: b.In, Number: 1}, From: 10, To: 17}, lost)
		require.Equal(t, eos.Stop, bench.Next(err))
		require.NoError(t, s.Close(t.Context()))
	}
	accept(b, lost)
	b.Work(b.Open(b.Config("a")))
	b.RequireOnce()
}

// The same in the midst of a run: what the session has not fetched yet is deleted behind its back.
func TestSessionLostOffsetsWhileRunning(t *testing.T) {
	b := bench.New(t)
	b.Write(30)
	cfg, tap := b.Tapped("a")
	s := b.Open(cfg)
	require.Empty(t, b.Copy(s, 30))
	held := tap.Hold(wiretap.Rule{API: kmsg.Fetch, Action: wiretap.HoldRequest, Count: wiretap.Always})
	b.Await(held.Reached(), "a fetch")
	b.Write(60)
	deleteRecords(b, 2, 25)
	held.Release()
	var lost *eos.LostOffsetsError
	require.ErrorAs(t, b.UntilError(s), &lost)
	require.Equal(t, &eos.LostOffsetsError{Partition: offsets.Partition{Topic: b.In, Number: 2}, From: 10, To: 25}, lost)
	require.NoError(t, s.Close(t.Context()))
	accept(b, lost)
	b.Work(b.Open(b.Config("a")))
	b.RequireOnce()
}
