package avro

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// pass is one value on its way from the writer's schema to the reader's.
type pass struct {
	src, dst []byte
	depth    int
	empty    int // items of arrays that took no bytes
}

// step rewrites one type's value: from the front of src to the end of dst. Its errors are faults.
type step func(*pass) error

const (
	maxDepth = 1000    // of types in each other, as the library has it
	maxEmpty = 4 << 10 // so that a few bytes cannot stand for any number of items
)

// fault is why a value cannot be read, and where in it.
type fault struct {
	path   string
	what   string
	misfit bool // the schemas differ in it; otherwise the bytes are damaged
}

func (f *fault) Error() string {
	if f.path == "" {
		return f.what
	}
	return "field " + f.path + ": " + f.what
}

// in says that an error is about a part of the field.
func in(name string, err error) error {
	if f, ok := errors.AsType[*fault](err); ok {
		g := *f
		g.path = name
		if f.path != "" {
			g.path += "." + f.path
		}
		return &g
	}
	return err
}

func damaged(format string, args ...any) error { return &fault{what: fmt.Sprintf(format, args...)} }
func misfit(format string, args ...any) error {
	return &fault{what: fmt.Sprintf(format, args...), misfit: true}
}

func (p *pass) take(n int64) ([]byte, error) {
	if n < 0 || n > int64(len(p.src)) {
		return nil, damaged("it is cut short: %d bytes are needed, and %d are left", n, len(p.src))
	}
	b := p.src[:n]
	p.src = p.src[n:]
	return b, nil
}

// number reads an int or a long.
func (p *pass) number() (int64, error) {
	n, length := binary.Varint(p.src)
	if length <= 0 {
		return 0, damaged("it is cut short, or a number in it has more than 64 bits")
	}
	p.src = p.src[length:]
	return n, nil
}

func (p *pass) put(n int64) { p.dst = binary.AppendVarint(p.dst, n) }

// enter bounds how deep types stand in each other.
func (p *pass) enter() error {
	if p.depth++; p.depth > maxDepth {
		return damaged("it is nested deeper than %d", maxDepth)
	}
	return nil
}

func (p *pass) leave() { p.depth-- }

// plain are the steps of types that are written as they were read.
var plain = map[string]step{
	"null":    func(*pass) error { return nil },
	"boolean": copyBoolean,
	"int":     copyInt,
	"long":    copyLong,
	"float":   copyBytes(4),
	"double":  copyBytes(8),
	"string":  copyText,
	"bytes":   copyText,
}

func copyBoolean(p *pass) error {
	b, err := p.take(1)
	if err == nil && b[0] > 1 {
		err = damaged("a boolean is %d", b[0])
	}
	p.dst = append(p.dst, b...)
	return err
}

func copyInt(p *pass) error {
	n, err := p.number()
	if err == nil && n != int64(int32(n)) {
		err = damaged("an int is %d", n)
	}
	p.put(n)
	return err
}

func copyLong(p *pass) error {
	n, err := p.number()
	p.put(n)
	return err
}

func copyBytes(size int) step {
	return func(p *pass) error {
		b, err := p.take(int64(size))
		p.dst = append(p.dst, b...)
		return err
	}
}

func copyText(p *pass) error {
	n, err := p.number()
	if err != nil {
		return err
	}
	b, err := p.take(n)
	p.put(n)
	p.dst = append(p.dst, b...)
	return err
}

// blocks rewrites an array or a map: item after item, in the writer's blocks.
func blocks(item step) step {
	return func(p *pass) error {
		if err := p.enter(); err != nil {
			return err
		}
		defer p.leave()
		for {
			count, err := p.number()
			if err == nil && count < 0 { // its size in bytes follows, which is another afterwards
				count = -count
				_, err = p.number()
			}
			if err != nil {
				return err
			}
			if count < 0 {
				return damaged("a block has %d items", count)
			}
			p.put(count)
			if count == 0 {
				return nil
			}
			if err := p.items(count, item); err != nil {
				return err
			}
		}
	}
}

func (p *pass) items(count int64, item step) error {
	for range count {
		before := len(p.src)
		if err := item(p); err != nil {
			return err
		}
		if len(p.src) == before {
			if p.empty++; p.empty > maxEmpty {
				return damaged("it has more than %d items that take no bytes", maxEmpty)
			}
		}
	}
	return nil
}
