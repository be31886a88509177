package fault

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
)

// requireRefused requires that the session stops at a record that the broker refuses for this reason, with nothing of its
// batch committed; when the reason is mended, a new session copies all.
func requireRefused(b *bench.Bench, why error, mend func()) {
	b.T.Helper()
	s := b.Open(b.Config("a"))
	err := b.UntilError(s)
	require.ErrorIs(b.T, err, why)
	var rejected *eos.RejectedError
	require.ErrorAs(b.T, err, &rejected)
	require.Equal(b.T, eos.Stop, bench.Next(err))
	require.NoError(b.T, s.Close(b.T.Context()))
	report := b.Report()
	require.Zero(b.T, report.Out, "%s", report)
	mend()
	w := b.Work(b.Open(b.Config("a")))
	b.RequireOnce()
	w.Stop(b.T)
}

// A record without a key for a compacted topic is refused (INVALID_RECORD): nothing is committed without it.
func TestFaultNoKeyOnCompactedOutput(t *testing.T) {
	t.Parallel()
	b := bench.New(t, "cleanup.policy=compact")
	b.Write(30)
	requireRefused(b, kerr.InvalidRecord, func() { b.SetTopic("cleanup.policy", "delete") })
}

// A record whose timestamp the output's topic does not take is refused (INVALID_TIMESTAMP): nothing is committed without it.
func TestFaultTimestampOutOfBounds(t *testing.T) {
	t.Parallel()
	b := bench.New(t, "message.timestamp.before.max.ms=60000")
	b.Write(30)
	s := b.Open(b.Config("a"))
	batch := b.Poll(s)
	late := func(yield func(*kgo.Record) bool) {
		for r := range b.Copies(batch) {
			r.Timestamp = time.Now().Add(-time.Hour)
			if !yield(r) {
				return
			}
		}
	}
	err := s.Commit(t.Context(), batch, late)
	require.Error(t, err)
	var e *eos.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, eos.Aborted, e.Outcome)
	w := b.Work(s)
	b.RequireOnce()
	w.Stop(t)
}

// The output's limit is lowered while a session runs: what does not fit any more stops it, and nothing is lost.
func TestFaultLimitLoweredInTheRun(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	b.Write(30)
	s := b.Open(b.Config("a"))
	require.Empty(t, b.Copy(s, 30))
	b.SetTopic("max.message.bytes", "100000")
	b.Write(30)
	b.WriteBig(1, bench.BigRecord)
	b.Write(30)
	err := b.UntilError(s)
	require.ErrorIs(t, err, kerr.MessageTooLarge)
	require.NoError(t, s.Close(t.Context()))
	b.SetTopic("max.message.bytes", "1000000")
	w := b.Work(b.Open(b.Config("a")))
	b.RequireOnce()
	w.Stop(t)
}
