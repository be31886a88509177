package layers

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every package that others can import, and every exported name in it, down to the methods of interfaces, has a
// comment. Fields of structs may be told by the comment of their type, and are not looked at.
func TestComments(t *testing.T) {
	t.Parallel()
	_, root := module(t)
	require.Empty(t, uncommented(readModule(t, root)))
}

// uncommented returns the packages and names without a comment, a line each.
func uncommented(files []source) []string {
	var faults []string
	packages := map[string]bool{} // by folder: has a comment
	for _, f := range files {
		if f.isTest() || f.isGenerated() || f.ast.Name.Name == "main" || isInternal(f.path) {
			continue
		}
		packages[f.dir()] = packages[f.dir()] || f.ast.Doc != nil
		for _, name := range bareNames(f.ast) {
			faults = append(faults, f.at(name.Pos())+": "+name.Name+" has no comment")
		}
	}
	for dir, hasComment := range packages {
		if !hasComment {
			faults = append(faults, dir+": the package has no comment")
		}
	}
	slices.Sort(faults)
	return faults
}

// isInternal reports whether nobody outside the module can import the file's package. The integration tests are
// counted in, being nobody's library.
func isInternal(path string) bool {
	folders := strings.Split(path, "/")
	return slices.Contains(folders, "internal") || folders[0] == "integration"
}

// bareNames returns the exported names of a file that have no comment. In a group of constants or variables one
// comment for all is enough, as is one behind the line.
func bareNames(file *ast.File) []*ast.Ident {
	var bare []*ast.Ident
	check := func(names []*ast.Ident, comments ...*ast.CommentGroup) {
		if slices.ContainsFunc(comments, func(c *ast.CommentGroup) bool { return strings.TrimSpace(c.Text()) != "" }) {
			return
		}
		for _, name := range names {
			if name.IsExported() {
				bare = append(bare, name)
			}
		}
	}
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if receiver(decl) == nil || receiver(decl).IsExported() {
				check([]*ast.Ident{decl.Name}, decl.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				checkSpec(check, decl, spec)
			}
		}
	}
	return bare
}

type checkFunc func(names []*ast.Ident, comments ...*ast.CommentGroup)

func checkSpec(check checkFunc, decl *ast.GenDecl, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		check(spec.Names, spec.Doc, spec.Comment, decl.Doc)
	case *ast.TypeSpec:
		if decl.Lparen == token.NoPos {
			check([]*ast.Ident{spec.Name}, decl.Doc, spec.Doc)
		} else {
			check([]*ast.Ident{spec.Name}, spec.Doc, spec.Comment)
		}
		if spec.Name.IsExported() {
			checkMethods(check, spec.Type)
		}
	}
}

// checkMethods looks at the methods of an interface. Embedded ones carry the comments of their own type.
func checkMethods(check checkFunc, of ast.Expr) {
	if face, ok := of.(*ast.InterfaceType); ok {
		for _, method := range face.Methods.List {
			check(method.Names, method.Doc, method.Comment)
		}
	}
}

// receiver returns the name of the type that a method belongs to; nil for a function.
func receiver(decl *ast.FuncDecl) *ast.Ident {
	if decl.Recv == nil {
		return nil
	}
	of := decl.Recv.List[0].Type
	for {
		switch t := of.(type) {
		case *ast.StarExpr:
			of = t.X
		case *ast.IndexExpr:
			of = t.X
		case *ast.IndexListExpr:
			of = t.X
		case *ast.Ident:
			return t
		default:
			return nil
		}
	}
}

// The places where a comment can be forgotten are all seen, and those where none is needed are left alone.
func TestCommentsFinds(t *testing.T) {
	t.Parallel()
	const text = `package a

func Bare() {}

// Good does.
func Good() {}

func private() {}

type BareType struct{ NotSeen int }

// Good2 is.
type Good2 interface {
	BareMethod(NotSeen int)
	// Told is.
	Told()
	Behind() // is a comment
	error
}

type private2 struct{ NotSeen int }

func (private2) NotSeen() {}

func (*BareType) BareMethod2() {}

func (Generic[K, V]) BareMethod3() {}

// Generic is.
type Generic[K, V any] struct{}

const BareConst = 1

// All of these.
const (
	One = 1
	Two = 2
)

var (
	BareVar = 1
	Told = 2 // it is
)

// Not for the types of a group.
type (
	BareGrouped int
)

//go:generate no comment
func BareDirective() {}
`
	clean := "// Package a is.\npackage a\n"
	faults := uncommented([]source{parseSource(t, "a/a.go", []byte(text)), parseSource(t, "a/doc.go", []byte(clean))})
	var names []string
	for _, fault := range faults {
		_, name, _ := strings.Cut(strings.TrimSuffix(fault, " has no comment"), ": ")
		names = append(names, name)
	}
	require.ElementsMatch(t, []string{
		"Bare", "BareType", "BareMethod", "BareMethod2", "BareMethod3",
		"BareConst", "BareVar", "BareGrouped", "BareDirective",
	}, names)
	require.Contains(t, faults, "a/a.go:3: Bare has no comment")

	bare := []byte("package a\n\nfunc Bare() {}\n")
	require.Equal(t, []string{"a/a.go:3: Bare has no comment", "a: the package has no comment"},
		uncommented([]source{parseSource(t, "a/a.go", bare)}))
	for _, path := range []string{"a/a_test.go", "internal/a/a.go", "a/internal/a.go", "integration/a.go"} {
		require.Empty(t, uncommented([]source{parseSource(t, path, bare)}), path)
	}
	require.Empty(t, uncommented([]source{parseSource(t, "a/main.go", []byte("package main\n\nfunc Bare() {}\n"))}))
}
