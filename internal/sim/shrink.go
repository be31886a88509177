package sim

// maxShrinkRuns bounds how many runs shrinking may take.
const maxShrinkRuns = 600

// Shrink looks for a shorter run that breaks the same promise as the given configuration does: fewer steps, and of the faults only
// those it needs. It returns its result, with its history, and the configuration that gives it. If nothing is found by the
// given configuration, nor is there anything to shrink.
func Shrink(cfg Config) (*Result, Config, error) {
	first, err := Run(cfg)
	if err != nil || len(first.Findings) == 0 {
		return first, cfg, err
	}
	s := shrinker{best: first.Config, kind: first.Findings[0].Kind}
	s.best.HasHistory = false
	s.best.IsValidated = s.kind == Protocol
	s.best.Only = first.Injected
	if s.best.Only == nil {
		s.best.Only = []Key{}
	}
	s.fewerSteps()
	s.fewerFaults()
	s.fewerSteps()
	s.best.HasHistory = true
	result, err := Run(s.best)
	return result, s.best, err
}

type shrinker struct {
	best Config
	kind FindingKind
	runs int
}

// try takes the configuration over if it breaks the promise, and reports whether it does.
func (s *shrinker) try(cfg Config) bool {
	if s.runs++; s.runs > maxShrinkRuns {
		return false
	}
	result, err := Run(cfg)
	if err != nil || !result.Has(s.kind) {
		return false
	}
	s.best = cfg
	return true
}

// fewerSteps cuts the run where less is not enough. A shorter run may do where a longer one does not, so every cut is tried.
func (s *shrinker) fewerSteps() {
	for _, part := range []int{8, 4, 2} { // what is cut off: 7/8, 3/4, 1/2, and so on in smaller pieces
		for s.best.Steps > part && s.shorter(s.best.Steps/part) {
		}
	}
	for cut := s.best.Steps / 4; cut > 0; cut /= 2 {
		for s.best.Steps > cut && s.shorter(s.best.Steps-cut) {
		}
	}
}

func (s *shrinker) shorter(steps int) bool {
	cfg := s.best
	cfg.Steps = steps
	return s.try(cfg)
}

// fewerFaults leaves faults out in ever smaller groups, as long as the promise is broken all the same (Zeller's delta debugging).
func (s *shrinker) fewerFaults() {
	if s.without(0, len(s.best.Only)) {
		return
	}
	for size := (len(s.best.Only) + 1) / 2; size > 0; size /= 2 {
		for from := 0; from < len(s.best.Only); {
			if !s.without(from, min(from+size, len(s.best.Only))) {
				from += size
			}
		}
	}
}

func (s *shrinker) without(from, to int) bool {
	cfg := s.best
	cfg.Only = append(append(make([]Key, 0, len(s.best.Only)), s.best.Only[:from]...), s.best.Only[to:]...)
	return s.try(cfg)
}
