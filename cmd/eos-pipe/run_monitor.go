package main

import (
	"context"

	"github.com/eos-pipe/eos-pipe/monitor"
	"github.com/eos-pipe/eos-pipe/processor"
)

// monitored is what shows a run to others; without --http it is nothing.
type monitored struct{ m *monitor.Monitor }

// monitored returns the monitor that opts ask for.
func (o runOptions) monitored(s streams) monitored {
	if o.HTTP == "" {
		return monitored{}
	}
	return monitored{monitor.New(monitor.Config{Address: o.HTTP, Logger: s.Log})}
}

// observe returns cfg with the monitor told of what happens.
func (m monitored) observe(cfg processor.Config) processor.Config {
	if m.m == nil {
		return cfg
	}
	return m.m.Observe(cfg)
}

// start listens. The context that it returns ends after drain has, and after /readyz has begun to say so. stop ends both.
func (m monitored) start(drain context.Context, s streams) (ctx context.Context, stop func(), err error) {
	if m.m == nil {
		return drain, func() {}, nil
	}
	if err := m.m.Start(); err != nil {
		return nil, nil, &exitError{code: exitFailure, err: err, hint: "nothing was started: choose another --http address, or leave it out"}
	}
	s.Log.Info("serving metrics, health and a live page", "url", "http://"+m.m.Addr().String()+"/")
	ctx, end := context.WithCancelCause(context.WithoutCancel(drain))
	unbind := context.AfterFunc(drain, func() {
		m.m.Drain()
		end(context.Cause(drain))
	})
	return ctx, func() {
		unbind()
		end(nil)
		m.m.Close()
	}, nil
}
