package avro

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/avro"
)

// node is a schema with its names resolved: every use of a named type points at the one node of its definition.
type node struct {
	kind    string // Avro's name of the type
	logical string // a logical type that holds for the kind; "" for none, and for those that Avro says to ignore
	// precision and scale are those of a decimal.
	precision, scale int

	name     string // of a record, an enum or a fixed, with its namespace
	aliases  []string
	fields   []field
	items    *node // of an array; the values of a map
	branches []*node
	symbols  []string
	size     int

	definition *avro.SchemaNode
}

type field struct {
	name    string
	aliases []string
	node    *node
	schema  avro.SchemaField
}

// nodeOf returns the nodes of a schema, which has all that it refers to.
func nodeOf(s *avro.Schema) (*node, error) {
	whole, err := s.Root().Schema() // types of other schemas become part of this one
	if err != nil {
		return nil, err
	}
	b := &builder{named: map[string]*node{}}
	return b.node(whole.Root(), ""), b.err
}

type builder struct {
	named map[string]*node
	err   error
}

func (b *builder) node(s *avro.SchemaNode, namespace string) *node {
	n := &node{kind: s.Type, logical: s.LogicalType, precision: s.Precision, scale: s.Scale, definition: s}
	switch s.Type {
	case "record", "error", "enum", "fixed":
		b.define(n, s)
	case "array":
		n.items = b.node(s.Items, namespace)
	case "map":
		n.items = b.node(s.Values, namespace)
	case "union":
		for i := range s.Branches {
			n.branches = append(n.branches, b.node(&s.Branches[i], namespace))
		}
	case "null", "boolean", "int", "long", "float", "double", "string", "bytes":
	default: // a name
		for _, name := range []string{qualified(s.Type, namespace), s.Type} {
			if known, ok := b.named[name]; ok {
				return known
			}
		}
		b.err = fmt.Errorf("the type %s is not defined", s.Type)
	}
	n.settle()
	return n
}

func (b *builder) define(n *node, s *avro.SchemaNode) {
	n.name = qualified(s.Name, s.Namespace)
	namespace := n.name[:max(0, strings.LastIndexByte(n.name, '.'))]
	for _, a := range s.Aliases {
		n.aliases = append(n.aliases, a, qualified(a, namespace))
	}
	n.symbols, n.size = s.Symbols, s.Size
	b.named[n.name] = n
	if s.Type == "error" {
		n.kind = "record"
	}
	for i := range s.Fields {
		f := &s.Fields[i]
		inner := b.node(&f.Type, namespace)
		inner.lift(&f.Type, f.Props)
		n.fields = append(n.fields, field{f.Name, f.Aliases, inner, *f})
	}
}

// lift gives a type the logical type that is written beside it, at the field where it stands. Avro ignores it there; the library,
// which decodes and encodes, does not.
func (n *node) lift(at *avro.SchemaNode, props map[string]any) {
	logical, _ := props["logicalType"].(string)
	if n.kind == "union" {
		if i := slices.IndexFunc(n.branches, func(b *node) bool { return b.kind != "null" }); i >= 0 {
			n.branches[i].lift(&at.Branches[i], props)
		}
		return
	}
	if n.definition != at { // a name: it is defined elsewhere
		return
	}
	if logical == "" || n.logical != "" || n.kind == "record" || n.kind == "enum" {
		return
	}
	n.logical = logical
	if logical == "decimal" {
		precision, _ := props["precision"].(int64)
		scale, _ := props["scale"].(int64)
		n.precision, n.scale = int(precision), int(scale)
	}
	n.settle()
}

// kinds says with which types a logical type means something.
var kinds = map[string][]string{
	"date": {"int"}, "time-millis": {"int"}, "time-micros": {"long"},
	"timestamp-millis": {"long"}, "timestamp-micros": {"long"}, "timestamp-nanos": {"long"},
	"local-timestamp-millis": {"long"}, "local-timestamp-micros": {"long"}, "local-timestamp-nanos": {"long"},
	"uuid": {"string", "fixed"}, "decimal": {"bytes", "fixed"}, "big-decimal": {"bytes"}, "duration": {"fixed"},
}

// settle drops a logical type that means nothing here.
func (n *node) settle() {
	if !slices.Contains(kinds[n.logical], n.kind) {
		n.logical = ""
	}
}

func qualified(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func unqualified(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// answersTo reports whether a reader's type is the one that a writer calls w: by its name, with or without the namespace, or by
// an alias.
func (n *node) answersTo(w string) bool {
	return unqualified(n.name) == unqualified(w) || slices.Contains(n.aliases, w) || slices.Contains(n.aliases, unqualified(w))
}

// String names the type for people: long (timestamp-millis), record Order.
func (n *node) String() string {
	name := n.kind
	if n.name != "" {
		name += " " + n.name
	}
	if n.logical != "" {
		name += " (" + n.logical + ")"
	}
	return name
}

// same reports whether values of one type are, byte for byte, values of the other, and mean the same.
func same(a, b *node, seen map[pair]bool) bool {
	if seen[pair{a, b}] {
		return true
	}
	seen[pair{a, b}] = true
	if a.kind != b.kind || a.logical != b.logical || a.precision != b.precision || a.scale != b.scale ||
		a.name != b.name || a.size != b.size || !slices.Equal(a.symbols, b.symbols) {
		return false
	}
	if a.items != nil && !same(a.items, b.items, seen) {
		return false
	}
	return slices.EqualFunc(a.branches, b.branches, func(a, b *node) bool { return same(a, b, seen) }) &&
		slices.EqualFunc(a.fields, b.fields, func(a, b field) bool { return a.name == b.name && same(a.node, b.node, seen) })
}

// pair is a writer's type and the reader's type that its values become.
type pair struct{ writer, reader *node }
