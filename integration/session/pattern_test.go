package session

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// A topic that is created while a session runs and matches the pattern is read from its first record; the output, which matches as well, is not read.
func TestSessionPatternNewTopic(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	created := kafkatest.Name(t, "created")
	cfg := b.Config("a")
	cfg.Topics, cfg.TopicPattern = nil, bench.Matching(b.In, b.Out, created)
	cfg.Client = []kgo.Opt{kgo.MetadataMaxAge(time.Second)}
	w := b.Work(b.Open(cfg))
	b.Write(30)
	b.CaughtUp()
	b.Cluster.CreateTopic(t, created, bench.Partitions)
	for p := range int32(bench.Partitions) { // the records that follow those of the input, in another topic
		r := b.Next(p, 0)
		r.Topic = created
		require.NoError(t, b.Plain.ProduceSync(t.Context(), r).FirstErr())
	}
	b.Eventually("the records of the new topic are there", func() bool { return len(b.ReadOutput()) >= 30+bench.Partitions })
	w.Stop(t)
	report := b.Report()
	require.True(t, report.OK(), "%s", report)
	require.EqualValues(t, 30+bench.Partitions, report.Out)
}

// A topic that is deleted while a session reads it by a pattern does not stop it: it reads the other topics on, and so does the next session.
func TestSessionPatternTopicDeleted(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	gone := kafkatest.Name(t, "gone")
	b.Cluster.CreateTopic(t, gone, bench.Partitions)
	cfg := b.Config("a")
	cfg.Topics, cfg.TopicPattern = nil, bench.Matching(b.In, gone)
	cfg.Client = []kgo.Opt{kgo.MetadataMaxAge(time.Second)}
	s := b.Open(cfg)
	b.Write(30)
	require.Empty(t, b.Copy(s, 30))
	_, err := b.Adm.DeleteTopic(t.Context(), gone)
	require.NoError(t, err)
	b.Eventually("the topic is gone", func() bool {
		topics, err := b.Adm.ListTopics(t.Context())
		return err == nil && !topics.Has(gone)
	})
	for range 5 {
		b.Write(30)
		require.Empty(t, b.Copy(s, 30))
	}
	require.NoError(t, s.Close(t.Context()))
	b.Write(30)
	cfg.Start = eos.StartNone
	s = b.Open(cfg)
	require.Empty(t, b.Copy(s, 30))
	b.RequireOnce()
}
