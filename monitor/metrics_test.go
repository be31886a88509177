package monitor_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// What /metrics says after a run is what the run did: records and bytes on both sides, what was given up, transactions, phases, and no lag.
func TestMetricsOfARun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.produce(200)
	cfg := b.config()
	cfg.Lanes = 2
	w := b.run(quick(), cfg, pipe)
	eventually(t, "all is processed, and seen", func() bool {
		return figure(t, w.Monitor, "eos_pipe_records_in_total") == 200 && figure(t, w.Monitor, "eos_pipe_partitions_assigned") == 4 &&
			len(w.Status().Partitions) == 4 && w.Status().Partitions[0].StableLag == 0
	})
	is := func(want float64, name string, labels ...string) {
		t.Helper()
		require.Contains(t, families(t, w.Monitor), name)
		require.InDelta(t, want, figure(t, w.Monitor, name, labels...), 0, "%s %v", name, labels)
	}
	stats := w.count.Stats()
	is(180, "eos_pipe_records_out_total")
	is(20, "eos_pipe_records_skipped_total")
	is(20, "eos_pipe_records_dead_lettered_total")
	is(200*10+10*1+90*2+100*3, "eos_pipe_in_bytes_total") // keys and values
	require.Less(t, figure(t, w.Monitor, "eos_pipe_out_bytes_total"), figure(t, w.Monitor, "eos_pipe_in_bytes_total"))
	is(float64(stats.Transactions), "eos_pipe_transactions_committed_total")
	is(float64(stats.Transactions+stats.Aborted), "eos_pipe_transactions_begun_total")
	is(float64(stats.Aborted), "eos_pipe_transactions_aborted_total")
	is(float64(stats.Aborted), "eos_pipe_transactions_aborted_total", "cause", "rebalance")
	for _, phase := range []string{"flush", "end", "whole"} {
		is(float64(stats.Transactions+stats.Aborted), "eos_pipe_transaction_duration_seconds", "phase", phase)
	}
	is(0, "eos_pipe_transactions_in_doubt_total")
	is(0, "eos_pipe_last_stable_offset_lag_records")
	is(0, "eos_pipe_high_watermark_lag_records")
	is(1, "eos_pipe_lane_state", "transactional_id", "app-i-1")
	is(0, "eos_pipe_clients_replaced_total")
	is(1, "eos_pipe_ready")
	require.Positive(t, figure(t, w.Monitor, "eos_pipe_client_fetch_records_total", "topic", "in"))
	require.GreaterOrEqual(t, figure(t, w.Monitor, "eos_pipe_client_produce_records_total", "topic", "out"), 160.0)
	require.NoError(t, w.end())
	is(2, "eos_pipe_lane_state", "state", "stopped")
	is(0, "eos_pipe_lane_failed")
	is(1, "eos_pipe_healthy")
	is(0, "eos_pipe_ready")
}

// The answer to one commit is lost: the transaction counts as in doubt, and found committed; the client was replaced, and nothing aborted for it.
func TestMetricsOfALostAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.produce(40)
	tap := wiretap.New()
	t.Cleanup(tap.Close)
	lost := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropReply, Count: 1})
	cfg := b.config()
	cfg.Session.Client = []kgo.Opt{kgo.Dialer(tap.Dial), kgo.RetryTimeout(0), kgo.RequestRetries(0)}
	w := b.run(quick(), cfg, pipe)
	eventually(t, "all is processed", func() bool { return figure(t, w.Monitor, "eos_pipe_records_in_total") == 40 })
	require.Equal(t, 1, lost.Hits())
	require.EqualValues(t, 1, figure(t, w.Monitor, "eos_pipe_transactions_in_doubt_total"))
	require.EqualValues(t, 1, figure(t, w.Monitor, "eos_pipe_transactions_in_doubt_total", "outcome", "committed"))
	require.EqualValues(t, 1, figure(t, w.Monitor, "eos_pipe_clients_replaced_total"))
	require.EqualValues(t, 0, figure(t, w.Monitor, "eos_pipe_transactions_aborted_total"))
	require.EqualValues(t, 1, w.Status().Totals.InDoubt["committed"])
	eventually(t, "ready again", func() bool { return w.Status().Ready.OK })
	require.NoError(t, w.end())
}

// The request for one commit is lost: the transaction is in doubt, and found aborted, for the network.
func TestMetricsOfALostRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.produce(40)
	tap := wiretap.New()
	t.Cleanup(tap.Close)
	lost := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropRequest, Count: 1})
	cfg := b.config()
	cfg.Session.Client = []kgo.Opt{kgo.Dialer(tap.Dial), kgo.RetryTimeout(0), kgo.RequestRetries(0)}
	w := b.run(quick(), cfg, pipe)
	eventually(t, "all is processed", func() bool { return figure(t, w.Monitor, "eos_pipe_records_in_total") == 40 })
	require.Equal(t, 1, lost.Hits())
	require.EqualValues(t, 1, figure(t, w.Monitor, "eos_pipe_transactions_in_doubt_total", "outcome", "aborted"))
	require.EqualValues(t, 1, figure(t, w.Monitor, "eos_pipe_transactions_aborted_total", "cause", "network"))
	require.EqualValues(t, 1, figure(t, w.Monitor, "eos_pipe_transactions_aborted_total"))
	require.NoError(t, w.end())
}

// A transaction of somebody else hangs on the input: what is behind it is lag to the high watermark, not to the last stable offset,
// and the process stays ready. When it is ended, both are 0.
func TestLagBehindAHangingTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.produce(40)
	w := b.run(quick(), b.config(), pipe)
	foreign, err := kgo.NewClient(kgo.SeedBrokers(b.servers...), kgo.TransactionalID("foreign"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer foreign.Close()
	require.NoError(t, foreign.BeginTransaction())
	require.NoError(t, foreign.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Partition: 1, Value: []byte("1")}).FirstErr())
	b.produce(40)
	lags := func() [2]float64 {
		return [2]float64{figure(t, w.Monitor, "eos_pipe_last_stable_offset_lag_records"), figure(t, w.Monitor, "eos_pipe_high_watermark_lag_records")}
	}
	eventually(t, "the rest is processed", func() bool { return figure(t, w.Monitor, "eos_pipe_records_in_total") == 70 })
	eventually(t, "what hangs is seen", func() bool { return lags() == [2]float64{0, 11} })
	require.InDelta(t, 11, figure(t, w.Monitor, "eos_pipe_high_watermark_lag_records", "topic", "in", "partition", "1"), 0)
	require.True(t, w.Status().Ready.OK, w.Status().Ready.Reasons)
	_, page := get(t, w.Monitor, "/")
	require.Equal(t, 1, strings.Count(page, ">waits for an open transaction<"))
	require.NoError(t, foreign.EndTransaction(t.Context(), kgo.TryAbort))
	eventually(t, "nothing hangs", func() bool { return lags() == [2]float64{0, 0} })
	require.NoError(t, w.end())
}
