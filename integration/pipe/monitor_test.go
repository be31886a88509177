package pipe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/monitor"
	"github.com/eos-pipe/eos-pipe/processor"
)

// watched is a process that serves what it does.
type watched struct {
	*proc.Process
	p  *proc.Pipe
	at string
}

// watch starts an instance of `eos-pipe run --http`.
func watch(p *proc.Pipe, instance string, more ...string) *watched {
	p.T.Helper()
	w := &watched{Process: p.Start(instance, append([]string{"--http", "127.0.0.1:0"}, more...)...), p: p}
	url := regexp.MustCompile(`"url":"(http://[^"]+)/"`)
	p.Await("the process says where it serves", 20*time.Second, func(context.Context) (bool, error) {
		if m := url.FindStringSubmatch(w.Stderr()); m != nil {
			w.at = m[1]
		}
		return w.at != "", nil
	})
	return w
}

// get asks the process for a path.
func (w *watched) get(path string) (int, string, error) {
	resp, err := http.Get(w.at + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func (w *watched) status() (s monitor.Status, err error) {
	code, body, err := w.get("/api/status")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("status %d: %s", code, body)
	}
	if err == nil {
		err = json.Unmarshal([]byte(body), &s)
	}
	return s, err
}

// awaitStatus waits until the status is as ok wants it.
func (w *watched) awaitStatus(what string, ok func(monitor.Status) bool) (s monitor.Status) {
	w.p.T.Helper()
	w.p.Await(what, time.Minute, func(context.Context) (bool, error) {
		var err error
		s, err = w.status()
		return err == nil && ok(s), err
	})
	return s
}

// lags are the sums over the partitions, to the last stable offset and to the high watermark.
func lags(s monitor.Status) (stable, high int64) {
	for _, p := range s.Partitions {
		stable += p.StableLag
		high += p.HighLag
	}
	return stable, high
}

// What a process says of itself is what the brokers say: records in and out, committed transactions, and where each partition stands. A SIGTERM
// turns /readyz off; /healthz stays on. What it prints at its end is the same.
func TestMonitorAgreesWithKafka(t *testing.T) {
	t.Parallel()
	const total = 20_000
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix, "--lanes", "2", "--max-records", "1000")
	p.Fill(total)
	w := watch(p, "a")
	s := w.awaitStatus("all is processed, and seen", func(s monitor.Status) bool {
		stable, high := lags(s)
		return s.Totals.RecordsIn == total && len(s.Partitions) == 6 && stable == 0 && high == 0 && s.Ready.OK && s.Healthy.OK
	})
	require.EqualValues(t, total, s.Totals.RecordsOut)
	committed, err := p.Committed(t.Context())
	require.NoError(t, err)
	for _, part := range s.Partitions {
		found := false
		for at, pos := range committed {
			if at.Topic == part.Topic && at.Number == part.Partition {
				found = true
				require.Equal(t, pos.Offset, part.Committed, at)
			}
		}
		require.True(t, found, part)
	}
	_, metrics, err := w.get("/metrics")
	require.NoError(t, err)
	require.Regexp(t, `eos_pipe_last_stable_offset_lag_records\{partition="5",topic="`+p.From[0]+`"\} 0\n`, metrics)
	w.Drain(syscall.SIGTERM)
	r := w.Result()
	require.Equal(t, []int64{s.Totals.RecordsIn, s.Totals.RecordsOut, s.Totals.Committed}, []int64{r.In, r.Out, r.Transactions})
	p.RequireExactlyOnce(total, total)
}

// A transaction of another producer hangs on the input. While the pipe waits, the process says so: what is behind it is lag to the high
// watermark, and not to the last stable offset; it is ready all the same. When the transaction has ended there is no lag at all. (F44)
func TestMonitorHangingTransaction(t *testing.T) {
	t.Parallel()
	p := proc.New(t, kafkatest.Shared(t), proc.SixToSix)
	p.Fill(600)
	w := watch(p, "a")
	foreign := p.Cluster.Client(t, kgo.TransactionalID(kafkatest.Name(t, "foreign")), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, foreign.BeginTransaction())
	require.NoError(t, foreign.ProduceSync(t.Context(), &kgo.Record{Topic: p.From[0], Partition: 2, Value: []byte("never")}).FirstErr())
	p.Fill(600)
	ends, err := p.Adm.ListEndOffsets(t.Context(), p.From[0])
	require.NoError(t, err)
	stables, err := p.Adm.ListCommittedOffsets(t.Context(), p.From[0])
	require.NoError(t, err)
	end, _ := ends.Lookup(p.From[0], 2)
	stable, _ := stables.Lookup(p.From[0], 2)
	hanging := end.Offset - stable.Offset
	require.Positive(t, hanging)
	s := w.awaitStatus("what hangs is seen", func(s monitor.Status) bool {
		toStable, toHigh := lags(s)
		return len(s.Partitions) == 6 && toStable == 0 && toHigh == hanging
	})
	require.Equal(t, hanging, s.Partitions[2].HighLag)
	require.True(t, s.Ready.OK, s.Ready.Reasons)
	code, page, err := w.get("/")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, page, "waits for an open transaction")
	require.NoError(t, foreign.EndTransaction(t.Context(), kgo.TryAbort))
	w.awaitStatus("nothing hangs", func(s monitor.Status) bool {
		toStable, toHigh := lags(s)
		return s.Totals.RecordsIn == 1200 && toStable == 0 && toHigh == 0
	})
	w.Drain(syscall.SIGTERM)
}

// A handler that stands still leaves a lag: in each partition and in sum it is what kadm says, while nothing of it is processed.
func TestMonitorLagIsKafkas(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	b.Write(300)
	gate := make(chan struct{})
	pipe := processor.Pipe[string, string]{
		Source: processor.From(processor.String(), b.In), Sink: processor.To(processor.String(), b.Out),
		Handle: processor.Each(func(ctx context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
			select {
			case <-gate:
				return []processor.Record[string]{in}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}),
	}
	m := monitor.New(monitor.Config{LagInterval: 50 * time.Millisecond})
	p, err := processor.New(m.Observe(processor.Config{BootstrapServers: b.Cluster.Bootstrap(), Group: b.Group, TransactionalID: b.Group, InstanceID: "a"}), pipe)
	require.NoError(t, err)
	require.NoError(t, m.Start())
	t.Cleanup(m.Close)
	ctx, drain := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	ofKafka := func() (lags []int64) {
		described, err := b.Adm.Lag(t.Context(), b.Group)
		require.NoError(t, err)
		for _, l := range slices.SortedFunc(slices.Values(described[b.Group].Lag.Sorted()), func(x, y kadm.GroupMemberLag) int { return int(x.Partition - y.Partition) }) {
			lags = append(lags, l.Lag)
		}
		return lags
	}
	ours := func() (lags []int64) {
		for _, p := range m.Status().Partitions {
			lags = append(lags, p.StableLag)
		}
		return lags
	}
	b.Eventually("the lag is seen", func() bool { return slices.Equal(ours(), []int64{100, 100, 100}) })
	require.Equal(t, []int64{100, 100, 100}, ofKafka())
	b.Write(30)
	b.Eventually("more input is more lag", func() bool { return slices.Equal(ours(), []int64{110, 110, 110}) })
	require.Equal(t, []int64{110, 110, 110}, ofKafka())
	require.Zero(t, m.Status().Totals.RecordsIn)
	close(gate)
	b.Eventually("all is processed", func() bool { return slices.Equal(ours(), []int64{0, 0, 0}) })
	b.RequireOnce()
	require.EqualValues(t, 330, m.Status().Totals.RecordsIn)
	drain()
	require.NoError(t, <-done)
}
