package integration

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// matching is a pattern for exactly these names.
func matching(names ...string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	return strings.Join(quoted, "|")
}

// A pipe with a pattern reads all topics that match until their end, but not its output, which matches too; verify, given the same pattern, finds
// every record once.
func TestPipePattern(t *testing.T) {
	t.Parallel()
	p := newPipe(t, kafkatest.Shared(t), shape{from: []int32{3, 1}, to: []int32{2}})
	p.pattern = matching(p.from[0], p.from[1], p.to[0])
	p.fill(600)
	for range 2 { // what it has written is no input the second time either
		require.Zero(t, p.start("a", "--until-end").wait(time.Minute))
	}
	p.requireExactlyOnce(600, 600)
	p.pattern = matching("no-" + p.from[0])
	hint := p.start("b").requireFails(20*time.Second, 1, "topic does not exist: none that this client may see matches the pattern")
	require.Contains(t, hint, "check its name")
}

// A topic that is created while a session runs and matches the pattern is read from its first record; the output, which matches as well, is not read.
func TestSessionPatternNewTopic(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t)
	created := kafkatest.Name(t, "created")
	cfg := b.config("a")
	cfg.Topics, cfg.TopicPattern = nil, matching(b.in, b.out, created)
	cfg.Client = []kgo.Opt{kgo.MetadataMaxAge(time.Second)}
	w := b.work(b.open(cfg))
	b.write(30)
	b.caughtUp()
	b.kafka.CreateTopic(t, created, sessionPartitions)
	for p := range int32(sessionPartitions) { // the records that follow those of the input, in another topic
		r := b.next(p, 0)
		r.Topic = created
		require.NoError(t, b.plain.ProduceSync(t.Context(), r).FirstErr())
	}
	b.eventually("the records of the new topic are there", func() bool { return len(b.readOutput()) >= 30+sessionPartitions })
	w.stop(t)
	report := b.report()
	require.True(t, report.OK(), "%s", report)
	require.EqualValues(t, 30+sessionPartitions, report.Out)
}

// A topic that is deleted while a session reads it by a pattern does not stop it: it reads the other topics on, and so does the next session.
func TestSessionPatternTopicDeleted(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t)
	gone := kafkatest.Name(t, "gone")
	b.kafka.CreateTopic(t, gone, sessionPartitions)
	cfg := b.config("a")
	cfg.Topics, cfg.TopicPattern = nil, matching(b.in, gone)
	cfg.Client = []kgo.Opt{kgo.MetadataMaxAge(time.Second)}
	s := b.open(cfg)
	b.write(30)
	require.Empty(t, b.copy(s, 30))
	_, err := b.adm.DeleteTopic(t.Context(), gone)
	require.NoError(t, err)
	b.eventually("the topic is gone", func() bool {
		topics, err := b.adm.ListTopics(t.Context())
		return err == nil && !topics.Has(gone)
	})
	for range 5 {
		b.write(30)
		require.Empty(t, b.copy(s, 30))
	}
	require.NoError(t, s.Close(t.Context()))
	b.write(30)
	cfg.Start = eos.StartNone
	s = b.open(cfg)
	require.Empty(t, b.copy(s, 30))
	b.requireOnce()
}
