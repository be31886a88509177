package main

import (
	"context"
	"math/rand/v2"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/eos-pipe/eos-pipe/validator"
)

// simOptions is what `eos-pipe sim` was asked to simulate, checked.
type simOptions struct {
	Config    validator.SimConfig // of the first seed; the mode is set for each run
	Modes     []string
	Seeds     int
	Trace     string // a file; "": none
	HTML      string // a file; "": none
	IsExplain bool
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
	var mode string
	defaults := validator.DefaultSim()
	cmd := &cobra.Command{Use: "sim", Short: "Simulate faults by a seed, and count what is lost and doubled", Long: simLong, Example: simExample}
	f := cmd.Flags()
	f.Uint64Var(&o.Config.Seed, "seed", 0, "`number` that decides everything that is random (default a random one)")
	f.IntVar(&o.Config.Steps, "steps", defaults.Steps, "`number` of events with faults; what is left is then worked off in peace")
	f.StringVar(&o.Config.Faults, "faults", "default", "how likely each `fault=chance` befalls a request, with commas; \"none\"; \"default\" is\n"+strings.ReplaceAll(defaults.Faults, ",reorder", ",\nreorder"))
	f.IntVar(&o.Seeds, "seeds", 1, "`number` of seeds to run, from --seed on")
	f.StringVar(&mode, "mode", "", "run only this `mode`: at-least-once, idempotent or exactly-once (default all three)")
	f.StringVar(&o.Trace, "trace", "", "write what happened to this `file`, one event a line, for eos-pipe validate")
	f.BoolVar(&o.IsExplain, "explain", false, "tell what happened in plain words")
	f.StringVar(&o.HTML, "html", "", "draw what happened as a page in this `file`")
	f.StringSliceVar(&o.Config.Only, "only", nil, "let just these `faults` happen, as a finding prints them: drop-reply@app-a.1#17,…")
	f.StringVar(&o.Config.Plant, "plant", "", "switch rules of the brokers off, to see it found: `names` of bugs, with commas")
	_ = f.MarkHidden("plant") // it tests the simulator, not anything a user has

	return a.command(cmd, action{
		check: func(all *faults) { o.check(all, f, mode) },
		do:    func(ctx context.Context, s streams) error { return runSim(ctx, s, o) },
	})
}

// check adds what is wrong with what was given, each flag for itself.
func (o *simOptions) check(all *faults, f *pflag.FlagSet, mode string) {
	if !f.Changed("seed") {
		o.Config.Seed = rand.Uint64N(1_000_000) // short enough to be typed again
	}
	atLeast(all, "steps", o.Config.Steps, 1)
	atLeast(all, "seeds", o.Seeds, 1)
	if f.Changed("only") && o.Config.Only == nil {
		o.Config.Only = []string{}
	}
	if o.Config.Faults == "" {
		all.add("--faults: no fault is named", "write --faults drop-reply=0.05,crash=0.01, or none")
	}
	checkSim(all, "faults", validator.SimConfig{Faults: o.Config.Faults}, "write --faults drop-reply=0.05,crash=0.01, or none")
	for _, key := range o.Config.Only {
		checkSim(all, "only", validator.SimConfig{Only: []string{key}}, "take it from what a finding prints")
	}
	checkSim(all, "plant", validator.SimConfig{Plant: o.Config.Plant}, "its table says which seed shows each")
	o.checkModes(all, mode)
}

// checkSim adds what is wrong with the one flag that part of a configuration comes from.
func checkSim(all *faults, flag string, part validator.SimConfig, hint string) {
	if err := part.Check(); err != nil {
		all.add("--"+flag+": "+err.Error(), hint)
	}
}

func (o *simOptions) checkModes(all *faults, mode string) {
	isOneRun := o.Trace != "" || o.HTML != "" || o.IsExplain
	if isOneRun && o.Seeds > 1 {
		all.add("--trace, --explain and --html are about one run, and --seeds asks for several", "give the --seed of the run")
	}
	if mode == "" {
		o.Modes = validator.Modes()
		if isOneRun {
			o.Modes = []string{validator.DefaultSim().Mode}
		}
		return
	}
	checkOneOf(all, "mode", mode, validator.Modes()...)
	o.Modes = []string{mode}
}
