package logtrace_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/internal/logtrace"
)

// orders is a broker with the topic "orders" of two partitions, with records in the first one, and a client of it.
func orders(t *testing.T) (*kfake.Cluster, *kgo.Client) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	cl, err := kgo.NewClient(append(cluster.Options(), kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	for _, v := range []string{"one", "two", "three"} {
		require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte(v)}).FirstErr())
	}
	return c, cl
}

func config() logtrace.RecordConfig {
	return logtrace.RecordConfig{Topic: "orders", Log: slog.New(slog.DiscardHandler)}
}

// A log is recorded whole, and nothing is found in it; progress counts every offset.
func TestRecord(t *testing.T) {
	t.Parallel()
	_, cl := orders(t)
	c := config()
	total, read := int64(0), int64(0)
	c.Progress = func(n int64) func(int64) {
		total = n
		return func(n int64) { read += n }
	}
	var text bytes.Buffer
	got, err := logtrace.Record(t.Context(), cl, c, &text)
	require.NoError(t, err)
	require.Equal(t, logtrace.Recorded{Topic: "orders", Partitions: 2, Counts: logtrace.Counts{Batches: 3}}, got)
	require.EqualValues(t, 3, total)
	require.EqualValues(t, 3, read)
	require.Contains(t, text.String(), "log of=orders-1 ")
	require.Contains(t, text.String(), " digest=")
	summary, err := logtrace.Judge(t.Context(), &text, logtrace.JudgeConfig{Found: func(f logtrace.Finding) error {
		require.Fail(t, f.String())
		return nil
	}})
	require.NoError(t, err)
	require.Equal(t, 2, summary.Partitions)

	c.Partitions, c.SkipDigests, c.Progress = []int32{0, 0}, true, nil
	text.Reset()
	got, err = logtrace.Record(t.Context(), cl, c, &text)
	require.NoError(t, err)
	require.Equal(t, 1, got.Partitions)
	require.NotContains(t, text.String(), "orders-1")
	require.NotContains(t, text.String(), " digest=")
}

// A topic or a partition that does not exist, and records that are deleted meanwhile, are errors that callers can tell apart.
func TestRecordErrors(t *testing.T) {
	t.Parallel()
	broker, cl := orders(t)
	c := config()
	c.Partitions = []int32{0, 7}
	_, err := logtrace.Record(t.Context(), cl, c, io.Discard)
	var missing *logtrace.NoPartitionError
	require.ErrorAs(t, err, &missing)
	require.Equal(t, logtrace.NoPartitionError{Topic: "orders", Number: 7, Count: 2}, *missing)

	c = config()
	c.Topic = "nowhere"
	_, err = logtrace.Record(t.Context(), cl, c, io.Discard)
	require.ErrorIs(t, err, eos.ErrNoTopic)

	broker.ControlKey(kmsg.Fetch.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		fetch, resp := req.(*kmsg.FetchRequest), req.ResponseKind().(*kmsg.FetchResponse)
		p := kmsg.NewFetchResponseTopicPartition()
		p.Partition, p.ErrorCode = fetch.Topics[0].Partitions[0].Partition, kerr.OffsetOutOfRange.Code
		topic := kmsg.NewFetchResponseTopic()
		topic.Topic, topic.TopicID, topic.Partitions = fetch.Topics[0].Topic, fetch.Topics[0].TopicID, append(topic.Partitions, p)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	_, err = logtrace.Record(t.Context(), cl, config(), io.Discard)
	require.ErrorIs(t, err, kerr.OffsetOutOfRange)
	require.ErrorContains(t, err, "read orders-0: offset 0 is no longer in the log")
}

// A trace that cannot be written is an error. WriteFile then leaves the folder as it was.
func TestWriteFile(t *testing.T) {
	t.Parallel()
	_, cl := orders(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "orders.trace")
	require.NoError(t, os.WriteFile(path, []byte("before"), 0o600))
	err := logtrace.WriteFile(path, func(io.Writer) error {
		_, err := logtrace.Record(t.Context(), cl, config(), full{})
		return err
	})
	require.ErrorContains(t, err, "cannot write the trace: the disk is full")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "before", string(text))

	require.NoError(t, logtrace.WriteFile(path, func(w io.Writer) error {
		_, err := io.Copy(w, strings.NewReader("after"))
		return err
	}))
	text, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "after", string(text))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.ErrorContains(t, logtrace.WriteFile(filepath.Join(dir, "no", "such"), nil), "cannot write the trace")
}

// full is a writer on a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }
