package kafkatest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestMain(m *testing.M) { Main(m) }

// The shared cluster serves transactions: what is committed is read, what is aborted is not. Two tests that ask for it
// get the same one, and topics of their own do not meet.
func TestSharedServesTransactions(t *testing.T) {
	c := Shared(t)
	require.Same(t, c, Shared(t))
	topic := Name(t, "events")
	c.CreateTopic(t, topic, 3, "retention.ms=3600000")
	p := newProducer(t, c, topic)
	p.transact(t, kgo.TryCommit, "a", "b")
	p.transact(t, kgo.TryAbort, "c")
	p.transact(t, kgo.TryCommit, "d")
	require.ElementsMatch(t, []string{"a", "b", "d"}, readCommitted(t, c, topic, 3))

	configs, err := c.Admin(t).DescribeTopicConfigs(t.Context(), topic)
	require.NoError(t, err)
	resource, err := configs.On(topic, nil)
	require.NoError(t, err)
	require.Contains(t, keyValues(resource.Configs), "retention.ms=3600000")
}

// A broker killed with SIGKILL and started again serves the same records at the same address, and its settings are
// those asked for.
func TestRestartKeepsData(t *testing.T) {
	begin := time.Now()
	c := Start(t, Set("message.max.bytes", "777777"))
	t.Logf("1 broker ready after %.1f s", time.Since(begin).Seconds())
	topic := Name(t, "events")
	c.CreateTopic(t, topic, 1)
	newProducer(t, c, topic).transact(t, kgo.TryCommit, "before")
	configs, err := c.Admin(t).DescribeBrokerConfigs(t.Context(), 1)
	require.NoError(t, err)
	require.Contains(t, keyValues(configs[0].Configs), "message.max.bytes=777777")

	before := c.Bootstrap()
	c.Kill(t, 1)
	require.Error(t, ping(t, c.Bootstrap()[0]), "a killed broker answers nobody")
	begin = time.Now()
	c.Restart(t, 1)
	t.Logf("ready again after %.1f s", time.Since(begin).Seconds())
	require.Equal(t, before, c.Bootstrap())
	newProducer(t, c, topic).transact(t, kgo.TryCommit, "after")
	require.Equal(t, []string{"before", "after"}, readCommitted(t, c, topic, 2))
}

// Three brokers with min.insync.replicas=2 go on committing when one is killed, whichever it is, and when Restart has
// returned, all have every record: another one may be killed at once.
func TestThreeBrokersSurviveTheKillOfOne(t *testing.T) {
	begin := time.Now()
	c := Start(t, Brokers(3))
	t.Logf("3 brokers ready after %.1f s", time.Since(begin).Seconds())
	topic := Name(t, "events")
	c.CreateTopic(t, topic, 3)
	p := newProducer(t, c, topic)
	p.transact(t, kgo.TryCommit, "all live")
	want := []string{"all live"}
	for node := 1; node <= 3; node++ {
		c.Kill(t, node)
		begin = time.Now()
		p.transact(t, kgo.TryCommit, fmt.Sprintf("%d is dead", node))
		t.Logf("broker %d is killed: committed after %.1f s", node, time.Since(begin).Seconds())
		begin = time.Now()
		c.Restart(t, node)
		t.Logf("all in sync after %.1f s", time.Since(begin).Seconds())
		want = append(want, fmt.Sprintf("%d is dead", node))
	}
	require.ElementsMatch(t, want, readCommitted(t, c, topic, len(want)))
}

// Without Kafka, a package whose TestMain is Main runs no test, passes, and says in one line what it left out; a word in
// EOS_TEST_KAFKA that means nothing is an error, not a pass.
func TestMainWithoutKafka(t *testing.T) {
	output, err := runSelf(t, "EOS_TEST_KAFKA=", "EOS_TEST_BOOTSTRAP=")
	require.NoError(t, err, output)
	require.Equal(t, leftOut+"\n", output)

	output, err = runSelf(t, "EOS_TEST_KAFKA=dokcer", "EOS_TEST_BOOTSTRAP=")
	require.Error(t, err)
	require.Contains(t, output, `EOS_TEST_KAFKA is "dokcer"`)
}

// The go command, which shows nothing of what passing packages print, shows that line all the same, even if its output
// goes to a file that both write to.
func TestGoCommandShowsWhatWasLeftOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "output")
	output, err := os.Create(path)
	require.NoError(t, err)
	defer output.Close()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", ".")
	cmd.Env = append(os.Environ(), "EOS_TEST_KAFKA=", "EOS_TEST_BOOTSTRAP=")
	cmd.Stdout, cmd.Stderr = output, output
	require.NoError(t, cmd.Run())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Regexp(t, "^"+regexp.QuoteMeta(leftOut)+"\nok  \t[^\n]*\n$", string(text))
}

// With only a cluster that is not ours, a test that wants its own to kill fails, and says why; it is not skipped.
func TestStartWithForeignCluster(t *testing.T) {
	t.Setenv("EOS_TEST_KAFKA", "")
	t.Setenv("EOS_TEST_BOOTSTRAP", "127.0.0.1:9092")
	_, err := start(t.Context(), nil)
	require.ErrorContains(t, err, "$EOS_TEST_BOOTSTRAP serves kafkatest.Shared only")

	c, err := startShared(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"127.0.0.1:9092"}, c.Bootstrap())
	require.Contains(t, c.untouchable, "$EOS_TEST_BOOTSTRAP")
}

// Names are legal for topics and never the same twice.
func TestName(t *testing.T) {
	t.Run("with spaces/and ünicode", func(t *testing.T) {
		require.Regexp(t, `^orders-[a-zA-Z0-9._-]{1,240}$`, Name(t, "orders"))
		require.NotEqual(t, Name(t, "orders"), Name(t, "orders"))
	})
}

// A setting's variable is the one that the image turns back into the setting.
func TestEnvName(t *testing.T) {
	require.Equal(t, "KAFKA_LOG_RETENTION_MS", envName("log.retention.ms"))
	require.Equal(t, "KAFKA_A__B___C", envName("a_b-c"))
}

// producer writes transactions to one topic.
type producer struct{ *kgo.Client }

func newProducer(t *testing.T, c *Cluster, topic string) producer {
	return producer{c.Client(t, kgo.TransactionalID(Name(t, "writer")), kgo.DefaultProduceTopic(topic),
		kgo.DialTimeout(2*time.Second), kgo.RequestTimeoutOverhead(3*time.Second), kgo.ProduceRequestTimeout(5*time.Second))}
}

func (p producer) transact(t *testing.T, end kgo.TransactionEndTry, values ...string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, p.BeginTransaction())
	for _, value := range values {
		require.NoError(t, p.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr())
	}
	require.NoError(t, p.EndTransaction(ctx, end))
}

// readCommitted reads n records of a topic and, if there are more already, those too.
func readCommitted(t *testing.T, c *Cluster, topic string, n int) (values []string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl := c.Client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	for len(values) < n {
		fetches := cl.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

func keyValues(configs []kadm.Config) (lines []string) {
	for _, config := range configs {
		lines = append(lines, config.Key+"="+config.MaybeValue())
	}
	return lines
}

func ping(t *testing.T, address string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DialTimeout(time.Second), kgo.RequestRetries(0))
	require.NoError(t, err)
	defer cl.Close()
	return cl.Ping(t.Context())
}

// runSelf runs this test binary as the go command would, with a changed environment.
func runSelf(t *testing.T, env ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=TestRestartKeepsData")
	cmd.Env = append(os.Environ(), env...)
	output, err := cmd.CombinedOutput()
	return string(output), err
}
