package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// committed reads the n committed records of a topic, and returns "partition key=value headers" of each, sorted.
func committed(t *testing.T, addr, topic string, n int) (all []string) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(t, err)
	defer cl.Close()
	for len(all) < n {
		fs := cl.PollFetches(t.Context())
		require.NoError(t, fs.Err())
		fs.EachRecord(func(r *kgo.Record) {
			line := fmt.Sprintf("%d %s=%s", r.Partition, r.Key, r.Value)
			for _, h := range r.Headers {
				line += " " + h.Key + "=" + string(h.Value)
			}
			all = append(all, line)
		})
	}
	slices.Sort(all)
	return all
}

// A record that --map cannot process stops the pipe, or is left out, or goes to the topic of dead letters; from there dlq replay puts it back
// where it was, once, and when the program is mended it is processed.
func TestDeadLettersAndBack(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.ClusterID(t.Name()), kfake.NumBrokers(1), kfake.SeedTopics(3, "in"), kfake.SeedTopics(1, "out", "dead", "other"),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	addr := c.ListenAddrs()[0]
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer cl.Close()
	write := func(values ...string) {
		for _, v := range values {
			r := &kgo.Record{Topic: "in", Partition: 2, Value: []byte(v), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("1")}}}
			require.NoError(t, cl.ProduceSync(t.Context(), r).FirstErr())
		}
	}
	write("1", `"x"`, "3")
	run := func(more ...string) (int, string, string) {
		return call(t, append([]string{"run", "-b", addr, "--from", "in", "--to", "out", "--group", "g", "--until-end", "--provenance", "--map", ".value += 1"}, more...)...)
	}

	code, _, stderr := run()
	require.Equal(t, exitOperator, code)
	require.Contains(t, stderr, "handle record in-2@1")
	require.Contains(t, stderr, "--on-error dead-letter or skip")

	code, stdout, stderr := run("--on-error", "dead-letter", "--dead-letter-topic", "dead")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "3 records in, 3 out (0 left out, 1 of the output are dead letters)")
	require.Equal(t, []string{"0 =2 h=1 eos-pipe-from=in-2@0 0/1", "0 =4 h=1 eos-pipe-from=in-2@2 0/1"}, committed(t, addr, "out", 2))
	verify := []string{"verify", "-b", addr, "--from", "in", "--to", "out", "--group", "g", "--map", ".value += 1", "--on-error"}
	code, stdout, stderr = call(t, append(verify, "dead-letter", "--dead-letter-topic", "dead")...)
	require.Zero(t, code, stdout+stderr)
	require.Contains(t, stdout, "in=3 out=3 lost=0 doubled=0")
	code, _, stderr = call(t, append(verify, "stop")...)
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "in-2@1: --map")
	code, stdout, stderr = call(t, append(verify, "skip")...)
	require.Zero(t, code, stdout+stderr)
	require.Contains(t, stdout, "in=3 out=2 lost=0 doubled=0")
	dead := committed(t, addr, "dead", 1)[0]
	require.Contains(t, dead, `0 ="x" h=1 eos-pipe-dlq-topic=in eos-pipe-dlq-partition=2 eos-pipe-dlq-offset=1 eos-pipe-dlq-timestamp=`)
	require.Contains(t, dead, "eos-pipe-dlq-error=handle eos-pipe-dlq-message=--map: ")
	require.True(t, strings.HasSuffix(dead, "eos-pipe-dlq-attempt=1"), dead)

	replay := []string{"dlq", "replay", "-b", addr, "--from", "dead", "--to"}
	code, _, stderr = call(t, append(replay, "other")...)
	require.Equal(t, exitOperator, code)
	require.Contains(t, stderr, "it came from topic in, which --to does not name")
	for _, want := range []string{"1 records in, 1 out", "0 records in, 0 out"} {
		code, stdout, stderr = call(t, append(replay, "other,in")...)
		require.Zero(t, code, stderr)
		require.Contains(t, stdout, want)
	}
	require.Equal(t, []string{`2 ="x" h=1`, `2 ="x" h=1`, "2 =1 h=1", "2 =3 h=1"}, committed(t, addr, "in", 4))

	write(`"y"`)
	code, stdout, stderr = call(t, "run", "-b", addr, "--from", "in", "--to", "out", "--group", "g", "--until-end", "--map", `.value += "1"`,
		"--on-error", "skip", "--parallel", "4")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "2 records in, 2 out,")
	outs := committed(t, addr, "out", 4)
	require.Equal(t, []string{`0 ="x1" h=1`, `0 ="y1" h=1`}, outs[:2])
}

// A program that never ends for a record is stopped by --handler-timeout, and the record given up.
func TestHandlerTimeout(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.ClusterID(t.Name()), kfake.NumBrokers(1), kfake.SeedTopics(2, "orders", "out"))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	addr := c.ListenAddrs()[0]
	transact(t, addr, "a", kgo.NoCompression(), "1")
	code, stdout, stderr := call(t, "run", "-b", addr, "--from", "orders", "--to", "out", "--group", "g", "--until-end",
		"--filter", "last(repeat(1))", "--handler-timeout", "50ms", "--on-error", "skip")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "2 records in, 0 out (2 left out")
	require.Contains(t, stderr, "not done within 50ms")
}

// A batch that grows beyond --max-decompressed stops the pipe, or one dead letter stands for it: verify misses nothing then, and dlq replay leaves it
// out, as it has nothing to put back.
func TestDeadLetterOfABatch(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.ClusterID(t.Name()), kfake.NumBrokers(1), kfake.SeedTopics(1, "in", "out", "dead"),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	addr := c.ListenAddrs()[0]
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ManualFlushing(), kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(8<<20))
	require.NoError(t, err)
	defer cl.Close()
	for _, values := range [][][]byte{{[]byte("before")}, {make([]byte, 1<<20), make([]byte, 1<<20), make([]byte, 1<<20)}, {[]byte("behind")}} {
		for _, v := range values {
			cl.Produce(t.Context(), &kgo.Record{Topic: "in", Value: v}, nil)
		}
		require.NoError(t, cl.Flush(t.Context()))
	}
	pipe := []string{"run", "-b", addr, "--from", "in", "--to", "out", "--group", "g", "--until-end", "--provenance", "--max-decompressed", "2MiB"}
	code, _, stderr := call(t, pipe...)
	require.Equal(t, exitOperator, code)
	require.Contains(t, stderr, "in-0 cannot be read from offset 1 on")
	require.Contains(t, stderr, "or else pass over it, with --on-error dead-letter or skip")

	dead := []string{"--on-error", "dead-letter", "--dead-letter-topic", "dead"}
	code, stdout, stderr := call(t, append(pipe, dead...)...)
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "2 records in, 2 out (0 left out, 1 of the output are dead letters)")
	letter := committed(t, addr, "dead", 1)[0]
	require.Contains(t, letter, "0 = eos-pipe-dlq-topic=in eos-pipe-dlq-partition=0 eos-pipe-dlq-offset=3 eos-pipe-dlq-timestamp=")
	require.Contains(t, letter, "eos-pipe-dlq-error=unreadable eos-pipe-dlq-message=the batch at in-0@1..3 (")
	require.True(t, strings.HasSuffix(letter, "eos-pipe-dlq-attempt=1 eos-pipe-dlq-first-offset=1"), letter)
	code, stdout, stderr = call(t, append([]string{"verify", "-b", addr, "--from", "in", "--to", "out", "--group", "g"}, dead...)...)
	require.Zero(t, code, stdout+stderr)
	require.Contains(t, stdout, "in=5 out=5 lost=0 doubled=0")
	code, stdout, stderr = call(t, "dlq", "replay", "-b", addr, "--from", "dead", "--to", "in")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "1 records in, 0 out (1 left out")
}
