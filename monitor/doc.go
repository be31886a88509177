// Package monitor makes what a pipe does visible: Prometheus metrics, health for an orchestrator, a live page for people, and
// OpenTelemetry traces.
//
//	m := monitor.New(monitor.Config{Address: "127.0.0.1:9404"})
//	p, err := processor.New(m.Observe(cfg), pipe)
//	...
//	if err := m.Start(); err != nil { ... }
//	defer m.Close()
//	err = p.Run(ctx)
//
// A [processor.Observer] tells it what the lanes do, and it asks the brokers itself how far the group lags: so the lag is
// right also while the lanes stand still. It changes nothing of what a pipe does.
//
// At the address are /metrics, /healthz, /readyz, the page at /, and /api/status, the JSON behind the page. All are read-only, and none
// shows a record's key, value or headers. docs/monitoring.md is their contract: every metric, every reason, every field.
//
// # The way of a figure
//
//	observer ─→ state ─→ Status ─→ page, /api/status
//	brokers ─→ lag ─┘└─→ Collect ─→ /metrics
//	                 └─→ health ─→ /healthz, /readyz
//
// Start reading at Monitor (monitor.go), then state (state.go).
package monitor
