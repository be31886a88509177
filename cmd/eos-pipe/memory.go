package main

import (
	"log/slog"
	"math"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memoryShare is how much of the memory that the process may take Go's may be; the rest is for what Go does not count.
const memoryShare = 0.9

// limitMemory lets the collector work harder where memory comes to its end: at the share of the container's limit (cgroup), or at what
// $GOMEMLIMIT says. Without either there is no limit.
func limitMemory(log *slog.Logger) {
	limit, err := memlimit.Set(memlimit.WithRatio(memoryShare))
	switch {
	case err != nil:
		log.Debug("the memory limit of the container cannot be read; set GOMEMLIMIT if there is one", "err", err)
	case limit < math.MaxInt64:
		log.Debug("memory is limited", "gomemlimit", limit)
	}
}
