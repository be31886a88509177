package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// minimumBroker is the oldest Kafka that can give exactly-once between topics with one producer per process: KIP-447.
const minimumBroker = "2.5"

// release is set by the release build: -ldflags "-X main.release=v1.2.3".
var release string

// versionInfo is the result of `eos-pipe version`.
type versionInfo struct {
	Version       string `json:"version"`
	Go            string `json:"go"`
	FranzGo       string `json:"franz_go"`
	MinimumBroker string `json:"minimum_broker"`
	Platform      string `json:"platform"`
}

// String is the text form.
func (v versionInfo) String() string {
	return fmt.Sprintf("eos-pipe %s\ngo %s\nfranz-go %s\nminimum broker: Kafka %s\nplatform %s",
		v.Version, v.Go, v.FranzGo, v.MinimumBroker, v.Platform)
}

func newVersionCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of eos-pipe and what it was built with",
		Long: `Print the version of eos-pipe, of Go and of the Kafka client franz-go it was built with,
and the oldest Kafka broker it works with.`,
		Example: "  eos-pipe version\n  eos-pipe version --json",
	}
	return a.command(cmd, action{do: func(_ context.Context, s streams) error {
		return s.print(readVersion())
	}})
}

// readVersion takes from the binary what the Go linker put there.
func readVersion() versionInfo {
	v := versionInfo{
		Version: "devel", Go: runtime.Version(), FranzGo: "unknown", MinimumBroker: minimumBroker,
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if ok {
		if info.Main.Version != "" && info.Main.Version != "(devel)" {
			v.Version = info.Main.Version
		}
		for _, dep := range info.Deps {
			if dep.Path == "github.com/twmb/franz-go" {
				v.FranzGo = dep.Version
			}
		}
	}
	if release != "" {
		v.Version = release
	}
	return v
}
