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
