package integration

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
)

// requireRefused requires that the session stops at a record that the broker refuses for this reason, with nothing of its
// batch committed; when the reason is mended, a new session copies all.
func (b *sessionBench) requireRefused(why error, mend func()) {
	b.t.Helper()
	s := b.open(b.config("a"))
	err := b.untilError(s)
	require.ErrorIs(b.t, err, why)
	var rejected *eos.RejectedError
	require.ErrorAs(b.t, err, &rejected)
	require.Equal(b.t, eos.Stop, sessionNext(err))
	require.NoError(b.t, s.Close(b.t.Context()))
	report := b.report()
	require.Zero(b.t, report.Out, "%s", report)
	mend()
	w := b.work(b.open(b.config("a")))
	b.requireOnce()
	w.stop(b.t)
}

// setTopic sets a config of the output and waits until the brokers say it.
func (b *sessionBench) setTopic(name, value string) {
	b.t.Helper()
	changed, err := b.adm.AlterTopicConfigs(b.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, b.out)
	require.NoError(b.t, err)
	require.NoError(b.t, changed[0].Err)
	b.eventually(name+" is set", func() bool {
		described, err := b.adm.DescribeTopicConfigs(b.t.Context(), b.out)
		if err != nil {
			return false
		}
		for _, c := range described[0].Configs {
			if c.Key == name && c.MaybeValue() == value {
				return true
			}
		}
		return false
	})
}

// A record without a key for a compacted topic is refused (INVALID_RECORD): nothing is committed without it.
func TestFaultNoKeyOnCompactedOutput(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t, "cleanup.policy=compact")
	b.write(30)
	b.requireRefused(kerr.InvalidRecord, func() { b.setTopic("cleanup.policy", "delete") })
}

// A record whose timestamp the output's topic does not take is refused (INVALID_TIMESTAMP): nothing is committed without it.
func TestFaultTimestampOutOfBounds(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t, "message.timestamp.before.max.ms=60000")
	b.write(30)
	s := b.open(b.config("a"))
	batch := b.poll(s)
	late := func(yield func(*kgo.Record) bool) {
		for r := range b.copies(batch) {
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
	w := b.work(s)
	b.requireOnce()
	w.stop(t)
}

// The output's limit is lowered while a session runs: what does not fit any more stops it, and nothing is lost.
func TestFaultLimitLoweredInTheRun(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t)
	b.write(30)
	s := b.open(b.config("a"))
	require.Empty(t, b.copy(s, 30))
	b.setTopic("max.message.bytes", "100000")
	b.write(30)
	b.writeBig(1, bigRecord)
	b.write(30)
	err := b.untilError(s)
	require.ErrorIs(t, err, kerr.MessageTooLarge)
	require.NoError(t, s.Close(t.Context()))
	b.setTopic("max.message.bytes", "1000000")
	w := b.work(b.open(b.config("a")))
	b.requireOnce()
	w.stop(t)
}
