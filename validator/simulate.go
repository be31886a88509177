package validator

import (
	"fmt"
	"strings"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/internal/sim"
)

// SimConfig says what [Simulate] plays. The zero value plays exactly-once with seed 0, without faults.
type SimConfig struct {
	// Seed decides everything that is random.
	Seed uint64

	// Steps is the number of events with faults and writers. Afterwards both stop, and what is left is worked off. 0 is 20,000, which
	// gives some hundred transactions and takes some 20 ms.
	Steps int

	// Faults says how likely it is, from 0 to 1, that each fault strikes a request: "drop-reply=0.05,crash=0.01". "default" is some of
	// everything and may be followed by changes; "none" and "" are no faults. docs/simulation.md lists the faults.
	Faults string

	// Mode says how the application writes, and so what it promises: "exactly-once" (also ""), "idempotent" or "at-least-once".
	Mode string

	// Only lets just these faults strike, whatever Faults says, if it is not nil. Each is written as in SimResult.Injected, such as
	// "drop-reply@app-a.1#17": the fault that strikes request 17 of the first life of instance a.
	Only []string

	// Plant switches rules of the brokers off, to show that a simulation finds what that breaks: "duplicate-appended", or several
	// names with commas. docs/simulation.md lists them. "" plants nothing.
	Plant string
}

// Modes returns the modes of an application, the weakest promise first: "at-least-once", "idempotent", "exactly-once".
func Modes() []string {
	var names []string
	for _, m := range sim.Modes() {
		names = append(names, m.String())
	}
	return names
}

// DefaultSim returns what eos-pipe sim plays unless it is told otherwise: exactly-once with the default steps and faults, both
// written out. Set a seed.
func DefaultSim() SimConfig {
	return SimConfig{Steps: sim.DefaultSteps, Faults: sim.DefaultFaults().String(), Mode: sim.ExactlyOnce.String()}
}

// Check reports what is wrong with the configuration; nil means that [Simulate] runs it.
func (c SimConfig) Check() error {
	_, err := c.parse()
	return err
}

// parse reads what is given as text.
func (c SimConfig) parse() (sim.Config, error) {
	cfg := sim.Config{Seed: c.Seed, Steps: c.Steps}
	var err error
	if cfg.Mode, err = parseMode(c.Mode); err != nil {
		return cfg, err
	}
	if c.Faults != "" {
		if cfg.Faults, err = sim.ParseFaults(c.Faults); err != nil {
			return cfg, err
		}
	}
	if c.Only != nil {
		cfg.Only = []sim.Key{}
	}
	for _, text := range c.Only {
		key, err := sim.ParseKey(text)
		if err != nil {
			return cfg, err
		}
		cfg.Only = append(cfg.Only, key)
	}
	if cfg.Rules, err = plant(c.Plant); err != nil {
		return cfg, err
	}
	return cfg, cfg.Check()
}

func parseMode(name string) (sim.Mode, error) {
	if name == "" {
		return sim.ExactlyOnce, nil
	}
	mode, ok := sim.ParseMode(name)
	if !ok {
		return mode, fmt.Errorf("no mode is called %q: write one of %s", name, strings.Join(Modes(), ", "))
	}
	return mode, nil
}

// plant returns the rules of Kafka without those that are switched off.
func plant(names string) (model.Rules, error) {
	rules := model.DefaultRules()
	if names == "" {
		return rules, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		bug, ok := model.ParseBug(name)
		if !ok {
			return rules, fmt.Errorf("no rule of the brokers is called %q; docs/simulation.md lists the names", name)
		}
		rules = rules.WithBug(bug)
	}
	return rules, nil
}

// Simulate plays brokers, writers, readers and an application that reads, transforms and writes, in one goroutine and on a
// virtual clock, and judges what readers got. The same configuration gives the same result, to the byte, on every machine.
// An error is about the configuration alone: what went wrong in the simulated world is in the result.
func Simulate(c SimConfig) (*SimResult, error) {
	cfg, err := c.parse()
	if err != nil {
		return nil, err
	}
	r, err := sim.Run(cfg)
	if err != nil {
		return nil, err
	}
	return newResult(r, c.Plant), nil
}
