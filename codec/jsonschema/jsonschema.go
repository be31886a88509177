// Package jsonschema has a codec for values in JSON with a JSON Schema, in the wire format of a schema registry.
//
// What is decoded is checked with the schema that it was written with, and with the codec's own where it has one; what is
// encoded is checked with the codec's own. JSON itself is read and written as by processor.JSON. A value that does not keep its
// schema is an error of the record.
//
//	orders, err := jsonschema.New[Order](reg, jsonschema.Config{Schema: orderSchema, Topic: "orders"})
//
// Schemas that name no draft ("$schema") are taken for draft 7; Kafka's other clients differ in this (confluent-kafka for Python takes
// draft 2020-12), so a schema better names its own. "format" is an annotation and not checked, whatever the draft, unless
// Config.CheckFormats says so. Patterns are Go's regular expressions, without lookaheads. A "$ref" finds only what the registry has as a reference of the schema: nothing is read from files or the network.
package jsonschema

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/eos-pipe/eos-pipe/codec/internal/memo"
	"github.com/eos-pipe/eos-pipe/codec/registry"
	"github.com/eos-pipe/eos-pipe/processor"
)

// Config says what schema a codec has and, where it is to write, under which subject. The zero Config can read.
type Config struct {
	// Schema is the codec's own JSON Schema, complete in itself. It is needed to write; a codec that only reads may do
	// without, and then checks values with the writer's alone.
	Schema string
	// CheckFormats has values checked by "format" (date-time, email, uuid, ...), in the writer's schema and in the codec's own, in every
	// draft. By default it is not checked in any: other clients differ in it, and JSON Schema calls it an annotation.
	CheckFormats bool

	// Topic is where the values are written to; the schema's subject is then Topic + "-value" (TopicNameStrategy). A record
	// that goes elsewhere by Record.To is written with the same schema id. Not needed to read.
	Topic string
	// Subject takes the place of Topic + "-value", for the other strategies of naming.
	Subject string
	// AutoRegister registers the schema with the first record that is written. By default it must stand in the subject
	// already. (Other Kafka clients register by default; here a program does not change a contract unless it says so.)
	AutoRegister bool
}

// New returns a codec for T that is safe for many goroutines at once. It makes no request. The error says what is wrong
// with the schema in cfg.
//
// A tombstone decodes to the zero T, and what encodes to null (a nil pointer, map, slice or interface) is written as
// one. An error that wraps processor.ErrTransient says that the registry gave no answer; any other is about the
// record or its schema.
func New[T any](reg *registry.Registry, cfg Config) (processor.Codec[T], error) {
	c := &codec[T]{registry: reg, text: cfg.Schema, formats: cfg.CheckFormats, json: processor.JSON[T]()}
	if cfg.Schema != "" {
		var err error
		c.own, err = compile(registry.Schema{Schema: sr.Schema{Schema: cfg.Schema, Type: sr.TypeJSON}}, cfg.CheckFormats)
		if err != nil {
			return nil, fmt.Errorf("the JSON Schema codec of %s: %w", reflect.TypeFor[T](), err)
		}
	}
	subject := registry.SubjectOf(cfg.Subject, cfg.Topic)
	c.writer = reg.Writer(subject, cfg.AutoRegister, func() (sr.Schema, error) {
		if c.own == nil {
			return sr.Schema{}, errors.New("the codec has no schema of its own to write with: set the Schema of its Config")
		}
		return sr.Schema{Schema: cfg.Schema, Type: sr.TypeJSON}, nil
	})
	return c, nil
}

type codec[T any] struct {
	registry *registry.Registry
	json     processor.Codec[T]
	text     string
	formats  bool
	own      *jsonschema.Schema // nil: none
	writer   *registry.Writer
	writers  memo.Memo[int, writersSchema]
}

// writersSchema is the schema that values were written with. That it cannot be used is as lasting as the schema, and kept too.
type writersSchema struct {
	schema *jsonschema.Schema
	isOwn  bool // the text is the codec's own: no need to check twice
	err    error
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
	w, err := c.schemaOf(id)
	if err != nil {
		return v, err
	}
	if err := check(rest, w.schema); err != nil {
		return v, fmt.Errorf("the value does not keep schema id %d: %w", id, err)
	}
	if c.own != nil && !w.isOwn {
		if err := check(rest, c.own); err != nil {
			return v, fmt.Errorf("the value, of schema id %d, does not keep the codec's own schema: %w", id, err)
		}
	}
	return c.json.Decode(rest)
}

// schemaOf returns the schema of that id.
func (c *codec[T]) schemaOf(id int) (writersSchema, error) {
	w, err := c.writers.Get(id, func() (writersSchema, error) { return c.read(id) })
	if err == nil {
		err = w.err
	}
	return w, err
}

func (c *codec[T]) read(id int) (writersSchema, error) {
	s, err := c.registry.Schema(id)
	if err != nil {
		return writersSchema{}, err
	}
	schema, err := compile(s, c.formats)
	if err != nil {
		return writersSchema{err: fmt.Errorf("schema id %d cannot be used: %w", id, err)}, nil
	}
	return writersSchema{schema: schema, isOwn: s.Schema.Schema == c.text}, nil
}

// Encode implements processor.Codec.
func (c *codec[T]) Encode(v T) ([]byte, error) {
	data, err := c.json.Encode(v)
	if data == nil || err != nil {
		return nil, err
	}
	id, err := c.writer.ID()
	if err != nil {
		return nil, err
	}
	if err := check(data, c.own); err != nil {
		return nil, fmt.Errorf("the %T to be written does not keep its schema: %w", v, err)
	}
	return append(registry.Header(id), data...), nil
}

// check reports what of data does not keep the schema, in one line. The validator panics over numbers with an exponent
// beyond a million, which it cannot compare; that is the record's fault too.
func check(data []byte, schema *jsonschema.Schema) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it cannot be checked: %v", r)
		}
	}()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("it is not JSON: %w", err)
	}
	if err := schema.Validate(doc); err != nil {
		return inOneLine(err)
	}
	return nil
}

// place is where a schema stands as far as its relative references go.
const place = "registry:///schema.json"

// compile makes a schema ready to check with. Its errors are one line.
func compile(s registry.Schema, formats bool) (*jsonschema.Schema, error) {
	if s.Type != sr.TypeJSON {
		return nil, fmt.Errorf("it is of type %s, not JSON", s.Type)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(s.Schema.Schema))
	if err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	if formats {
		c.AssertFormat()
	}
	c.UseLoader(imports(s.Imports))
	if err := c.AddResource(place, doc); err != nil {
		return nil, inOneLine(err)
	}
	schema, err := c.Compile(place)
	if err != nil {
		return nil, inOneLine(err)
	}
	if !formats {
		dropFormats(reflect.ValueOf(schema), map[*jsonschema.Schema]bool{})
	}
	return schema, nil
}

// dropFormats takes the formats out of all schemas below v: the validator checks them in drafts up to 7, whatever it is told.
func dropFormats(v reflect.Value, seen map[*jsonschema.Schema]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		s, ok := reflect.TypeAssert[*jsonschema.Schema](v)
		if !ok || s == nil || seen[s] {
			return
		}
		seen[s] = true
		s.Format = nil
		for _, field := range v.Elem().Fields() {
			if field.CanInterface() {
				dropFormats(field, seen)
			}
		}
	case reflect.Interface:
		dropFormats(v.Elem(), seen)
	case reflect.Slice:
		for i := range v.Len() {
			dropFormats(v.Index(i), seen)
		}
	case reflect.Map:
		for _, value := range v.Seq2() {
			dropFormats(value, seen)
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			if field.CanInterface() {
				dropFormats(field, seen)
			}
		}
	default:
	}
}

// imports loads what schemas refer to, from the references that the registry has for them, and from nowhere else.
type imports []registry.Import

// Load implements jsonschema.URLLoader. A reference is named by its whole URL, or by the last part of it.
func (all imports) Load(url string) (any, error) {
	for _, i := range all {
		if url == i.Name || strings.HasSuffix(url, "/"+i.Name) {
			return jsonschema.UnmarshalJSON(strings.NewReader(i.Schema.Schema))
		}
	}
	return nil, errors.New("it is none of the schema's references")
}
