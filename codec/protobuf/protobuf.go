// Package protobuf has a codec for values in Protobuf, in the wire format of a schema registry.
//
//	orders, err := protobuf.New[*shop.Order](reg, protobuf.Config{Topic: "orders"})
//
// The type is a pointer to a message, as protoc-gen-go makes them. Protobuf evolves by its field numbers: fields that the
// program does not know are kept and written again, fields that are not there have their zero value. The schema id and the
// message indexes of a value say which message it holds; if that is another one than the codec's, by its full name, it is an error
// of the record, for Protobuf would decode almost anything as anything.
package protobuf

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/eos-pipe/eos-pipe/codec/internal/memo"
	"github.com/eos-pipe/eos-pipe/codec/registry"
	"github.com/eos-pipe/eos-pipe/processor"
)

// Config says, where a codec is to write, under which subject its schema stands. The zero Config can read.
type Config struct {
	// Schema is the .proto file that the subject holds, for a registry that compares texts. By default it is the file
	// descriptor that the Go type carries, which registries take in base64. It is looked for as Kafka's Python client registers it and,
	// after that, with the JSON names that protoc-gen-go adds.
	Schema string
	// References are the subjects and versions of imports, by the import's path as Name, where they stand elsewhere than under their
	// path.
	References []sr.SchemaReference
	// MapEntries says how the clients that write and read the topic count messages beside map fields. It is needed only where an
	// index means one message to some and another to others: there, by default, a value is an error, and New refuses to write.
	MapEntries MapEntries

	// Topic is where the values are written to; the schema's subject is then Topic + "-value" (TopicNameStrategy). A record
	// that goes elsewhere by Record.To is written with the same schema id. Not needed to read.
	//
	// Files that the schema imports stand under the import's path as subject, as Kafka's other clients have it; those of
	// google/protobuf, google/type and confluent are no references, as there, unless References names them.
	Topic string
	// Subject takes the place of Topic + "-value", for the other strategies of naming.
	Subject string
	// AutoRegister registers the schema, and what it imports, with the first record that is written. By default they must
	// stand in their subjects already. (Other Kafka clients register by default; here a program does not change a contract unless it
	// says so.)
	AutoRegister bool
}

// MapEntries says whether message indexes count the messages that Protobuf makes for map fields.
type MapEntries int

const (
	// MapEntriesUnknown takes an index only where both ways of counting lead to the same message, or one of them to none.
	MapEntriesUnknown MapEntries = iota
	// MapEntriesNotCounted is how Kafka's clients for Java and JavaScript have it.
	MapEntriesNotCounted
	// MapEntriesCounted is how Kafka's clients for Python and Go have it.
	MapEntriesCounted
)

// ways returns whether to count map entries, or both. Values are written in the first way.
func (m MapEntries) ways() []bool {
	switch m {
	case MapEntriesNotCounted:
		return []bool{false}
	case MapEntriesCounted:
		return []bool{true}
	default:
		return []bool{false, true}
	}
}

// New returns a codec for T that is safe for many goroutines at once. It makes no request. The error says that T is no
// pointer to a message, or what is wrong with the schema in cfg.
//
// A tombstone decodes to a nil T, and a nil T is written as one. An error that wraps processor.ErrTransient says that the
// registry gave no answer; any other is about the record or its schema.
func New[T proto.Message](reg *registry.Registry, cfg Config) (processor.Codec[T], error) {
	c, err := newCodec[T](reg, cfg)
	if err != nil {
		return nil, fmt.Errorf("the Protobuf codec of %s: %w", reflect.TypeFor[T](), err)
	}
	return c, nil
}

func newCodec[T proto.Message](reg *registry.Registry, cfg Config) (*codec[T], error) {
	if t := reflect.TypeFor[T](); t.Kind() != reflect.Pointer || t.Elem().PkgPath() == "google.golang.org/protobuf/types/dynamicpb" {
		return nil, errors.New("the type parameter must be a pointer to a generated message")
	}
	var none T
	c := &codec[T]{registry: reg, message: none.ProtoReflect().Type(), entries: cfg.MapEntries}
	own, err := ownSchema(cfg, c.message.Descriptor())
	if err != nil {
		return nil, err
	}
	subject := registry.SubjectOf(cfg.Subject, cfg.Topic)
	if own.doubt != nil && subject != "" {
		return nil, own.doubt
	}
	c.index = own.index
	c.writer = reg.Writer(subject, cfg.AutoRegister, func() (sr.Schema, error) {
		refs, err := references(reg, c.message.Descriptor().ParentFile(), cfg.References, cfg.AutoRegister)
		return sr.Schema{Schema: own.text, Type: sr.TypeProtobuf, References: refs}, err
	}, own.forms...)
	return c, nil
}

type codec[T proto.Message] struct {
	registry *registry.Registry
	message  protoreflect.MessageType
	entries  MapEntries
	index    []int // of the message in its own file
	writer   *registry.Writer
	files    memo.Memo[int, writersFile]
}

// writersFile is the file that values were written with. That it cannot be used is as lasting as the schema, and kept too.
type writersFile struct {
	file  *file
	index [][]int // under which it has the codec's message, and no other
	err   error
}

// Decode implements processor.Codec.
func (c *codec[T]) Decode(data []byte) (T, error) {
	var none T
	if data == nil {
		return none, nil
	}
	id, rest, err := registry.Split(data)
	if err != nil {
		return none, err
	}
	index, rest, err := registry.SplitIndexes(rest)
	if err != nil {
		return none, err
	}
	w, err := c.files.Get(id, func() (writersFile, error) { return c.read(id) })
	if err == nil {
		err = w.err
	}
	if err != nil {
		return none, err
	}
	if !slices.ContainsFunc(w.index, func(own []int) bool { return slices.Equal(own, index) }) {
		return none, c.refuse(w.file, index, id)
	}
	m := c.message.New().Interface()
	if err := proto.Unmarshal(rest, m); err != nil {
		return none, fmt.Errorf("the value is not a %s in Protobuf, of schema id %d: %w", c.message.Descriptor().FullName(), id, err)
	}
	return m.(T), nil
}

func (c *codec[T]) read(id int) (writersFile, error) {
	s, err := c.registry.Schema(id)
	if err != nil {
		return writersFile{}, err
	}
	if s.Type != sr.TypeProtobuf {
		return writersFile{err: fmt.Errorf("schema id %d is of type %s, not PROTOBUF", id, s.Type)}, nil
	}
	f, err := parse(s.Schema.Schema)
	if err != nil {
		return writersFile{err: fmt.Errorf("schema id %d cannot be used: %w", id, err)}, nil
	}
	w := writersFile{file: f}
	for _, counted := range c.entries.ways() {
		index := f.find(c.message.Descriptor().FullName(), counted)
		if index != nil && len(f.meanings(index, c.entries)) == 1 {
			w.index = append(w.index, index)
		}
	}
	return w, nil
}

// refuse says why the message under an index is not the codec's, or not for certain.
func (c *codec[T]) refuse(f *file, index []int, id int) error {
	own := c.message.Descriptor().FullName()
	switch meanings := f.meanings(index, c.entries); {
	case len(meanings) == 0:
		return fmt.Errorf("the value holds message %v, which its schema does not have, of schema id %d, and not %s", index, id, own)
	case slices.Contains(meanings, string(own)):
		return fmt.Errorf("it cannot be told whether the value, of schema id %d, holds %s: %w", id, own, inDoubt(index, meanings))
	default:
		return fmt.Errorf("the value holds %s, of schema id %d, and not %s", strings.Join(meanings, " or "), id, own)
	}
}

// Encode implements processor.Codec. The same value gives the same bytes within one build of the program.
func (c *codec[T]) Encode(v T) ([]byte, error) {
	if !v.ProtoReflect().IsValid() { // a nil pointer
		return nil, nil
	}
	id, err := c.writer.ID()
	if err != nil {
		return nil, err
	}
	data, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(registry.Header(id, c.index...), v)
	if err != nil {
		return nil, fmt.Errorf("encode %s in Protobuf: %w", c.message.Descriptor().FullName(), err)
	}
	return data, nil
}
