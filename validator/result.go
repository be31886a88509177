package validator

import (
	"io"

	"github.com/eos-pipe/eos-pipe/internal/sim"
)

// SimResult is what a simulation has come to. The counts compare what the application's group was given with what a
// read_committed reader gets. They count batches, each of which the application turns into one batch of output. A result
// belongs to one goroutine.
type SimResult struct {
	Config    SimConfig // as it was played, with the defaults filled in; it plays the same again
	Events    int       // of the scheduler
	VirtualMs int64     // how long it took on the virtual clock, in milliseconds

	In, Out   int
	Lost      int // committed input without output
	Doubled   int // outputs too many
	Torn      int // transactions of which a reader got only a part
	Reordered int // outputs that follow one that they had to precede
	Commits   int // transactions, or commits of offsets
	Aborts    int

	Findings []SimFinding // what the mode promises, and is broken; the weightiest first, at most three of a kind
	Injected []string     // the faults that struck, in their order, as SimConfig.Only reads them

	run *sim.Result // with its history once a method has asked for it
}

// SimFinding is a broken promise.
type SimFinding struct {
	Kind   string // which promise: "lost", "doubled", "torn transaction", "reordered" and so on; docs/simulation.md lists them
	Detail string // what was seen, and where
}

// String gives kind and detail.
func (f SimFinding) String() string { return f.Kind + ": " + f.Detail }

func newResult(run *sim.Result, planted string) *SimResult {
	c := run.Counts
	r := &SimResult{
		Config:    SimConfig{Seed: run.Config.Seed, Steps: run.Config.Steps, Faults: run.Config.Faults.String(), Mode: run.Config.Mode.String(), Plant: planted},
		Events:    run.Events,
		VirtualMs: run.TimeUs / 1000,
		In:        c.In, Out: c.Out, Lost: c.Lost, Doubled: c.Doubled, Torn: run.Torn, Reordered: c.Reordered, Commits: c.Commits, Aborts: c.Aborts,
		run: run,
	}
	if run.Config.Only != nil {
		r.Config.Only = texts(run.Config.Only)
	}
	r.Injected = texts(run.Injected)
	for _, f := range run.Findings {
		r.Findings = append(r.Findings, SimFinding{f.Kind.String(), f.Detail})
	}
	return r
}

func texts(keys []sim.Key) []string {
	list := make([]string, len(keys))
	for i, key := range keys {
		list[i] = key.String()
	}
	return list
}

// withHistory returns the run with all that happened in it. It is played again for that the first time, since a history takes
// time and memory.
func (r *SimResult) withHistory() (*sim.Result, error) {
	if r.run.History != nil {
		return r.run, nil
	}
	cfg := r.run.Config
	cfg.HasHistory = true
	run, err := sim.Run(cfg)
	if err != nil {
		return nil, err
	}
	r.run = run
	return run, nil
}

// Explain tells what happened in plain words, one line for each thing worth telling, with the virtual time before it. An error
// is one of w.
func (r *SimResult) Explain(w io.Writer) error {
	run, err := r.withHistory()
	if err != nil {
		return err
	}
	return run.Explain(w)
}

// WriteTrace writes the history as events that [trace.Read] reads: every request that was carried out with its answer, whether
// or not that arrived, and what brokers did by themselves. Comments tell what was lost. A [Validator] with Config.HasSteps
// judges it. An error is one of w.
func (r *SimResult) WriteTrace(w io.Writer) error {
	run, err := r.withHistory()
	if err != nil {
		return err
	}
	_, err = run.History.WriteTo(w)
	return err
}

// WriteHTML draws the history as a page that needs nothing else: a lane for each client and broker, time downwards, requests
// and answers as arrows. An error is one of w.
func (r *SimResult) WriteHTML(w io.Writer) error {
	run, err := r.withHistory()
	if err != nil {
		return err
	}
	return run.WriteHTML(w)
}

// Shrink looks for a shorter run that breaks the same promise as the first finding: fewer steps, and only the faults that it
// needs. It plays up to 600 runs. Without a finding it returns a result equal to r.
func (r *SimResult) Shrink() (*SimResult, error) {
	run, _, err := sim.Shrink(r.run.Config)
	if err != nil {
		return nil, err
	}
	return newResult(run, r.Config.Plant), nil
}
