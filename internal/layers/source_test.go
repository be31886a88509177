package layers

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// source is one parsed Go file of the module.
type source struct {
	path string // in the module, with slashes
	ast  *ast.File
}

// dir is the folder, which names the package within the module.
func (s source) dir() string { return path.Dir(s.path) }

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// imports gives the import paths of the file.
func (s source) imports() []string {
	var paths []string
	for _, spec := range s.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err == nil { // the parser has seen to that
			paths = append(paths, p)
		}
	}
	return paths
}

// parseSource parses text as the file of that path.
func parseSource(t *testing.T, path string, text []byte) source {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ImportsOnly)
	require.NoError(t, err)
	return source{path: path, ast: file}
}

// module returns the module's path, and the folder it is in.
func module(t *testing.T) (name, root string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Path}}\n{{.Dir}}").Output()
	require.NoError(t, err, "go list -m")
	name, root, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	return name, root
}

// readModule parses every Go file below root, whatever its build tags, but for those that the go command does not
// see as part of the module: in testdata, vendor, folders that begin with '.' or '_', and other modules.
func readModule(t *testing.T, root string) []source {
	t.Helper()
	var files []source
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != root && isOutside(name, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		files = append(files, parseSource(t, filepath.ToSlash(relative), text))
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func isOutside(name, base string) bool {
	if base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_' {
		return true
	}
	_, err := os.Stat(filepath.Join(name, "go.mod"))
	return err == nil
}
