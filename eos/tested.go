package eos

import (
	"log/slog"
	"runtime/debug"
	"sync"
)

// testedClient is the franz-go version that this source was tested with; go.mod has the same. A program that imports eos may be built with
// a newer one.
const testedClient = "v1.22.3"

const clientModule = "github.com/twmb/franz-go"

// untestedClient returns which franz-go a binary was built with, if it is not the tested one: a version, or what replaces the module. It
// returns "" for the tested one, and if the build does not record it.
func untestedClient(info *debug.BuildInfo) string {
	for _, m := range info.Deps {
		if m.Path != clientModule {
			continue
		}
		found := m.Version
		if r := m.Replace; r != nil {
			found = r.Path // a directory
			if r.Path == clientModule {
				found = r.Version
			} else if r.Version != "" {
				found += "@" + r.Version
			}
		}
		if found != testedClient {
			return found // "(devel)" in a workspace
		}
	}
	return ""
}

var saidUntested sync.Once

// warnUntested warns, once per process, of a franz-go that was not tested.
func warnUntested(log *slog.Logger) {
	saidUntested.Do(func() {
		if info, ok := debug.ReadBuildInfo(); ok {
			sayUntested(log, info)
		}
	})
}

func sayUntested(log *slog.Logger, info *debug.BuildInfo) {
	if found := untestedClient(info); found != "" {
		log.Warn("this program was built with a franz-go that eos was not tested with; no fault of it is known, and the session checks what it commits. "+
			"docs/franz-go.md says what eos relies on; `make test-client` in its source tests it", "franz_go", found, "tested", testedClient)
	}
}
