package protobuf

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile/parser"
	"github.com/bufbuild/protocompile/reporter"
	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/eos-pipe/eos-pipe/codec/registry"
)

// file is a schema as far as message indexes need it: which messages stand in it, and in which order. What it imports is
// not looked at.
type file struct {
	*descriptorpb.FileDescriptorProto
}

// parse reads a schema as registries have it: a .proto file, or a file descriptor in base64.
func parse(text string) (*file, error) {
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err == nil {
		var f descriptorpb.FileDescriptorProto
		if err := proto.Unmarshal(raw, &f); err != nil {
			return nil, fmt.Errorf("it is no file descriptor: %w", err)
		}
		return &file{&f}, nil
	}
	handler := reporter.NewHandler(nil)
	tree, err := parser.Parse("schema.proto", strings.NewReader(text), handler)
	if err != nil {
		return nil, fmt.Errorf("it is no .proto file: %w", err)
	}
	result, err := parser.ResultFromAST(tree, false, handler)
	if err != nil {
		return nil, fmt.Errorf("it is no .proto file: %w", err)
	}
	return &file{result.FileDescriptorProto()}, nil
}

// find returns the index of the message, with the messages that stand for map fields counted or not; nil if the file does not
// have it.
func (f *file) find(name protoreflect.FullName, counted bool) []int {
	local := string(name)
	if pkg := f.GetPackage(); pkg != "" {
		var ok bool
		if local, ok = strings.CutPrefix(local, pkg+"."); !ok {
			return nil
		}
	}
	var index []int
	messages := f.GetMessageType()
	for part := range strings.SplitSeq(local, ".") {
		among := visible(messages, counted)
		at := slices.IndexFunc(among, func(m *descriptorpb.DescriptorProto) bool { return m.GetName() == part })
		if at < 0 {
			return nil
		}
		index, messages = append(index, at), among[at].GetNestedType()
	}
	return index
}

// name returns the message that stands under an index; "" for none, or for one that stands for a map field, which nobody writes.
func (f *file) name(index []int, counted bool) string {
	names := []string{}
	if f.GetPackage() != "" {
		names = append(names, f.GetPackage())
	}
	messages := f.GetMessageType()
	for _, at := range index {
		among := visible(messages, counted)
		if at < 0 || at >= len(among) || among[at].GetOptions().GetMapEntry() {
			return ""
		}
		names, messages = append(names, among[at].GetName()), among[at].GetNestedType()
	}
	return strings.Join(names, ".")
}

// visible returns the messages that an index counts.
func visible(messages []*descriptorpb.DescriptorProto, counted bool) []*descriptorpb.DescriptorProto {
	if counted {
		return messages
	}
	return slices.DeleteFunc(slices.Clone(messages), func(m *descriptorpb.DescriptorProto) bool { return m.GetOptions().GetMapEntry() })
}

// meanings returns the messages that writers may mean by an index.
func (f *file) meanings(index []int, entries MapEntries) []string {
	var all []string
	for _, counted := range entries.ways() {
		if name := f.name(index, counted); name != "" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// own is the schema that is registered for a message, and the message's index in it.
type own struct {
	text  string
	forms []string // other texts of it
	index []int
	doubt error // why a reader cannot tell from the index which message it is; nil if it can
}

func ownSchema(cfg Config, message protoreflect.MessageDescriptor) (o own, err error) {
	o.text = cfg.Schema
	if o.text == "" {
		if o.text, o.forms, err = descriptor(message.ParentFile()); err != nil {
			return o, err
		}
	}
	f, err := parse(o.text)
	if err != nil {
		return o, fmt.Errorf("its schema: %w", err)
	}
	if o.index = f.find(message.FullName(), cfg.MapEntries == MapEntriesCounted); o.index == nil {
		return o, fmt.Errorf("its schema has no message %s", message.FullName())
	}
	if all := f.meanings(o.index, cfg.MapEntries); len(all) > 1 {
		o.doubt = inDoubt(o.index, all)
	}
	return o, nil
}

// inDoubt says that an index means two messages.
func inDoubt(index []int, meanings []string) error {
	return fmt.Errorf("the message index %v means %s where messages of map fields are not counted (Java, JavaScript), and %s where they are (Python, Go): "+
		"set MapEntries of the codec's Config if you know which clients write and read the topic", index, meanings[0], meanings[1])
}

// descriptor returns the file as registries take it: as Python's client writes it, without the JSON names that every
// field has by default, and in another form with them, as protoc-gen-go has it.
func descriptor(f protoreflect.FileDescriptor) (text string, forms []string, err error) {
	file := protodesc.ToFileDescriptorProto(f)
	full, err := proto.MarshalOptions{Deterministic: true}.Marshal(file)
	if err != nil {
		return "", nil, err
	}
	dropNames(file)
	short, err := proto.MarshalOptions{Deterministic: true}.Marshal(file)
	return base64.StdEncoding.EncodeToString(short), []string{base64.StdEncoding.EncodeToString(full)}, err
}

// dropNames takes away the JSON names that fields have by default, and fillNames gives them to fields without.
func dropNames(file *descriptorpb.FileDescriptorProto) {
	eachField(file.GetMessageType(), func(f *descriptorpb.FieldDescriptorProto) {
		if f.GetJsonName() == jsonName(f.GetName()) {
			f.JsonName = nil
		}
	})
}

func fillNames(file *descriptorpb.FileDescriptorProto) {
	eachField(file.GetMessageType(), func(f *descriptorpb.FieldDescriptorProto) {
		if f.JsonName == nil {
			f.JsonName = new(jsonName(f.GetName()))
		}
	})
}

func eachField(messages []*descriptorpb.DescriptorProto, visit func(*descriptorpb.FieldDescriptorProto)) {
	for _, m := range messages {
		for _, f := range m.GetField() {
			visit(f)
		}
		eachField(m.GetNestedType(), visit)
	}
}

// jsonName is the JSON name that protoc gives a field: without underscores, and what follows one is a capital.
func jsonName(name string) string {
	var out strings.Builder
	capital := false
	for _, r := range name {
		switch {
		case r == '_':
			capital = true
			continue
		case capital && 'a' <= r && r <= 'z':
			r += 'A' - 'a'
		}
		capital = false
		out.WriteRune(r)
	}
	return out.String()
}

// known are the imports that registries and clients know by themselves.
var known = []string{"google/protobuf/", "google/type/", "confluent/"}

// references returns what a schema of the file must name as references: those that are given, and otherwise the imports that the
// registry does not know by itself. With register they are registered, innermost first.
func references(reg *registry.Registry, f protoreflect.FileDescriptor, given []sr.SchemaReference, register bool) ([]sr.SchemaReference, error) {
	var refs []sr.SchemaReference
	for i := range f.Imports().Len() {
		imported := f.Imports().Get(i)
		path := imported.Path()
		if at := slices.IndexFunc(given, func(r sr.SchemaReference) bool { return r.Name == path }); at >= 0 {
			refs = append(refs, given[at])
			continue
		}
		if slices.ContainsFunc(known, func(prefix string) bool { return strings.HasPrefix(path, prefix) }) {
			continue
		}
		inner, err := references(reg, imported.FileDescriptor, given, register)
		if err != nil {
			return nil, err
		}
		text, forms, err := descriptor(imported.FileDescriptor)
		if err != nil {
			return nil, err
		}
		ref, err := reg.Reference(path, path, sr.Schema{Schema: text, Type: sr.TypeProtobuf, References: inner}, register, forms...)
		if err != nil {
			return nil, fmt.Errorf("import %q: %w", path, err)
		}
		refs = append(refs, ref)
	}
	return refs, nil
}
