package monitor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// metric is one metric of /metrics. docs/monitoring.md has a line for each; a test compares them.
type metric struct {
	name, kind string
	labels     []string
	help       string
}

const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

// phases of a transaction, the values of the label phase.
const (
	phaseFlush = "flush" // from its begin until every record is confirmed
	phaseEnd   = "end"   // from there until the coordinator has answered, or it is known what became of it
	phaseWhole = "whole" // both
)

const phasesName = "eos_pipe_transaction_duration_seconds"

// metrics are all metrics of this package, in the order in which the documentation lists them. Those of the client are kprom's.
var metrics = []metric{
	{"eos_pipe_transactions_begun_total", counter, lanes(), "Transactions begun."},
	{"eos_pipe_transactions_committed_total", counter, lanes(), "Transactions committed."},
	{"eos_pipe_transactions_aborted_total", counter, lanes("cause"), "Transactions aborted, whose input is processed again."},
	{"eos_pipe_transactions_in_doubt_total", counter, lanes("outcome"), "Transactions whose end was not answered, by what the brokers said of them afterwards; unknown if they could not be asked."},
	{phasesName, histogram, []string{"phase"}, "Duration of transactions, however they ended: flush until every record is confirmed, end from there on, whole for both."},
	{"eos_pipe_last_commit_timestamp_seconds", gauge, lanes(), "When the last transaction was committed, in seconds since 1970; 0 before the first."},
	{"eos_pipe_records_in_total", counter, lanes(), "Input records of committed transactions."},
	{"eos_pipe_records_out_total", counter, lanes(), "Records produced in committed transactions, dead letters included."},
	{"eos_pipe_in_bytes_total", counter, lanes(), "Bytes of keys and values of the input records of committed transactions."},
	{"eos_pipe_out_bytes_total", counter, lanes(), "Bytes of keys and values of the records produced in committed transactions."},
	{"eos_pipe_records_skipped_total", counter, nil, "Input records that the handler skipped, in committed transactions."},
	{"eos_pipe_records_dead_lettered_total", counter, nil, "Input records that went to the dead-letter topic, in committed transactions."},
	{"eos_pipe_last_stable_offset_lag_records", gauge, []string{"topic", "partition"}, "Offsets between the group's committed offset and the last stable offset: what can be read and is not processed."},
	{"eos_pipe_high_watermark_lag_records", gauge, []string{"topic", "partition"}, "Offsets between the group's committed offset and the high watermark: also what waits behind an open transaction on the input."},
	{"eos_pipe_lag_timestamp_seconds", gauge, nil, "When the brokers last told the lag, in seconds since 1970; 0 before the first time."},
	{"eos_pipe_lane_state", gauge, lanes("state"), "1 for the state that the lane is in, 0 for the others."},
	{"eos_pipe_lane_failed", gauge, lanes(), "1 if the lane has stopped for good because of an error."},
	{"eos_pipe_partitions_assigned", gauge, lanes(), "Input partitions that the lane has."},
	{"eos_pipe_rebalances_total", counter, lanes(), "Assignments by the group: one in each rebalance, and one for each new client."},
	{"eos_pipe_clients_replaced_total", counter, lanes(), "Clients that were discarded for a new one with the same ids."},
	{"eos_pipe_ready", gauge, nil, "1 if /readyz says yes."},
	{"eos_pipe_healthy", gauge, nil, "1 if /healthz says yes."},
}

func lanes(more ...string) []string { return append([]string{"transactional_id"}, more...) }

// descs are the metrics that Collect makes, by name.
var descs = func() map[string]described {
	all := map[string]described{}
	for _, m := range metrics {
		if m.kind == histogram {
			continue
		}
		kind := prometheus.CounterValue
		if m.kind == gauge {
			kind = prometheus.GaugeValue
		}
		all[m.name] = described{prometheus.NewDesc(m.name, m.help, m.labels, nil), kind}
	}
	return all
}()

type described struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// newPhases returns the histogram of durations, from one millisecond to the longest transaction.
func newPhases() *prometheus.HistogramVec {
	opts := prometheus.HistogramOpts{Name: phasesName, Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}
	for _, m := range metrics {
		if m.name == phasesName {
			opts.Help = m.help
		}
	}
	phases := prometheus.NewHistogramVec(opts, []string{"phase"})
	for _, phase := range []string{phaseFlush, phaseEnd, phaseWhole} {
		phases.WithLabelValues(phase)
	}
	return phases
}

// Describe implements prometheus.Collector.
func (m *Monitor) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descs {
		ch <- d.desc
	}
}

// Collect implements prometheus.Collector.
func (m *Monitor) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := emitter(func(name string, value float64, labels ...string) {
		d := descs[name]
		ch <- prometheus.MustNewConstMetric(d.desc, d.kind, value, labels...)
	})
	now := time.Now()
	for _, l := range m.state.sorted() {
		e.lane(l)
	}
	e.lag(m.state.lag.at, m.state.owned())
	if m.given != nil {
		s := m.given.Stats()
		e("eos_pipe_records_skipped_total", float64(s.Skipped))
		e("eos_pipe_records_dead_lettered_total", float64(s.DeadLetters))
	}
	e("eos_pipe_ready", asNumber(m.state.ready(now).OK))
	e("eos_pipe_healthy", asNumber(m.state.healthy().OK))
}

// emitter takes one value of a metric.
type emitter func(name string, value float64, labels ...string)

func (e emitter) lane(l *lane) {
	for name, n := range map[string]int64{
		"eos_pipe_transactions_begun_total":     l.begun,
		"eos_pipe_transactions_committed_total": l.committed,
		"eos_pipe_records_in_total":             l.in,
		"eos_pipe_records_out_total":            l.out,
		"eos_pipe_in_bytes_total":               l.bytesIn,
		"eos_pipe_out_bytes_total":              l.bytesOut,
		"eos_pipe_rebalances_total":             l.rebalances,
		"eos_pipe_clients_replaced_total":       l.replaced,
		"eos_pipe_partitions_assigned":          int64(len(l.partitions)),
	} {
		e(name, float64(n), l.id)
	}
	for _, cause := range eos.Causes() {
		e("eos_pipe_transactions_aborted_total", float64(l.aborted[cause]), l.id, string(cause))
	}
	for _, outcome := range []eos.Outcome{eos.Committed, eos.Aborted, eos.Unknown} {
		e("eos_pipe_transactions_in_doubt_total", float64(l.resolved[outcome]), l.id, outcome.String())
	}
	for state := eos.Starting; state <= eos.Stopped; state++ {
		e("eos_pipe_lane_state", asNumber(l.state == state), l.id, state.String())
	}
	e("eos_pipe_lane_failed", asNumber(l.failure != ""), l.id)
	e("eos_pipe_last_commit_timestamp_seconds", asTimestamp(l.lastCommit), l.id)
}

func (e emitter) lag(at time.Time, owned map[offsets.Partition]partitionLag) {
	for p, of := range owned {
		number := partitionLabel(p)
		e("eos_pipe_last_stable_offset_lag_records", float64(of.toStable()), p.Topic, number)
		e("eos_pipe_high_watermark_lag_records", float64(of.toHigh()), p.Topic, number)
	}
	e("eos_pipe_lag_timestamp_seconds", asTimestamp(at))
}

func asNumber(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// asTimestamp is t as Prometheus has times; 0 for none.
func asTimestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
