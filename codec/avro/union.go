package avro

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// ambiguous reports whether a plain Go value of the union does not tell which branch it is of: the library would encode it as
// the first branch that takes it. Two records are both maps, an enum and a string are both strings, and a time.Time is taken for
// a string.
func (n *node) ambiguous() bool {
	var others, arrays, objects, rest int
	for _, b := range n.branches {
		switch {
		case b.kind == "null":
		case b.kind == "array":
			arrays++
		case b.kind == "record", b.kind == "map":
			objects++
			if n.looksTagged(b) {
				return true
			}
		case b.kind == "enum", b.kind == "fixed", b.logical != "" && b.kind != "string":
			rest++
		default:
			others++
		}
	}
	return objects > 1 || rest > 1 || rest == 1 && others+arrays+objects > 0
}

// looksTagged reports whether a value of the branch can look like another one with its branch's name as the only key.
func (n *node) looksTagged(b *node) bool {
	if b.kind == "map" {
		return b.items.items != nil || b.items.fields != nil || b.items.branches != nil
	}
	return len(b.fields) == 1 && slices.ContainsFunc(n.branches, func(o *node) bool {
		return b.fields[0].name == o.kind || b.fields[0].name == o.name || b.fields[0].name == unqualified(o.name)
	})
}

// anyAmbiguous reports whether there is such a union in the schema.
func (n *node) anyAmbiguous(seen map[*node]bool) bool {
	if n == nil || seen[n] {
		return false
	}
	seen[n] = true
	return n.kind == "union" && n.ambiguous() || n.items.anyAmbiguous(seen) ||
		slices.ContainsFunc(n.branches, func(b *node) bool { return b.anyAmbiguous(seen) }) ||
		slices.ContainsFunc(n.fields, func(f field) bool { return f.node.anyAmbiguous(seen) })
}

// target is a Go type for values of a schema.
type target struct {
	goType reflect.Type
	node   *node
}

// targets looks for ambiguous unions whose values a Go type holds without their branch.
type targets struct{ seen map[target]bool }

// check returns an error if values of the Go type that were read would be written as another branch. An interface keeps the
// branch beside the value.
func (c *targets) check(t reflect.Type, n *node) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Interface || c.seen[target{t, n}] {
		return nil
	}
	c.seen[target{t, n}] = true
	switch n.kind {
	case "union":
		if n.ambiguous() {
			return fmt.Errorf("a %s does not keep which branch of the union of %s it was: take any for it, which holds the branch's name and the value as a map with one key", t, n.list())
		}
		for _, b := range n.branches {
			if err := c.check(t, b); err != nil {
				return err
			}
		}
	case "array", "map":
		if t.Kind() == reflect.Slice || t.Kind() == reflect.Array || t.Kind() == reflect.Map {
			return c.check(t.Elem(), n.items)
		}
	case "record":
		return c.record(t, n)
	}
	return nil
}

func (c *targets) record(t reflect.Type, n *node) error {
	for _, f := range n.fields {
		var goType reflect.Type
		switch t.Kind() {
		case reflect.Map:
			goType = t.Elem()
		case reflect.Struct:
			if goType = fieldType(t, f.name, nil); goType == nil {
				continue
			}
		default:
			return nil
		}
		if err := c.check(goType, f.node); err != nil {
			return fmt.Errorf("field %s: %w", f.name, err)
		}
	}
	return nil
}

// fieldType returns the type of the struct's field of that name in Avro; nil if there is none. The struct stands in outer.
func fieldType(t reflect.Type, name string, outer []reflect.Type) reflect.Type {
	for f := range t.Fields() {
		tag, options, _ := strings.Cut(f.Tag.Get("avro"), ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		inlined := f.Anonymous || slices.Contains(strings.Split(options, ","), "inline")
		switch {
		case tag == name, tag == "" && f.Name == name && !inlined:
			return f.Type
		case tag == "" && inlined && inner.Kind() == reflect.Struct && !slices.Contains(outer, inner):
			if found := fieldType(inner, name, append(outer, t)); found != nil {
				return found
			}
		}
	}
	return nil
}

// list names the branches for people.
func (n *node) list() string {
	var names []string
	for _, b := range n.branches {
		names = append(names, b.String())
	}
	return strings.Join(names, ", ")
}
