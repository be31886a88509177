package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// minimumBroker is the oldest Kafka that can give exactly-once between topics with one producer per process: KIP-447.
const minimumBroker = "2.5"

// These are set by the build: -ldflags "-X main.release=v1.2.3 -X main.commit=… -X main.date=…". Where they are not, the version control's
// stamp in the binary is used, if there is one.
var (
	release string // a tag, or what git describe says
	commit  string // in full
	date    string // of the commit, RFC 3339: the same source gives the same binary
)

// versionInfo is the result of `eos-pipe version`.
type versionInfo struct {
	Version       string `json:"version"`
	Commit        string `json:"commit"` // "unknown" where the build did not say
	Date          string `json:"date"`   // of the commit; likewise
	Go            string `json:"go"`
	FranzGo       string `json:"franz_go"`
	MinimumBroker string `json:"minimum_broker"`
	Platform      string `json:"platform"`
}

// String is the text form.
func (v versionInfo) String() string {
	return fmt.Sprintf("eos-pipe %s\ncommit %s\ndate %s\ngo %s\nfranz-go %s\nminimum broker: Kafka %s\nplatform %s",
		v.Version, v.Commit, v.Date, v.Go, v.FranzGo, v.MinimumBroker, v.Platform)
}

func newVersionCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of eos-pipe and what it was built with",
		Long: `Print the release of eos-pipe, the commit it was built from and that commit's date, the versions of
Go and of the Kafka client franz-go, and the oldest Kafka broker that it works with.`,
		Example: "  eos-pipe version\n  eos-pipe version --json",
	}
	return a.command(cmd, action{do: func(_ context.Context, s streams) error {
		return s.print(readVersion())
	}})
}

// readVersion takes from the binary what the build put there.
func readVersion() versionInfo {
	v := versionInfo{
		Version: "devel", Commit: "unknown", Date: "unknown", Go: runtime.Version(), FranzGo: "unknown", MinimumBroker: minimumBroker,
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.read(info)
	}
	v.Version, v.Commit, v.Date = cmp.Or(release, v.Version), cmp.Or(commit, v.Commit), cmp.Or(date, v.Date)
	return v
}

// read takes what the go command has noted in the binary.
func (v *versionInfo) read(info *debug.BuildInfo) {
	if info.Main.Version != "(devel)" {
		v.Version = cmp.Or(info.Main.Version, v.Version)
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.Commit = cmp.Or(setting.Value, v.Commit)
		case "vcs.time":
			v.Date = cmp.Or(setting.Value, v.Date)
		}
	}
	for _, dep := range info.Deps {
		if dep.Path == "github.com/twmb/franz-go" {
			v.FranzGo = dep.Version
			if dep.Replace != nil {
				v.FranzGo = strings.TrimSpace(dep.Replace.Path + " " + dep.Replace.Version)
			}
		}
	}
}
