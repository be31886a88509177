package protobuf

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/eos-pipe/eos-pipe/codec/internal/memo"
	"github.com/eos-pipe/eos-pipe/codec/registry"
)

// JSON reads and writes values of any message in Protobuf's JSON mapping, for programs that know no type of them. Fields have the
// names of the .proto file; 64-bit integers are text. What the mapping cannot hold (fields that the schema does not know) is
// lost when a value is written. It is safe for many goroutines at once.
type JSON struct {
	registry *registry.Registry
	files    memo.Memo[int, linked]
}

// linked is a writer's file with all that it imports.
type linked struct {
	file  *file
	whole protoreflect.FileDescriptor
	err   error
}

// NewJSON returns a JSON with the schemas of reg. It makes no request.
func NewJSON(reg *registry.Registry) *JSON { return &JSON{registry: reg} }

// ToJSON returns a value as JSON. An error that wraps processor.ErrTransient says that the registry gave no answer; any
// other is about the value. One whose message cannot be told for certain (MapEntriesUnknown) is an error.
func (j *JSON) ToJSON(data []byte) ([]byte, error) {
	m, rest, err := j.message(data)
	if err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(rest, m); err != nil {
		return nil, fmt.Errorf("the value is not a %s in Protobuf: %w", m.Descriptor().FullName(), err)
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("the %s has no JSON: %w", m.Descriptor().FullName(), err)
	}
	return text, nil
}

// FromJSON returns the value that text says, written as the message, and with the schema, of another value. Errors are as
// those of ToJSON.
func (j *JSON) FromJSON(text, like []byte) ([]byte, error) {
	m, rest, err := j.message(like)
	if err != nil {
		return nil, err
	}
	if err := protojson.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("the value to be written is not the JSON of a %s: %w", m.Descriptor().FullName(), err)
	}
	header := append([]byte{}, like[:len(like)-len(rest)]...)
	data, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(header, m)
	if err != nil {
		return nil, fmt.Errorf("encode %s in Protobuf: %w", m.Descriptor().FullName(), err)
	}
	return data, nil
}

// message returns an empty message of the value's type, and the bytes that follow the indexes.
func (j *JSON) message(data []byte) (*dynamicpb.Message, []byte, error) {
	id, rest, err := registry.Split(data)
	if err != nil {
		return nil, nil, err
	}
	index, rest, err := registry.SplitIndexes(rest)
	if err != nil {
		return nil, nil, err
	}
	f, err := j.files.Get(id, func() (linked, error) { return j.read(id) })
	if err == nil {
		err = f.err
	}
	if err != nil {
		return nil, nil, err
	}
	switch all := f.file.meanings(index, MapEntriesUnknown); len(all) {
	case 0:
		return nil, nil, fmt.Errorf("the value holds message %v, which its schema, id %d, does not have", index, id)
	case 1:
		return dynamicpb.NewMessage(descend(f.whole, all[0])), rest, nil
	default:
		return nil, nil, fmt.Errorf("it cannot be told what the value, of schema id %d, holds: the message index %v means %s where messages of map fields are not counted "+
			"(Java, JavaScript), and %s where they are (Python, Go)", id, index, all[0], all[1])
	}
}

// descend finds a message by its full name.
func descend(f protoreflect.FileDescriptor, name string) protoreflect.MessageDescriptor {
	local := strings.TrimPrefix(name, string(f.Package())+".")
	var found protoreflect.MessageDescriptor
	messages := f.Messages()
	for part := range strings.SplitSeq(local, ".") {
		found = messages.ByName(protoreflect.Name(part))
		messages = found.Messages()
	}
	return found
}

// read reads a writer's file, and links it with what it imports: the references of its schema, and what protoc brings.
func (j *JSON) read(id int) (linked, error) {
	s, err := j.registry.Schema(id)
	if err != nil {
		return linked{}, err
	}
	if s.Type != sr.TypeProtobuf {
		return linked{err: fmt.Errorf("schema id %d is of type %s, not PROTOBUF", id, s.Type)}, nil
	}
	l := linked{}
	if l.file, err = parse(s.Schema.Schema); err == nil {
		l.whole, err = link(s)
	}
	if err != nil {
		l.err = fmt.Errorf("schema id %d cannot be used: %s", id, strings.Join(strings.Fields(err.Error()), " "))
	}
	return l, nil
}

// place is what a writer's file is called where it is linked.
const place = "value of the record.proto"

func link(s registry.Schema) (protoreflect.FileDescriptor, error) {
	texts := map[string]string{place: s.Schema.Schema}
	for _, i := range s.Imports {
		texts[i.Name] = i.Schema.Schema
	}
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(protocompile.ResolverFunc(func(path string) (protocompile.SearchResult, error) {
		text, ok := texts[path]
		if !ok {
			return protocompile.SearchResult{}, errors.New("it is none of the schema's references")
		}
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil {
			return protocompile.SearchResult{Source: strings.NewReader(text)}, nil
		}
		var f descriptorpb.FileDescriptorProto
		if err := proto.Unmarshal(raw, &f); err != nil {
			return protocompile.SearchResult{}, err
		}
		f.Name = new(path)
		fillNames(&f) // the compiler takes fields without for fields of the same name
		return protocompile.SearchResult{Proto: &f}, nil
	}))}
	files, err := compiler.Compile(context.Background(), place)
	if err != nil {
		return nil, err
	}
	return files[0], nil
}
