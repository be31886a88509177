package validator_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The package stays small: functions, methods, types, fields, constants and variables with exported names are at most 60.
func TestExportedNames(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var names []string
	take := func(idents ...*ast.Ident) {
		for _, ident := range idents {
			if ident.IsExported() {
				names = append(names, ident.Name)
			}
		}
	}
	visit := func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			take(n.Name)
			return false
		case *ast.TypeSpec:
			take(n.Name)
			return n.Name.IsExported()
		case *ast.ValueSpec:
			take(n.Names...)
			return false
		case *ast.Field:
			take(n.Names...)
		}
		return true
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, visit)
	}
	require.LessOrEqual(t, len(names), 60, "%v", names)
	require.Contains(t, names, "Simulate")
	t.Logf("%d exported names: %v", len(names), names)
}
