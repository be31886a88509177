package monitor

import (
	"cmp"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/warnings"
	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/security"
)

// Defaults of Config. They hold where a field is zero.
const (
	DefaultLagInterval = 5 * time.Second
	DefaultStuckAfter  = 2 * time.Minute
)

// Config is what a Monitor needs to know. Its zero value counts and serves nothing at any address.
type Config struct {
	// Address is where to listen, as host:port. Without a host it is 127.0.0.1: to be reached from elsewhere, name an
	// address of this machine, or 0.0.0.0 for all. Port 0 takes a free one. Default: no server; see Monitor.Handler.
	Address string
	// LagInterval is how often the brokers are asked for the lag: one OffsetFetch and three ListOffsets each time.
	// Default: DefaultLagInterval.
	LagInterval time.Duration
	// StuckAfter is how long a lane may have input in front of it and commit nothing, and how long the brokers may leave it open what the
	// lag is, before the process is not ready. Default: DefaultStuckAfter, or twice the transaction timeout where that is longer.
	StuckAfter time.Duration
	// TracerProvider takes the spans: one of each transaction, and those of franz-go's kotel for each record, whose context comes and
	// goes in the records' headers (W3C trace context). Default: nothing is traced.
	TracerProvider trace.TracerProvider
	// Logger takes the log. Default: warnings and errors go to slog.Default().
	Logger *slog.Logger
}

// Monitor is told what the lanes of one process do, and shows it. Its methods may be called by many goroutines at once.
type Monitor struct {
	cfg      Config
	registry *prometheus.Registry
	phases   *prometheus.HistogramVec
	hooks    kgo.Hook // what the clients of the sessions tell
	spans    *spans   // nil: nothing is traced

	mu       sync.Mutex
	state    state
	servers  []string // of the cluster, once something is observed
	client   []kgo.Opt
	security security.Config    // of the processor that is observed, if one is
	given    *processor.Counter // of the same; nil: no processor is observed
	running  *running           // between Start and Close
}

// running is what Start has started.
type running struct {
	watcher *watcher
	server  *server // nil: none
}

// New returns a Monitor. Nothing is started yet.
func New(cfg Config) *Monitor {
	if cfg.LagInterval <= 0 {
		cfg.LagInterval = DefaultLagInterval
	}
	cfg.Logger = warnings.Logger(cfg.Logger)
	m := &Monitor{cfg: cfg, registry: prometheus.NewRegistry(), phases: newPhases()}
	m.state = state{started: time.Now(), stuckAfter: cfg.StuckAfter, lanes: map[string]*lane{}}
	if m.state.stuckAfter <= 0 {
		m.state.stuckAfter = DefaultStuckAfter
	}
	m.registry.MustRegister(m, m.phases, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.hooks = newClientHooks(m.registry)
	return m
}

// Registry is what /metrics shows. An application may register metrics of its own with it.
func (m *Monitor) Registry() *prometheus.Registry { return m.registry }

// Observe returns cfg with the monitor added to its Observer and to its client's hooks, beside those that are there
// already. Call it before Start, and give its result to processor.New. One monitor observes one process.
func (m *Monitor) Observe(cfg processor.Config) processor.Config {
	group := cmp.Or(cfg.Group, cfg.ApplicationID)
	tuning, session := m.observe(cfg.Session, group, cfg.BootstrapServers)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.security, m.given = cfg.Security, &processor.Counter{}
	cfg.Session = tuning
	cfg.Observer = cfg.Observer.With(processor.Observer{Session: session, Lane: m.laneEvent}).With(m.given.Observer())
	return cfg
}

// ObserveSession is Observe for a session that is used without a processor.
func (m *Monitor) ObserveSession(cfg eos.Config) eos.Config {
	var observer eos.Observer
	cfg.Tuning, observer = m.observe(cfg.Tuning, cfg.Group, cfg.BootstrapServers)
	cfg.Observer = cfg.Observer.With(observer)
	return cfg
}

// observe returns the tuning with the monitor's hooks, and what the sessions must report to.
func (m *Monitor) observe(tuning eos.Tuning, group string, servers []string) (eos.Tuning, eos.Observer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.group, m.servers, m.client = group, servers, tuning.Client
	if m.cfg.StuckAfter <= 0 {
		m.state.stuckAfter = max(m.state.stuckAfter, 2*tuning.TransactionTimeout)
	}
	observer := eos.Observer{Transition: m.transition, Transaction: m.transaction, Assigned: m.assigned}
	hooks := []kgo.Hook{m.hooks}
	if m.cfg.TracerProvider != nil {
		if m.spans == nil {
			m.spans = newSpans(m.cfg.TracerProvider, group)
		}
		hooks = append(hooks, m.spans.records)
		observer = m.spans.observer().With(observer)
	}
	tuning.Client = append(slices.Clone(tuning.Client), kgo.WithHooks(hooks...))
	return tuning, observer
}

func (m *Monitor) transition(t eos.Transition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.transition(time.Now(), t)
}

func (m *Monitor) transaction(t eos.Transaction) {
	for phase, d := range map[string]time.Duration{phaseFlush: t.Flush, phaseEnd: t.End, phaseWhole: t.Flush + t.End} {
		m.phases.WithLabelValues(phase).Observe(d.Seconds())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.transaction(time.Now(), t)
}

func (m *Monitor) assigned(a eos.Assignment) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.assigned(time.Now(), a)
}

func (m *Monitor) laneEvent(e processor.LaneEvent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.laneEvent(time.Now(), e)
}

// Drain says that the process is about to stop: it is not ready from now on. To call it before the context of Run ends makes
// sure that nobody sees a ready process that drains.
func (m *Monitor) Drain() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.draining = true
}

// Start begins to ask for the lag and to listen at Config.Address. After an error nothing was started: the address cannot
// be listened at, the files of processor.Config.Security cannot be read, or nothing is observed yet.
func (m *Monitor) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.running != nil:
		return errors.New("the monitor is started already")
	case len(m.servers) == 0:
		return errors.New("the monitor observes nothing: call Observe before Start")
	}
	r := &running{}
	if m.cfg.Address != "" {
		var err error
		if r.server, err = listen(m.cfg.Address, m.Handler(), m.cfg.Logger); err != nil {
			return err
		}
	}
	quiet := m.security
	quiet.Logger = slog.New(slog.DiscardHandler) // processor.New logs the same warnings
	secure, err := quiet.Options()
	if err == nil {
		r.watcher, err = m.watch(m.servers, slices.Concat(m.client, secure))
	}
	if err != nil {
		if r.server != nil {
			r.server.close()
		}
		return err
	}
	m.running = r
	return nil
}

// Addr is where the server listens: with Address's port 0, the port that was taken. nil: there is none.
func (m *Monitor) Addr() net.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running == nil || m.running.server == nil {
		return nil
	}
	return m.running.server.listener.Addr()
}

// Close ends what Start has begun and waits for it. What was counted stays. Close without Start does nothing.
func (m *Monitor) Close() {
	m.mu.Lock()
	r := m.running
	m.running = nil
	m.mu.Unlock()
	if r == nil {
		return
	}
	if r.server != nil {
		r.server.close()
	}
	r.watcher.close()
}
