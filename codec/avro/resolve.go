package avro

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/twmb/avro"
)

// resolver makes the steps of Avro's schema resolution. It rewrites a value, as the writer's schema has it, into one as
// the reader's schema has it, which the library then decodes like any other.
//
// The library has a resolution of its own (avro.Resolve), which this one takes the place of for two reasons. It judges
// schemas: a writer whose union or enum has one member more cannot be read at all, where Avro, and its other
// implementations, refuse only the values that do not fit. And it takes a number of one logical type for that of another.
type resolver struct {
	steps map[pair]*step
}

// resolve returns the way from values of the writer's schema to those of the reader's; nil if they are the same.
func resolve(writer, reader *node) step {
	if same(writer, reader, map[pair]bool{}) {
		return nil
	}
	return (&resolver{steps: map[pair]*step{}}).step(writer, reader)
}

// step returns the step of a pair of types. Types that contain themselves meet their own step.
func (c *resolver) step(w, r *node) step {
	if known, ok := c.steps[pair{w, r}]; ok {
		return func(p *pass) error { return (*known)(p) }
	}
	s := new(step)
	c.steps[pair{w, r}] = s
	*s = c.choose(w, r)
	return *s
}

// choose returns the step of a pair of types.
func (c *resolver) choose(w, r *node) step {
	switch {
	case w.kind == "union":
		return c.writersUnion(w, r)
	case r.kind == "union":
		return c.readersUnion(w, r)
	case w.logical != r.logical && convertible(w, r):
		return convert(w, r)
	}
	if err := agree(w, r); err != nil {
		return refuse(err)
	}
	switch {
	case w.kind != r.kind:
		return promote(w, r)
	case w.name != "" && !r.answersTo(w.name):
		return refuse(misfit("%s names do not match: it was written as %s, and is to be read as %s", w.kind, w.name, r.name))
	}
	return c.alike(w, r)
}

// alike is the step of two types of one kind.
func (c *resolver) alike(w, r *node) step {
	switch w.kind {
	case "record":
		return c.record(w, r)
	case "enum":
		return enum(w, r)
	case "array":
		return blocks(c.step(w.items, r.items))
	case "map":
		value := c.step(w.items, r.items)
		return blocks(func(p *pass) error {
			if err := copyText(p); err != nil {
				return err
			}
			return value(p)
		})
	case "fixed":
		if w.size != r.size {
			return refuse(misfit("it was written as %d bytes, and is to be read as %d", w.size, r.size))
		}
		return copyBytes(w.size)
	}
	return plain[w.kind]
}

func refuse(err error) step { return func(*pass) error { return err } }

// writersUnion reads which branch a value is of. The others do not matter to it.
func (c *resolver) writersUnion(w, r *node) step {
	branches := make([]step, len(w.branches))
	for i, b := range w.branches {
		branches[i] = c.step(b, r)
	}
	return func(p *pass) error {
		n, err := p.number()
		if err != nil {
			return err
		}
		if n < 0 || n >= int64(len(branches)) {
			return damaged("it is of branch %d of a union of %d", n, len(branches))
		}
		if err := p.enter(); err != nil {
			return err
		}
		defer p.leave()
		return branches[n](p)
	}
}

// readersUnion picks the reader's branch for a writer's type, once.
func (c *resolver) readersUnion(w, r *node) step {
	at := pick(w, r.branches)
	if at < 0 {
		return refuse(misfit("it was written as %s, which is in no branch of the union that it is to be read as", w))
	}
	inner := c.step(w, r.branches[at])
	return func(p *pass) error {
		p.put(int64(at))
		return inner(p)
	}
}

// pick returns the branch that a type is read as, best match first; -1 if there is none.
func pick(w *node, branches []*node) int {
	for _, fits := range []func(*node) bool{
		func(r *node) bool { return r.kind == w.kind && r.name == w.name && r.size == w.size },
		func(r *node) bool { return r.kind == w.kind && w.name != "" && r.answersTo(w.name) && r.size == w.size },
		func(r *node) bool { return convertible(w, r) },
		func(r *node) bool { return promotions[w.kind+" "+r.kind] != nil },
	} {
		if at := slices.IndexFunc(branches, fits); at >= 0 {
			return at
		}
	}
	return -1
}

// promotions are the types that may be read as another one.
var promotions = map[string]step{
	"int long":     copyInt,
	"int float":    toFloat,
	"int double":   toDouble,
	"long float":   toFloat,
	"long double":  toDouble,
	"float double": widen,
	"string bytes": copyText,
	"bytes string": copyText,
}

func promote(w, r *node) step {
	if s := promotions[w.kind+" "+r.kind]; s != nil {
		return s
	}
	if w.kind == "null" {
		return refuse(misfit("it is null, and the schema it is read with has %s there: %s", r, wayOut(r)))
	}
	return refuse(misfit("incompatible types: it was written as %s, and is to be read as %s", w, r))
}

func toFloat(p *pass) error {
	n, err := p.number()
	p.dst = binary.LittleEndian.AppendUint32(p.dst, math.Float32bits(float32(n)))
	return err
}

func toDouble(p *pass) error {
	n, err := p.number()
	p.dst = binary.LittleEndian.AppendUint64(p.dst, math.Float64bits(float64(n)))
	return err
}

func widen(p *pass) error {
	b, err := p.take(4)
	if err == nil {
		f := float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		p.dst = binary.LittleEndian.AppendUint64(p.dst, math.Float64bits(f))
	}
	return err
}

// enum finds each symbol by its name. One that the reader does not know becomes its default.
func enum(w, r *node) step {
	to := make([]int, len(w.symbols))
	for i, s := range w.symbols {
		if to[i] = slices.Index(r.symbols, s); to[i] < 0 && r.definition.HasEnumDefault {
			to[i] = slices.Index(r.symbols, r.definition.EnumDefault)
		}
	}
	return func(p *pass) error {
		n, err := p.number()
		switch {
		case err != nil:
			return err
		case n < 0 || n >= int64(len(to)):
			return damaged("it is symbol %d of an enum of %d", n, len(to))
		case to[n] < 0:
			return misfit("it is %s, a symbol that the enum %s of the schema it is read with does not have, nor a default", w.symbols[n], r.name)
		}
		p.put(int64(to[n]))
		return nil
	}
}

// part is one step of a record: a field of the writer's, or the default of one that it does not have.
type part struct {
	name string
	step step
	to   int // which of the reader's fields it is; -1 for none
}

func (c *resolver) record(w, r *node) step {
	parts := make([]part, 0, len(w.fields))
	known := make([]bool, len(r.fields))
	for _, f := range w.fields {
		to := r.fieldOf(f.name)
		if to < 0 {
			parts = append(parts, part{f.name, c.step(f.node, f.node), -1})
			continue
		}
		if known[to] {
			return refuse(misfit("two fields of the writer are both the field %s of the schema it is read with, by name and alias", r.fields[to].name))
		}
		known[to] = true
		parts = append(parts, part{r.fields[to].name, c.step(f.node, r.fields[to].node), to})
	}
	for i, f := range r.fields {
		if known[i] {
			continue
		}
		value, err := r.defaultOf(f)
		if err != nil {
			return refuse(in(f.name, err))
		}
		at := slices.IndexFunc(parts, func(p part) bool { return p.to > i })
		if at < 0 {
			at = len(parts)
		}
		parts = slices.Insert(parts, at, part{f.name, constant(value), i})
	}
	placed := slices.DeleteFunc(slices.Clone(parts), func(p part) bool { return p.to < 0 })
	if slices.IsSortedFunc(placed, func(a, b part) int { return a.to - b.to }) {
		return func(p *pass) error { return p.record(parts, nil) }
	}
	return func(p *pass) error { return p.record(parts, make([]span, len(r.fields))) }
}

func constant(value []byte) step {
	return func(p *pass) error {
		p.dst = append(p.dst, value...)
		return nil
	}
}

// fieldOf returns the reader's field that a writer calls name; -1 if there is none.
func (n *node) fieldOf(name string) int {
	if at := slices.IndexFunc(n.fields, func(f field) bool { return f.name == name }); at >= 0 {
		return at
	}
	return slices.IndexFunc(n.fields, func(f field) bool { return slices.Contains(f.aliases, name) })
}

// defaultOf returns what stands for a field of the reader's that the writer does not have.
func (n *node) defaultOf(f field) ([]byte, error) {
	if !f.schema.HasDefault {
		return nil, misfit("the writer does not have it, and it has no default in the schema that the value is read with")
	}
	alone := *n.definition
	alone.Fields = []avro.SchemaField{f.schema}
	s, err := alone.Schema()
	if err != nil {
		return nil, misfit("its default: %v", err)
	}
	value, err := s.Encode(map[string]any{}) // what is not there is encoded as its default
	if err != nil {
		return nil, misfit("its default: %v", err)
	}
	return value, nil
}

// span is where in dst a field is.
type span struct{ from, to int }

// record rewrites the fields in the writer's order. With spans, which are as many as the reader has fields, that is another than the
// reader's, and they are put into it.
func (p *pass) record(parts []part, spans []span) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.leave()
	start := len(p.dst)
	for _, f := range parts {
		begin := len(p.dst)
		if err := f.step(p); err != nil {
			return in(f.name, err)
		}
		switch {
		case f.to < 0:
			p.dst = p.dst[:begin]
		case spans != nil:
			spans[f.to] = span{begin, len(p.dst)}
		}
	}
	if spans == nil {
		return nil
	}
	end := len(p.dst)
	for _, s := range spans {
		p.dst = append(p.dst, p.dst[s.from:s.to]...)
	}
	p.dst = append(p.dst[:start], p.dst[end:]...)
	return nil
}

// rewrite takes one value from the front of data from the writer's schema to the reader's, and returns what follows it, too.
func rewrite(s step, data []byte) (value, rest []byte, err error) {
	p := &pass{src: data, dst: make([]byte, 0, len(data)+len(data)/4+64)}
	err = s(p)
	return p.dst, p.src, err
}
