package monitor_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/monitor"
	"github.com/eos-pipe/eos-pipe/processor"
)

// testBench is an embedded broker with topics, for one test.
type testBench struct {
	t       *testing.T
	servers []string
	cl      *kgo.Client
	adm     *kadm.Client
}

func setup(t *testing.T) *testBench {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "in"), kfake.SeedTopics(4, "out"), kfake.SeedTopics(1, "dead"),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return &testBench{t: t, servers: cluster.ListenAddrs(), cl: cl, adm: kadm.NewClient(cl)}
}

// produce writes n records "0".."n-1" with keys, round robin over four partitions.
func (b *testBench) produce(n int) {
	b.t.Helper()
	var rs []*kgo.Record
	for i := range n {
		rs = append(rs, &kgo.Record{Topic: "in", Partition: int32(i % 4), Key: []byte("secret-key"), Value: fmt.Append(nil, i)})
	}
	require.NoError(b.t, b.cl.ProduceSync(b.t.Context(), rs...).FirstErr())
}

func (b *testBench) config() processor.Config {
	return processor.Config{
		BootstrapServers: b.servers, ApplicationID: "app", InstanceID: "i", DeadLetterTopic: "dead",
		Session: eos.Tuning{SessionTimeout: 6 * time.Second, TransactionTimeout: 10 * time.Second, MaxRecords: 50, CommitInterval: -1},
	}
}

// pipe copies; it skips "…3" and gives up "…7".
var pipe = processor.Pipe[string, string]{
	Source: processor.From(processor.String(), "in"),
	Handle: processor.Map(func(s string) (string, error) {
		switch s[len(s)-1] {
		case '3':
			return "", processor.Skip(nil)
		case '7':
			return "", processor.DeadLetter(fmt.Errorf("seven"))
		}
		return s, nil
	}),
	Sink: processor.To(processor.String(), "out"),
}

// work is a processor that runs beside the test, observed.
type work struct {
	*monitor.Monitor
	t     *testing.T
	p     *processor.Processor
	count processor.Counter
	drain context.CancelFunc
	done  chan error
}

// run starts a processor with a monitor that looks often.
func (b *testBench) run(m *monitor.Monitor, cfg processor.Config, pipe processor.Pipe[string, string]) *work {
	b.t.Helper()
	w := &work{Monitor: m, t: b.t, done: make(chan error, 1)}
	cfg.Observer = cfg.Observer.With(w.count.Observer())
	p, err := processor.New(m.Observe(cfg), pipe)
	require.NoError(b.t, err)
	require.NoError(b.t, m.Start())
	ctx, cancel := context.WithCancel(b.t.Context())
	w.p, w.drain = p, cancel
	go func() { w.done <- p.Run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		p.Abort()
		m.Close()
	})
	return w
}

func quick() *monitor.Monitor { return monitor.New(monitor.Config{LagInterval: 20 * time.Millisecond}) }

// end drains and returns what Run did.
func (w *work) end() error {
	w.drain()
	return <-w.done
}

// eventually waits until ok says yes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker, deadline := time.NewTicker(10*time.Millisecond), time.After(30*time.Second)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ticker.C:
		case <-deadline:
			require.FailNow(t, "never: "+what)
		}
	}
}

// get asks the monitor for a path.
func get(t *testing.T, m *monitor.Monitor, path string) (int, string) {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.Code, string(body)
}

// families are the metrics of /metrics by name.
func families(t *testing.T, m *monitor.Monitor) map[string]*dto.MetricFamily {
	t.Helper()
	code, text := get(t, m, "/metrics")
	require.Equal(t, http.StatusOK, code)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	require.NoError(t, err)
	return families
}

// figure is the value of a metric, summed over the label sets that hold all the labels given; 0 if there are none yet.
func figure(t *testing.T, m *monitor.Monitor, name string, labels ...string) float64 {
	t.Helper()
	var sum float64
	for _, one := range families(t, m)[name].GetMetric() {
		has := map[string]string{}
		for _, l := range one.Label {
			has[l.GetName()] = l.GetValue()
		}
		fits := true
		for i := 0; i+1 < len(labels); i += 2 {
			fits = fits && has[labels[i]] == labels[i+1]
		}
		if fits {
			sum += one.GetCounter().GetValue() + one.GetGauge().GetValue() + float64(one.GetHistogram().GetSampleCount())
		}
	}
	return sum
}
