package eos_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/logtest"
)

// With StartNone a session opens only where the group has an offset for every partition, and says which it lacks.
func TestStartNone(t *testing.T) {
	b := setup(t)
	b.produce(30)
	none := b.config()
	none.Start = eos.StartNone
	refused := func(text string) {
		t.Helper()
		_, err := eos.Open(t.Context(), none)
		require.ErrorIs(t, err, eos.ErrNoOffset)
		require.ErrorContains(t, err, text)
		require.Equal(t, eos.Stop, nextOf(err))
	}
	refused("group g has none for in-0, in-1, in-2")
	s := b.open(b.config())
	require.Empty(t, run(t, s, 30))
	require.NoError(t, s.Close(t.Context()))
	b.produceFrom(30, 3)
	s = b.open(none)
	require.Empty(t, run(t, s, 3))
	require.NoError(t, s.Close(t.Context()))
	b.requireOnce(33)
	_, err := b.adm.DeleteOffsets(t.Context(), "g", kadm.TopicsSet{"in": {1: {}}})
	require.NoError(t, err)
	refused("group g has none for in-1")
}

// The commit of where the group starts is sent once by each member: without an answer the session becomes another member before it
// sends it again, so that the first, if it arrives after all, is refused.
func TestUnansweredStart(t *testing.T) {
	b := setup(t)
	b.produce(30)
	var members []string
	b.ControlKey(kmsg.OffsetCommit.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		members = append(members, req.(*kmsg.OffsetCommitRequest).MemberID)
		if len(members) < 3 {
			return nil, errors.New("the connection is cut"), true
		}
		return nil, nil, false
	})
	require.Empty(t, run(t, b.open(b.config()), 30))
	require.Len(t, members, 3)
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(members))), 3, "a member has sent it twice: %q", members)
	b.requireOnce(30)
}

// Offsets that were set by hand are said at the start; those of sessions, and where the group starts, are not.
func TestForeignOffsetsAreSaid(t *testing.T) {
	const text = "set by hand or by another program"
	b := setup(t)
	b.produce(1) // in partition 0; the others stand where the group starts
	var log logtest.Buffer
	cfg := b.config()
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	life := func(n int) {
		s := b.open(cfg)
		require.Empty(t, run(t, s, n))
		require.NoError(t, s.Close(t.Context()))
	}
	life(1)
	b.produceFrom(1, 8)
	life(8)
	require.NotContains(t, log.String(), text)
	var by kadm.Offsets
	by.AddOffset("in", 2, 1, -1)
	require.NoError(t, b.adm.CommitAllOffsets(t.Context(), "g", by))
	life(2)
	require.Contains(t, log.String(), text)
	require.Contains(t, log.String(), `offsets="in-2=1"`)
	log.Reset()
	b.produceFrom(9, 1)
	life(1)
	require.NotContains(t, log.String(), text)
}

// A producer id that does not come is said: kgo asks again without a word while the coordinator ends a predecessor's transaction.
func TestSlowProducerIDIsSaid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.produce(3)
	said := spotted{text: "still waiting for the producer id"}
	b.ControlKey(kmsg.InitProducerID.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		if said.Load() {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode = kerr.ConcurrentTransactions.Code
		return resp, nil, true
	})
	cfg := b.config()
	cfg.Logger = slog.New(slog.NewTextHandler(&said, nil))
	require.Empty(t, run(t, b.open(cfg), 3))
	b.requireOnce(3)
}

// A group that does not assign anything is said: on a new cluster, or where members come and go, its coordinator lets a member wait.
func TestSlowGroupIsSaid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.produce(3)
	said := spotted{text: "waiting for the group to assign partitions"}
	b.ControlKey(kmsg.JoinGroup.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		if said.Load() {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
		resp.ErrorCode = kerr.CoordinatorLoadInProgress.Code
		return resp, nil, true
	})
	cfg := b.config()
	cfg.Logger = slog.New(slog.NewTextHandler(&said, nil))
	require.Empty(t, run(t, b.open(cfg), 3))
	b.requireOnce(3)
}

// spotted is a log that is set when it says a text.
type spotted struct {
	atomic.Bool
	text string
}

func (s *spotted) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.text) {
		s.Store(true)
	}
	return len(p), nil
}
