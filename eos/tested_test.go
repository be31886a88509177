package eos

import (
	"bytes"
	"log/slog"
	"os"
	"regexp"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// The version that is called tested is that of go.mod, with which the tests run.
func TestTestedClientIsThatOfGoMod(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	require.NoError(t, err)
	m := regexp.MustCompile(`(?m)^\t` + regexp.QuoteMeta(clientModule) + ` (\S+)$`).FindSubmatch(mod)
	require.NotNil(t, m)
	require.Equal(t, testedClient, string(m[1]))
}

// A binary that was built with another franz-go says which: a newer or older one, one of a workspace, a fork, or a directory in its place. With the
// tested one, or where the build does not say, nothing is said.
func TestUntestedClient(t *testing.T) {
	for _, c := range []struct {
		name   string
		dep    *debug.Module
		reason string
	}{
		{"the tested one", &debug.Module{Version: testedClient}, ""},
		{"a newer one", &debug.Module{Version: "v1.99.0"}, "v1.99.0"},
		{"a commit", &debug.Module{Version: "v1.22.4-0.20261120101010-0123456789ab"}, "v1.22.4-0.20261120101010-0123456789ab"},
		{"a workspace", &debug.Module{Version: "(devel)"}, "(devel)"},
		{"an older one by replace", &debug.Module{Version: testedClient, Replace: &debug.Module{Path: clientModule, Version: "v1.22.2"}}, "v1.22.2"},
		{"the tested one by replace", &debug.Module{Version: "v1.99.0", Replace: &debug.Module{Path: clientModule, Version: testedClient}}, ""},
		{"a fork", &debug.Module{Version: testedClient, Replace: &debug.Module{Path: "example.org/fork", Version: testedClient}}, "example.org/fork@" + testedClient},
		{"a directory", &debug.Module{Version: testedClient, Replace: &debug.Module{Path: "../franz-go"}}, "../franz-go"},
		{"not said", &debug.Module{Path: "github.com/twmb/franz-go/pkg/kmsg", Version: "v1.0.0"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.dep.Path == "" {
				c.dep.Path = clientModule
			}
			info := &debug.BuildInfo{Deps: []*debug.Module{{Path: "example.org/other", Version: "v1.0.0"}, c.dep}}
			require.Equal(t, c.reason, untestedClient(info))
			var said bytes.Buffer
			sayUntested(slog.New(slog.NewTextHandler(&said, nil)), info)
			if c.reason == "" {
				require.Empty(t, said.String())
			} else {
				require.Contains(t, said.String(), "franz_go="+c.reason)
				require.Contains(t, said.String(), "tested="+testedClient)
			}
		})
	}
}
