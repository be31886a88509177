package processor_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// What a lane tells its work, while one transaction is aborted and the answer to a commit is lost: a partition is
// assigned before its records are processed and revoked at the latest at the end, each batch is committed or aborted,
// and an abort is followed by the same records.
func TestLaneTellsItsWork(t *testing.T) {
	b := setup(t)
	b.produce(200)
	tap := wiretap.New()
	t.Cleanup(tap.Close)
	commits := true
	faults := []*wiretap.Fault{
		tap.Add(wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.RewriteError, ErrorCode: kerr.IllegalGeneration.Code}),
		tap.Add(wiretap.Rule{API: kmsg.EndTxn, Commit: &commits, Action: wiretap.DropReply}),
	}
	cfg := b.config()
	cfg.Session.Client = []kgo.Opt{kgo.Dialer(tap.Dial), kgo.RetryTimeout(0), kgo.RequestRetries(0)}
	p, err := processor.New(cfg, double)
	require.NoError(t, err)
	var calls []processor.WorkCall
	processor.WatchWork(p, func(c processor.WorkCall) { calls = append(calls, c) })
	require.NoError(t, p.Run(t.Context()))
	for _, f := range faults {
		require.Positive(t, f.Hits(), "%v", f)
	}

	has, times := map[offsets.Partition]bool{}, map[string]int{}
	open := false // a batch is processed, and neither committed nor aborted
	for _, c := range calls {
		times[c.Name]++
		switch c.Name {
		case "assigned":
			for _, p := range c.Partitions {
				require.False(t, has[p], "%v was assigned twice", p)
				has[p] = true
			}
		case "revoked":
			for _, p := range c.Partitions {
				require.True(t, has[p], "%v was not assigned", p)
				delete(has, p)
			}
		case "process":
			require.False(t, open)
			open = true
			for _, p := range c.Partitions {
				require.True(t, has[p], "%v is not assigned", p)
			}
		case "committed", "aborted":
			require.True(t, open)
			open = false
		}
	}
	require.Empty(t, has, "what is still assigned at the end")
	require.Positive(t, times["aborted"])
	require.Equal(t, times["process"], times["committed"]+times["aborted"])
	require.Greater(t, times["revoked"], 1, "a new client has no partitions until it is assigned some")
	b.values("out", 200)
}
