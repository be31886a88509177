package main

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// What `version` says comes from the build's flags or, without them, from what the go command notes: the module's version, the commit and its
// date. A client that was replaced is named by what took its place.
func TestVersionIsReadFromTheBinary(t *testing.T) {
	t.Parallel()
	unknown := versionInfo{Version: "devel", Commit: "unknown", Date: "unknown", FranzGo: "unknown"}
	client := &debug.Module{Path: "github.com/twmb/franz-go", Version: "v1.22.3"}
	for name, test := range map[string]struct {
		info debug.BuildInfo
		want versionInfo
	}{
		"nothing noted": {debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, unknown},
		"go install": {
			debug.BuildInfo{Main: debug.Module{Version: "v0.1.0"}, Deps: []*debug.Module{client}},
			versionInfo{Version: "v0.1.0", Commit: "unknown", Date: "unknown", FranzGo: "v1.22.3"},
		},
		"a checkout": {
			debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}}},
			versionInfo{Version: "devel", Commit: "abc", Date: "2026-01-02T03:04:05Z", FranzGo: "unknown"},
		},
		"a fork of the client": {
			debug.BuildInfo{Deps: []*debug.Module{{Path: client.Path, Version: client.Version, Replace: &debug.Module{Path: "example.com/fork", Version: "v1.0.0"}}}},
			versionInfo{Version: "devel", Commit: "unknown", Date: "unknown", FranzGo: "example.com/fork v1.0.0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := unknown
			v.read(&test.info)
			require.Equal(t, test.want, v)
		})
	}
}
