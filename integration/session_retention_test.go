package integration

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// deleteRecords deletes what is before an offset of an input partition, as retention does.
func (b *sessionBench) deleteRecords(partition int32, before int64) {
	b.t.Helper()
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: b.in, Partition: partition, At: before})
	resp, err := b.adm.DeleteRecords(b.t.Context(), os)
	require.NoError(b.t, err)
	require.NoError(b.t, resp.Error())
}

// accept does what an operator does who has seen a loss and goes on all the same: the group's offset of a partition is
// set behind it. No session may be open.
func (b *sessionBench) accept(lost *eos.LostOffsetsError) {
	b.t.Helper()
	for number := lost.From; number < lost.To; number++ {
		b.dropped[sessionRecord{lost.Partition.Number, number}] = true
	}
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: b.in, Partition: lost.Partition.Number, At: lost.To, LeaderEpoch: -1})
	require.NoError(b.t, b.adm.CommitAllOffsets(b.t.Context(), b.group, os))
}

// Records that were deleted before they were processed stop the session with their exact range. They are never passed
// over: another session stops just the same, until somebody accepts the loss.
func TestSessionLostOffsets(t *testing.T) {
	b := newSessionBench(t)
	b.write(30)
	s := b.open(b.config("a"))
	require.Empty(t, b.copy(s, 30))
	require.NoError(t, s.Close(t.Context()))
	b.write(60)
	b.deleteRecords(1, 17)
	var lost *eos.LostOffsetsError
	for range 2 {
		s = b.open(b.config("a"))
		err := b.untilError(s)
		require.ErrorAs(t, err, &lost)
		require.Equal(t, &eos.LostOffsetsError{Partition: offsets.Partition{Topic: b.in, Number: 1}, From: 10, To: 17}, lost)
		require.Equal(t, eos.Stop, sessionNext(err))
		require.NoError(t, s.Close(t.Context()))
	}
	b.accept(lost)
	b.work(b.open(b.config("a")))
	b.requireOnce()
}

// The same in the midst of a run: what the session has not fetched yet is deleted behind its back.
func TestSessionLostOffsetsWhileRunning(t *testing.T) {
	b := newSessionBench(t)
	b.write(30)
	cfg, tap := b.tapped("a")
	s := b.open(cfg)
	require.Empty(t, b.copy(s, 30))
	held := tap.Hold(wiretap.Rule{API: kmsg.Fetch, Action: wiretap.HoldRequest, Count: wiretap.Always})
	b.await(held.Reached(), "a fetch")
	b.write(60)
	b.deleteRecords(2, 25)
	held.Release()
	var lost *eos.LostOffsetsError
	require.ErrorAs(t, b.untilError(s), &lost)
	require.Equal(t, &eos.LostOffsetsError{Partition: offsets.Partition{Topic: b.in, Number: 2}, From: 10, To: 25}, lost)
	require.NoError(t, s.Close(t.Context()))
	b.accept(lost)
	b.work(b.open(b.config("a")))
	b.requireOnce()
}
