// Package avro has a codec for values in Avro, in the wire format of a schema registry.
//
// A value is decoded in two steps that Avro calls schema resolution: its schema id names the writer's schema, which the
// registry has, and the codec's own schema says what the program wants to see. Fields may stand in another order, new fields
// take their default, an int may become a long, and so on. What does not resolve is an error of the record, and of that record
// alone: a value is judged, not all that its schema could hold. A timestamp or a time of another unit is converted where that is exact;
// what differs more (a date, a local time, a decimal of another scale) is an error.
//
//	type Order struct {
//		ID    string `avro:"id"`
//		Cents int64  `avro:"cents"`
//	}
//
//	orders, err := avro.New[Order](reg, avro.Config{Topic: "orders"})
//
// How Go types and Avro types go together is told by https://pkg.go.dev/github.com/twmb/avro, which does the work.
package avro

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/eos-pipe/eos-pipe/codec/internal/memo"
	"github.com/eos-pipe/eos-pipe/codec/registry"
	"github.com/eos-pipe/eos-pipe/processor"
)

// Config says what schema a codec has and, where it is to write, under which subject. The zero Config can read.
type Config struct {
	// Schema is the codec's own schema, as Avro's JSON and complete in itself: values are encoded with it, and what is
	// decoded is resolved to it. By default it is derived from T: the record has the name of the Go type, and its fields
	// the names in `avro:"name"` tags, or else the Go names. For T any or map[string]any there is nothing to derive: without a
	// Schema such a codec reads with the writer's, and cannot write.
	Schema string
	// Namespace of the derived schema. Readers match records by the name without it.
	Namespace string

	// Topic is where the values are written to; the schema's subject is then Topic + "-value" (TopicNameStrategy). A record
	// that goes elsewhere by Record.To is written with the same schema id. Not needed to read.
	Topic string
	// Subject takes the place of Topic + "-value", for the other strategies of naming.
	Subject string
	// AutoRegister registers the schema with the first record that is written. By default it must stand in the subject
	// already. (Other Kafka clients register by default; here a program does not change a contract unless it says so.)
	AutoRegister bool
}

// New returns a codec for T that is safe for many goroutines at once. It makes no request. The error says that there
// is no schema for T, or what is wrong with the one in cfg.
//
// A tombstone decodes to the zero T, and a nil pointer, map, slice or interface is written as one. An error that wraps
// processor.ErrTransient says that the registry gave no answer; any other is about the record or its schema.
func New[T any](reg *registry.Registry, cfg Config) (processor.Codec[T], error) {
	own, err := ownSchema[T](cfg)
	if err != nil {
		return nil, fmt.Errorf("the Avro codec of %s: %w", reflect.TypeFor[T](), err)
	}
	subject := registry.SubjectOf(cfg.Subject, cfg.Topic)
	c := &codec[T]{registry: reg, own: own}
	if own != nil {
		if err := c.prepare(subject != ""); err != nil {
			return nil, fmt.Errorf("the Avro codec of %s: %w", reflect.TypeFor[T](), err)
		}
	}
	c.writer = reg.Writer(subject, cfg.AutoRegister, func() (sr.Schema, error) {
		if own == nil {
			return sr.Schema{}, errors.New("the codec has no schema of its own to write with: set the Schema of its Config")
		}
		return sr.Schema{Schema: own.String(), Type: sr.TypeAvro}, nil
	})
	return c, nil
}

// ownSchema returns the codec's schema; nil where values are to be read as they were written.
func ownSchema[T any](cfg Config) (*avro.Schema, error) {
	t := reflect.TypeFor[T]()
	switch {
	case cfg.Schema != "":
		return avro.Parse(cfg.Schema)
	case t == reflect.TypeFor[any](), t == reflect.TypeFor[map[string]any]():
		return nil, nil
	}
	var opts []avro.SchemaOpt
	if cfg.Namespace != "" {
		opts = append(opts, avro.WithNamespace(cfg.Namespace))
	}
	if t.Kind() != reflect.Pointer {
		return avro.SchemaFor[T](opts...)
	}
	// Only structs have a schema derived: *T gets that of T, by way of a record that has it as a field.
	outer, err := avro.SchemaFor[struct{ V T }](append(opts, avro.WithName("outer"))...)
	if err != nil {
		return nil, err
	}
	field := outer.Root().Fields[0].Type
	for _, branch := range field.Branches {
		if branch.Type != "null" {
			return branch.Schema()
		}
	}
	return nil, errors.New("a pointer to it has no schema")
}

type codec[T any] struct {
	registry *registry.Registry
	own      *avro.Schema // nil: the writer's
	node     *node        // of own
	options  []avro.Opt   // to decode with
	writer   *registry.Writer
	resolved memo.Memo[int, resolution]
}

// prepare looks at the codec's own schema.
func (c *codec[T]) prepare(writes bool) (err error) {
	if c.node, err = nodeOf(c.own); err != nil {
		return err
	}
	if c.node.anyAmbiguous(map[*node]bool{}) {
		c.options = []avro.Opt{avro.TaggedUnions()}
	}
	if !writes {
		return nil
	}
	return (&targets{seen: map[target]bool{}}).check(reflect.TypeFor[T](), c.node)
}

// resolution is how values of one writer's schema are read. That they cannot be is as lasting as the schema, and kept too.
type resolution struct {
	rewrite step // into values of schema; nil if they are
	schema  *avro.Schema
	err     error
}

// Decode implements processor.Codec.
func (c *codec[T]) Decode(data []byte) (v T, err error) {
	if data == nil {
		return v, nil
	}
	id, rest, err := registry.Split(data)
	if err != nil {
		return v, err
	}
	r, err := c.resolved.Get(id, func() (resolution, error) { return c.resolve(id) })
	if err == nil {
		err = r.err
	}
	if err != nil {
		return v, err
	}
	if err := c.decode(r, rest, &v); err != nil {
		var zero T
		if f, ok := errors.AsType[*fault](err); ok && f.misfit {
			return zero, fmt.Errorf("the value of schema id %d cannot be read as %s: %w", id, reflect.TypeFor[T](), err)
		}
		return zero, fmt.Errorf("the value is not a %s in Avro, of schema id %d: %w", reflect.TypeFor[T](), id, err)
	}
	return v, nil
}

func (c *codec[T]) decode(r resolution, data []byte, v *T) (err error) {
	left := []byte{}
	if r.rewrite != nil {
		if data, left, err = rewrite(r.rewrite, data); err != nil {
			return err
		}
	}
	rest, err := r.schema.Decode(data, v, c.options...)
	if n := len(rest) + len(left); err == nil && n > 0 {
		err = fmt.Errorf("%d bytes are left over", n)
	}
	return err
}

// resolve reads the writer's schema and finds out how to get from it to the codec's own.
func (c *codec[T]) resolve(id int) (resolution, error) {
	s, err := c.registry.Schema(id)
	if err != nil {
		return resolution{}, err
	}
	writer, err := parse(s)
	if err != nil {
		return resolution{err: fmt.Errorf("schema id %d cannot be used: %w", id, err)}, nil
	}
	if c.own == nil {
		return resolution{schema: writer}, nil
	}
	written, err := nodeOf(writer)
	if err != nil {
		return resolution{err: fmt.Errorf("schema id %d cannot be used: %w", id, err)}, nil
	}
	return resolution{rewrite: resolve(written, c.node), schema: c.own}, nil
}

func parse(s registry.Schema) (*avro.Schema, error) {
	if s.Type != sr.TypeAvro {
		return nil, fmt.Errorf("it is of type %s, not AVRO", s.Type)
	}
	var types avro.SchemaCache
	for _, i := range s.Imports {
		if _, err := types.Parse(i.Schema.Schema); err != nil {
			return nil, fmt.Errorf("its reference %q: %w", i.Name, err)
		}
	}
	return types.Parse(s.Schema.Schema)
}

// Encode implements processor.Codec.
func (c *codec[T]) Encode(v T) ([]byte, error) {
	if isNil(v) {
		return nil, nil
	}
	id, err := c.writer.ID()
	if err != nil {
		return nil, err
	}
	data, err := c.own.AppendEncode(registry.Header(id), v)
	if err != nil {
		return nil, fmt.Errorf("encode %T in Avro: %w", v, err)
	}
	return data, nil
}

func isNil(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Map, reflect.Slice:
		return r.IsNil()
	default:
		return false
	}
}
