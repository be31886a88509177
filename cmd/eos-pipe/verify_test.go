package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// verify counts what it reads of each side up to where that side is judged, and no further: what the pipe writes meanwhile is not of its total. Where
// the program fails for a record that the group has committed, it says what it was not told of the pipe.
func TestVerifySaysWhatItReads(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.ClusterID(t.Name()), kfake.NumBrokers(1), kfake.SeedTopics(2, "in", "out"))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	addr := c.ListenAddrs()[0]
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	for i := range 60 {
		in := kgo.Record{Topic: "in", Partition: int32(i % 2), Value: fmt.Append(nil, i)}
		out := kgo.Record{Topic: "out", Partition: in.Partition, Value: in.Value}
		out.Headers = []kgo.RecordHeader{{Key: "eos-pipe-from", Value: fmt.Appendf(nil, "in-%d@%d 0/1", in.Partition, i/2)}}
		require.NoError(t, cl.ProduceSync(t.Context(), &in, &out).FirstErr())
	}
	at := kadm.Offsets{}
	at.AddOffset("in", 0, 30, -1)
	at.AddOffset("in", 1, 30, -1)
	require.NoError(t, kadm.NewClient(cl).CommitAllOffsets(t.Context(), "g", at))
	for range 40 {
		require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Value: []byte("later")}).FirstErr())
	}
	verify := []string{"verify", "-b", addr, "--from", "in", "--to", "out", "--group", "g"}
	code, stdout, stderr := call(t, verify...)
	require.Zero(t, code, stdout+stderr)
	var read []string
	for line := range strings.Lines(stderr) {
		var e struct {
			Msg, What   string
			Done, Total int
		}
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		if e.Msg == "finished" {
			read = append(read, fmt.Sprint(e.What, " ", e.Done, " of ", e.Total))
		}
	}
	require.Equal(t, []string{"offsets of the input read 60 of 60", "offsets of the output read 60 of 60"}, read)

	code, _, stderr = call(t, append(verify, "--filter", `if .offset == 7 then error("bad") else true end`)...)
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "@7: --filter: ")
	require.Contains(t, stderr, "give verify the --on-error")
}

// fakeTopics is an embedded broker with topics of one partition, and a client that writes to it.
func fakeTopics(t *testing.T, topics ...string) (addr string, write func(...*kgo.Record)) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics...), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return c.ListenAddrs()[0], func(rs ...*kgo.Record) {
		t.Helper()
		require.NoError(t, cl.ProduceSync(t.Context(), rs...).FirstErr())
	}
}

// The header of another pipe says nothing about this one: verify says that nothing can be compared, and how it can be, and counts nothing as lost. Where some outputs
// have the header of this pipe, those without are foreign, as ever.
func TestVerifyTheHeaderOfAnotherPipe(t *testing.T) {
	t.Parallel()
	addr, write := fakeTopics(t, "a", "b", "c", "d")
	for i := range 25 {
		write(&kgo.Record{Topic: "a", Value: []byte{'1' + byte(i/10), '0' + byte(i%10)}})
	}
	for _, step := range [][]string{{"a", "b", "--provenance"}, {"b", "c", "--provenance"}, {"c", "d"}} {
		code, _, stderr := call(t, append([]string{"run", "-b", addr, "--from", step[0], "--to", step[1], "--group", step[1], "--until-end"}, step[2:]...)...)
		require.Zero(t, code, stderr)
	}
	verify := []string{"verify", "-b", addr, "--from", "c", "--to", "d", "--group", "d"}
	code, stdout, stderr := call(t, verify...)
	require.Equal(t, exitFailure, code)
	require.Contains(t, stdout, "nothing could be compared: in=25 out=25 lost=0 doubled=0 phantom=0 reordered=0 torn=0 foreign=25")
	require.NotContains(t, stdout, "lost:")
	require.Contains(t, stderr, "none of its records says, by the header eos-pipe-from, that it comes from the input")
	require.Contains(t, stderr, "give --id")
	_, stdout, _ = call(t, append(verify, "--json")...)
	require.Contains(t, stdout, `"incomparable":true`)
	code, stdout, _ = call(t, append(verify, "--id", ".value")...)
	require.Zero(t, code, stdout)
	require.Contains(t, stdout, "in=25 out=25 lost=0")

	code, _, stderr = call(t, "run", "-b", addr, "--from", "c", "--to", "d", "--group", "d2", "--until-end", "--provenance")
	require.Zero(t, code, stderr)
	code, stdout, _ = call(t, "verify", "-b", addr, "--from", "c", "--to", "d", "--group", "d2")
	require.Equal(t, exitFailure, code)
	require.Contains(t, stdout, "in=25 out=50 lost=0 doubled=0 phantom=0 reordered=0 torn=0 foreign=25")
}
