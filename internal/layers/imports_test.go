package layers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every package of the module imports only what the table in rules_test.go allows it, in all files but tests and
// under all build tags.
func TestImports(t *testing.T) {
	t.Parallel()
	name, root := module(t)
	require.Empty(t, misimports(name, rules, readModule(t, root)))
}

// What is linked into users' binaries stays free of containers, test helpers and command line libraries.
func TestLight(t *testing.T) {
	t.Parallel()
	name, root := module(t)
	files := readModule(t, root)
	for _, r := range rules {
		if r.light && exists(r.pkg, files) {
			deps := listDeps(t, root, r.pkg)
			require.Contains(t, deps, name+"/"+r.pkg, "the list must at least hold the package itself")
			deps = slices.DeleteFunc(deps, func(dep string) bool {
				return slices.ContainsFunc(r.brings, func(p string) bool { return isWithin(dep, p) })
			})
			require.Empty(t, heavyAmong(deps), "%s is linked into users' binaries; these must not be", r.pkg)
		}
	}
}

// A binary carries only the formats whose codecs it imports: what one of them needs is reached by no other, nor by the
// framework, which does without a schema registry too.
func TestFormatsApart(t *testing.T) {
	t.Parallel()
	_, root := module(t)
	deps := map[string][]string{}
	for _, pkg := range []string{"processor", "codec/registry", "codec/avro", "codec/protobuf", "codec/jsonschema"} {
		deps[pkg] = listDeps(t, root, pkg)
	}
	require.NotContains(t, deps["processor"], "github.com/twmb/franz-go/pkg/sr")
	for owner, modules := range formats {
		for _, m := range modules {
			within := func(dep string) bool { return isWithin(dep, m) }
			for pkg, reached := range deps {
				require.Equal(t, pkg == owner, slices.ContainsFunc(reached, within), "%s reaches %s", pkg, m)
			}
		}
	}
}

// misimports returns what the files break of the rules, a line each.
func misimports(module string, rules []rule, files []source) []string {
	var faults []string
	for _, r := range rules {
		if r.required && !exists(r.pkg, files) {
			faults = append(faults, r.pkg+": is required by its rule, and does not exist")
		}
	}
	for _, f := range files {
		if f.isTest() {
			continue
		}
		at := slices.IndexFunc(rules, func(r rule) bool { return r.pkg == f.dir() })
		for _, imported := range f.imports() {
			if why := misimport(module, f, imported); why != "" {
				faults = append(faults, fmt.Sprintf("%s imports %s: %s", f.path, imported, why))
			}
			if at < 0 {
				continue
			}
			if why := rules[at].refuses(module, imported); why != "" {
				faults = append(faults, fmt.Sprintf("%s imports %s: %s", f.path, imported, why))
			}
		}
	}
	return faults
}

// misimport says why no file of the place of f may import that package; "" if it may.
func misimport(module string, f source, imported string) string {
	for _, leaf := range leaves {
		if isWithin(imported, module+"/"+leaf) && !isWithin(f.path, leaf) {
			return "nobody imports " + leaf
		}
	}
	inner, _ := strings.CutPrefix(imported, module+"/")
	users, isFaced := faced[inner]
	if isFaced && !slices.ContainsFunc(users, func(user string) bool { return isWithin(f.dir(), user) }) {
		return fmt.Sprintf("only %q import %s", users, inner)
	}
	return ""
}

// refuses says why the rule does not allow the import; "" if it does.
func (r rule) refuses(module, imported string) string {
	inner, isInner := strings.CutPrefix(imported, module+"/")
	first, _, _ := strings.Cut(imported, "/")
	switch {
	case isInner && !slices.Contains(r.module, inner):
		return fmt.Sprintf("%s may import of this module only %q", r.pkg, r.module)
	case isInner || !r.isPure:
		return ""
	case strings.Contains(first, "."):
		return r.pkg + " is pure: nothing outside the standard library"
	case slices.ContainsFunc(impure, func(p string) bool { return isWithin(imported, p) }):
		return r.pkg + " is pure: no clock, chance, outer world or concurrency"
	}
	return ""
}

// heavyAmong returns the packages that are heavy.
func heavyAmong(deps []string) []string {
	var found []string
	for _, dep := range deps {
		if slices.ContainsFunc(heavy, func(p string) bool { return isWithin(dep, p) }) {
			found = append(found, dep)
		}
	}
	return found
}

// isWithin reports whether name is parent or below it.
func isWithin(name, parent string) bool {
	return name == parent || strings.HasPrefix(name, parent+"/")
}

// exists reports whether the package has a file that is no test.
func exists(pkg string, files []source) bool {
	return slices.ContainsFunc(files, func(f source) bool { return f.dir() == pkg && !f.isTest() })
}

// listDeps returns the import paths of all that a package reaches, itself included.
func listDeps(t *testing.T, root, pkg string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath", "./"+pkg)
	cmd.Dir = root
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var deps []string
	for decoder := json.NewDecoder(out); ; {
		var p struct{ ImportPath string }
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		deps = append(deps, p.ImportPath)
	}
	require.NoError(t, cmd.Wait(), "go list -deps ./%s", pkg)
	return deps
}

// The rules find what breaks them: each file below breaks one, and the clean ones none.
func TestImportsFinds(t *testing.T) {
	t.Parallel()
	const m = "example.org/m"
	table := []rule{
		{pkg: "offsets", required: true, isPure: true},
		{pkg: "internal/checker", required: true, isPure: true, module: []string{"offsets"}},
		{pkg: "eos", module: []string{"offsets"}},
		{pkg: "processor", module: []string{"eos", "offsets"}},
	}
	clean := []source{
		parseSource(t, "offsets/set.go", []byte(`package offsets; import "iter"; import "math"; import "math/bits"`)),
		parseSource(t, "offsets/set_test.go", []byte(`package offsets; import "time"; import "github.com/twmb/franz-go/pkg/kgo"; import "example.org/m/cmd/x"`)),
		parseSource(t, "internal/checker/checker.go", []byte(`package checker; import "example.org/m/offsets"`)),
		parseSource(t, "eos/session.go", []byte(`package eos; import "time"; import "github.com/twmb/franz-go/pkg/kgo"; import "example.org/m/offsets"`)),
		parseSource(t, "cmd/x/main.go", []byte(`package main; import "example.org/m/cmd/x/y"; import "example.org/m/eos"; import "example.org/m/integration"`)),
		parseSource(t, "integration/doc.go", []byte(`package integration; import "example.org/m/internal/checker"`)),
	}
	require.Contains(t, misimports(m, table, clean), `cmd/x/main.go imports example.org/m/integration: nobody imports integration`)
	clean = slices.Delete(clean, 4, 5)
	require.Empty(t, misimports(m, table, clean))
	require.Equal(t, []string{"offsets: is required by its rule, and does not exist"}, misimports(m, table, clean[1:]))

	for _, c := range []struct{ path, imported, want string }{
		{"offsets/x.go", "time", "offsets is pure: no clock"},
		{"offsets/x.go", "math/rand", "offsets is pure: no clock, chance"},
		{"offsets/x.go", "math/rand/v2", "offsets is pure: no clock, chance"},
		{"offsets/x.go", "net", "offsets is pure"},
		{"offsets/x.go", "net/netip", "offsets is pure"},
		{"offsets/x.go", "os", "offsets is pure"},
		{"offsets/x.go", "sync", "offsets is pure"},
		{"offsets/x.go", "sync/atomic", "offsets is pure"},
		{"offsets/x.go", "github.com/twmb/franz-go/pkg/kgo", "offsets is pure: nothing outside the standard library"},
		{"offsets/x.go", m + "/eos", "offsets may import of this module only []"},
		{"internal/checker/x.go", m + "/internal/kafkatest", `internal/checker may import of this module only ["offsets"]`},
		{"eos/x.go", m + "/internal/checker", `eos may import of this module only ["offsets"]`},
		{"eos/x.go", m + "/processor", `eos may import of this module only ["offsets"]`},
		{"processor/x.go", m + "/internal/wiretap", `processor may import of this module only ["eos" "offsets"]`},
		{"internal/other/x.go", m + "/cmd/x", "nobody imports cmd"},
		{"internal/other/x.go", m + "/integration", "nobody imports integration"},
		{"cmd/x/x.go", m + "/internal/sim", `only ["validator"] import internal/sim`},
		{"internal/other/x.go", m + "/internal/broker/model", `only ["integration" "internal/broker" "internal/sim" "validator"] import internal/broker/model`},
	} {
		bad := parseSource(t, c.path, []byte("//go:build sometimes\n\npackage x; import _ \""+c.imported+"\""))
		faults := misimports(m, table, append(slices.Clone(clean), bad))
		require.Len(t, faults, 1, c)
		require.Contains(t, faults[0], c.path+" imports "+c.imported+": "+c.want)
	}
	require.Equal(t, []string{heavy[0], heavy[1] + "/doc"}, heavyAmong([]string{"fmt", heavy[0], heavy[1] + "/doc", heavy[2] + "ing"}))
}
