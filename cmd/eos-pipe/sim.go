package main

import (
	"context"
	"math/rand/v2"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/internal/sim"
)

// simOptions is what `eos-pipe sim` was asked to simulate, checked.
type simOptions struct {
	Config    sim.Config // of the first seed; the mode is set for each run
	Modes     []sim.Mode
	Seeds     int
	Trace     string // a file; "": none
	HTML      string // a file; "": none
	IsExplain bool
	Planted   string // names of planted bugs, as given
}

const simLong = `Simulate brokers, writers, readers and an application that reads, transforms and writes, with a
network that loses, delays, doubles and reorders, processes that die or stand still, and
brokers that crash and move. One goroutine, a virtual clock, one seed: the same seed gives the
same run, to the byte, on every machine. No Kafka is needed, and none is asked: brokers answer
by the model of Kafka 4.4 that eos-pipe validate judges by.

Without --mode the same seed and faults are run in three modes, side by side: at least once,
with an idempotent producer, and exactly once. What a mode loses or doubles without having
promised otherwise is shown; a promise that is broken is a finding, which is shrunk to a short
run, told in plain words, and printed with the command that repeats it. --trace, --explain and
--html tell of one run: exactly once, or that of --mode.

It exits 0 if all promises are kept and 1 with a finding. docs/simulation.md says what is
simulated, what is not, and how to read the output.`

const simExample = `  eos-pipe sim
  eos-pipe sim --seed 7 --faults drop-reply=0.05,crash=0.01
  eos-pipe sim --seeds 1000 --mode exactly-once
  eos-pipe sim --seed 7 --steps 2000 --explain --html run.html`

func newSimCommand(a *app) *cobra.Command {
	var o simOptions
	var chances, mode string
	var only []string
	cmd := &cobra.Command{Use: "sim", Short: "Simulate faults by a seed, and count what is lost and doubled", Long: simLong, Example: simExample}
	f := cmd.Flags()
	f.Uint64Var(&o.Config.Seed, "seed", 0, "`number` that decides everything that is random (default a random one)")
	f.IntVar(&o.Config.Steps, "steps", sim.DefaultSteps, "`number` of events with faults; what is left is then worked off in peace")
	f.StringVar(&chances, "faults", "default", "how likely each `fault=chance` befalls a request, with commas; \"none\"; \"default\" is\n"+strings.ReplaceAll(sim.DefaultFaults().String(), ",reorder", ",\nreorder"))
	f.IntVar(&o.Seeds, "seeds", 1, "`number` of seeds to run, from --seed on")
	f.StringVar(&mode, "mode", "", "run only this `mode`: at-least-once, idempotent or exactly-once (default all three)")
	f.StringVar(&o.Trace, "trace", "", "write what happened to this `file`, one event a line, for eos-pipe validate")
	f.BoolVar(&o.IsExplain, "explain", false, "tell what happened in plain words")
	f.StringVar(&o.HTML, "html", "", "draw what happened as a page in this `file`")
	f.StringSliceVar(&only, "only", nil, "let just these `faults` happen, as a finding prints them: drop-reply@app-a.1#17,…")
	f.StringVar(&o.Planted, "plant", "", "switch rules of the brokers off, to see it found: `names` of bugs, with commas")
	_ = f.MarkHidden("plant") // it tests the simulator, not anything a user has

	return a.command(cmd, action{
		check: func(all *faults) { o.check(all, f, chances, mode, only) },
		do:    func(ctx context.Context, s streams) error { return runSim(ctx, s, o) },
	})
}

// check reads what is given as text, and adds what is wrong with it.
func (o *simOptions) check(all *faults, f *pflag.FlagSet, chances, mode string, only []string) {
	if !f.Changed("seed") {
		o.Config.Seed = rand.Uint64N(1_000_000) // short enough to be typed again
	}
	atLeast(all, "steps", o.Config.Steps, 1)
	atLeast(all, "seeds", o.Seeds, 1)
	var err error
	if o.Config.Faults, err = sim.ParseFaults(chances); err != nil {
		all.add("--faults: "+err.Error(), "write --faults drop-reply=0.05,crash=0.01, or none")
	}
	for _, text := range only {
		key, err := sim.ParseKey(text)
		if err != nil {
			all.add("--only: "+err.Error(), "take it from what a finding prints")
		}
		o.Config.Only = append(o.Config.Only, key)
	}
	if f.Changed("only") && o.Config.Only == nil {
		o.Config.Only = []sim.Key{}
	}
	o.checkModes(all, mode)
	o.Config.Rules = plant(all, o.Planted)
}

func (o *simOptions) checkModes(all *faults, mode string) {
	isOneRun := o.Trace != "" || o.HTML != "" || o.IsExplain
	if isOneRun && o.Seeds > 1 {
		all.add("--trace, --explain and --html are about one run, and --seeds asks for several", "give the --seed of the run")
	}
	if mode == "" {
		o.Modes = sim.Modes()
		if isOneRun {
			o.Modes = []sim.Mode{sim.ExactlyOnce}
		}
		return
	}
	var names []string
	for _, m := range sim.Modes() {
		names = append(names, m.String())
	}
	checkOneOf(all, "mode", mode, names...)
	m, _ := sim.ParseMode(mode)
	o.Modes = []sim.Mode{m}
}

// plant returns the rules of Kafka without those that are to be switched off.
func plant(all *faults, names string) model.Rules {
	rules := model.DefaultRules()
	if names == "" {
		return rules
	}
	for name := range strings.SplitSeq(names, ",") {
		bug, ok := model.ParseBug(name)
		if !ok {
			all.add("--plant: no bug is called "+quote(name), "docs/simulation.md lists them")
		}
		rules = rules.WithBug(bug)
	}
	return rules
}
