package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/eos-pipe/eos-pipe/validator"
)

// simResult is what the runs of one mode have come to. Its JSON form is a contract.
type simResult struct {
	Mode      string         `json:"mode"`
	Seed      uint64         `json:"seed"` // the first one
	Seeds     int            `json:"seeds"`
	Steps     int            `json:"steps"`
	Faults    string         `json:"faults"` // their chances; "only" with --only
	Events    int            `json:"events"`
	VirtualMs int64          `json:"virtual_ms"`
	In        int            `json:"in"`
	Out       int            `json:"out"`
	Lost      int            `json:"lost"`
	Doubled   int            `json:"doubled"`
	Reordered int            `json:"reordered"`
	Commits   int            `json:"commits"`
	Aborts    int            `json:"aborts"`
	Injected  map[string]int `json:"injected"` // by fault, how often it has happened
	Findings  []simFinding   `json:"findings"`
	Repeat    string         `json:"repeat"` // the command that gives the same again

	played  validator.SimConfig  // the first run's
	failing *validator.SimResult // the first run with findings; nil: none has any
}

type simFinding struct {
	Seed   uint64 `json:"seed"`
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

// String gives one line of the table.
func (r simResult) String() string {
	return fmt.Sprintf("%-14s %9d %9d %7d %8d %10d", strings.ReplaceAll(r.Mode, "-", " "), r.In, r.Out, r.Lost, r.Doubled, r.Reordered)
}

const simTableHead = "                      in       out    lost  doubled  reordered\n"

// runSim runs all modes, prints what came of them, and writes down what was asked for. A promise that is broken is an *exitError with
// exitFailure.
func runSim(ctx context.Context, s streams, o simOptions) error {
	var failing *validator.SimResult
	var played validator.SimConfig
	for i, mode := range o.Modes {
		r, err := o.runMode(ctx, s, mode)
		if err != nil {
			return err
		}
		if i == 0 && !s.JSON {
			fmt.Fprint(s.Out, simTableHead)
		}
		if err := s.print(r); err != nil {
			return err
		}
		if err := s.tellFindings(r); err != nil {
			return err
		}
		failing, played = cmp.Or(failing, r.failing), r.played
	}
	if !s.JSON {
		fmt.Fprintln(s.Out, "\nthe same again: "+simCommand(played, o.Modes, o.Seeds))
	}
	if failing == nil {
		return nil
	}
	if err := shrinkSim(s, failing); err != nil {
		return err
	}
	return &exitError{
		exitFailure, errors.New("a promise of " + failing.Config.Mode + " is broken under these faults"),
		"the shortest run that was found is above; --explain and --html show a run, docs/simulation.md says how to read them",
	}
}

// runMode runs all seeds in one mode and adds up what came of them.
func (o simOptions) runMode(ctx context.Context, s streams, mode string) (simResult, error) {
	cfg := o.Config
	cfg.Mode = mode
	sum := simResult{Mode: mode, Seed: cfg.Seed, Seeds: o.Seeds, Steps: cfg.Steps, Injected: map[string]int{}, Findings: []simFinding{}}
	var bar *progress // of a few seeds there is nothing to wait for
	if o.Seeds >= 50 {
		bar = newProgress(s, "seeds run "+mode, int64(o.Seeds))
	}
	defer bar.finish()
	for i := range o.Seeds {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		r, err := validator.Simulate(cfg)
		if err != nil {
			return sum, err
		}
		if i == 0 {
			sum.begin(r.Config, o.Seeds)
		}
		sum.add(r)
		if err := o.writeDown(s, r); err != nil {
			return sum, err
		}
		cfg.Seed++
		bar.add(1)
	}
	return sum, nil
}

// begin takes the first run's configuration, in which the faults are written out.
func (r *simResult) begin(played validator.SimConfig, seeds int) {
	r.played, r.Faults, r.Repeat = played, played.Faults, simCommand(played, []string{played.Mode}, seeds)
	if played.Only != nil {
		r.Faults = "only"
	}
}

func (r *simResult) add(one *validator.SimResult) {
	r.Events, r.VirtualMs = r.Events+one.Events, r.VirtualMs+one.VirtualMs
	r.In, r.Out, r.Lost, r.Doubled, r.Reordered = r.In+one.In, r.Out+one.Out, r.Lost+one.Lost, r.Doubled+one.Doubled, r.Reordered+one.Reordered
	r.Commits, r.Aborts = r.Commits+one.Commits, r.Aborts+one.Aborts
	for _, key := range one.Injected {
		fault, _, _ := strings.Cut(key, "@")
		r.Injected[fault]++
	}
	for _, f := range one.Findings {
		r.Findings = append(r.Findings, simFinding{one.Config.Seed, f.Kind, f.Detail})
	}
	if len(one.Findings) > 0 && r.failing == nil {
		r.failing = one
	}
}

// maxTold is how many findings are told as text; JSON has all.
const maxTold = 10

func (s streams) tellFindings(r simResult) error {
	if s.JSON {
		return nil
	}
	for i, f := range r.Findings {
		if i == maxTold {
			_, err := fmt.Fprintf(s.Out, "  … and %d more\n", len(r.Findings)-maxTold)
			return wrapWrite(err)
		}
		if _, err := fmt.Fprintf(s.Out, "  seed %d: %s: %s\n", f.Seed, f.Kind, f.Detail); err != nil {
			return wrapWrite(err)
		}
	}
	return nil
}

// simCommand is the command line that repeats runs.
func simCommand(cfg validator.SimConfig, modes []string, seeds int) string {
	defaults := validator.DefaultSim()
	words := []string{"eos-pipe sim", fmt.Sprintf("--seed %d", cfg.Seed)}
	if cfg.Steps != defaults.Steps {
		words = append(words, fmt.Sprintf("--steps %d", cfg.Steps))
	}
	switch {
	case cfg.Only != nil:
		words = append(words, "--only '"+strings.Join(cfg.Only, ",")+"'")
	case cfg.Faults != defaults.Faults:
		words = append(words, "--faults "+cfg.Faults)
	}
	if seeds > 1 {
		words = append(words, fmt.Sprintf("--seeds %d", seeds))
	}
	if len(modes) == 1 {
		words = append(words, "--mode "+modes[0])
	}
	if cfg.Plant != "" {
		words = append(words, "--plant "+cfg.Plant)
	}
	return strings.Join(words, " ")
}

// shrinkSim tells the shortest run that was found to break the same promise. It is no result, and goes to stderr.
func shrinkSim(s streams, failing *validator.SimResult) error {
	short, err := failing.Shrink()
	if err != nil || s.Quiet || len(short.Findings) == 0 {
		return err
	}
	fmt.Fprintf(s.Err, "\nShrunk to %d of %d steps and %d of the faults:\n", short.Config.Steps, failing.Config.Steps, len(short.Config.Only))
	if err := short.Explain(s.Err); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Err, "\nto see it: %s --explain\n\n", simCommand(short.Config, []string{failing.Config.Mode}, 1))
	return err
}

// writeDown writes what was asked for about a run.
func (o simOptions) writeDown(s streams, r *validator.SimResult) error {
	if o.IsExplain {
		out := s.Out
		if s.JSON {
			out = s.Err
		}
		if err := errors.Join(r.Explain(out), wrapWrite(printLine(out))); err != nil {
			return err
		}
	}
	if err := writeFile(o.Trace, r.WriteTrace); err != nil {
		return err
	}
	return writeFile(o.HTML, r.WriteHTML)
}

func printLine(w io.Writer) error {
	_, err := fmt.Fprintln(w)
	return err
}

func writeFile(path string, write func(io.Writer) error) (err error) {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(f)
}
