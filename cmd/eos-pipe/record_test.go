package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/logtest"
	"github.com/eos-pipe/eos-pipe/trace"
)

// fakeBroker runs one with the topic "orders", of two partitions, and returns its address.
func fakeBroker(t *testing.T) string {
	c, err := kfake.NewCluster(kfake.ClusterID(t.Name()), kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

// transact writes each of the values in a transaction of its own, and commits those that do not begin with "abort".
func transact(t *testing.T, addr, id string, compression kgo.CompressionCodec, values ...string) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID(id), kgo.DefaultProduceTopic("orders"), kgo.ProducerBatchCompression(compression),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer cl.Close()
	for _, v := range values {
		require.NoError(t, cl.BeginTransaction())
		for range 2 { // the second one finds the topic loaded, so that the transaction is never taken for empty
			require.NoError(t, cl.ProduceSync(t.Context(), kgo.StringRecord(v)).FirstErr())
		}
		require.NoError(t, cl.Flush(t.Context()))
		require.NoError(t, cl.EndTransaction(t.Context(), kgo.TransactionEndTry(!strings.HasPrefix(v, "abort"))))
	}
}

func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	var out, err logtest.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	code = execute(ctx, args, &out, &err)
	return code, out.String(), err.String()
}

// A log that is recorded and judged holds what was written: committed and aborted transactions of several codecs, and nothing to find but
// what was written twice. (kfake's markers keep the epoch, as those of older brokers do.)
func TestRecordThenValidate(t *testing.T) {
	t.Parallel()
	addr := fakeBroker(t)
	transact(t, addr, "a", kgo.GzipCompression(), "one", "abort", "two")
	transact(t, addr, "b", kgo.ZstdCompression(), "three", "abort it")
	file := filepath.Join(t.TempDir(), "orders.trace")

	code, stdout, stderr := call(t, "record", "-b", addr, "--topic", "orders", "--out", file)
	require.Zero(t, code, stderr)
	require.Equal(t, file+": topic=orders partitions=2 batches=10 markers=5 open=0\n", stdout)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	kinds := map[string]int{}
	for e, err := range trace.Read(bytes.NewReader(text)) {
		require.NoError(t, err)
		kinds[e.Kind()]++
	}
	require.Equal(t, map[string]int{"time": 1, "log": 2, "produce": 10, "marker": 5, "fetch": 3}, kinds, "%s", text)

	code, stdout, stderr = call(t, "validate", file)
	require.Zero(t, code, "%s%s\n%s", stdout, stderr, text)
	require.Contains(t, stdout, "findings=0 notes=3 events=21 partitions=2 producers=2 open=0\n")
	code, stdout, _ = call(t, "validate", file, "--duplicates", "ignore")
	require.Zero(t, code)
	require.Contains(t, stdout, "findings=0 notes=0 ")

	code, stdout, stderr = call(t, "record", "-b", addr, "--topic", "orders", "--skip-digests", "--partition", "0", "--quiet")
	require.Zero(t, code, stderr)
	require.NotContains(t, stdout, "digest=")
	require.NotContains(t, stdout, "orders-1")
}

// What cannot be recorded is said with a hint, and leaves no file behind.
func TestRecordFails(t *testing.T) {
	t.Parallel()
	addr := fakeBroker(t)
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--topic", "nowhere"}, exitFailure, "nowhere"},
		{[]string{"--topic", "orders", "--partition", "7"}, exitUsage, "no partition 7"},
		{[]string{"--topic", "orders", "--out", filepath.Join(dir, "no", "such")}, exitFailure, "cannot write the trace"},
	} {
		code, stdout, stderr := call(t, append([]string{"record", "-b", addr, "--quiet"}, c.args...)...)
		require.Equal(t, c.code, code, stderr)
		require.Empty(t, stdout)
		require.Contains(t, stderr, fmt.Sprintf(`"exit_code":%d`, c.code))
		require.Contains(t, stderr, c.says)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}
