package protobuf

import (
	"encoding/base64"
	"fmt"
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

// find returns the indexes under which writers may mean the message; none if the file does not have it. Kafka's Java
// client does not count the messages that stand for map fields, and is first; its Python client does.
func (f *file) find(name protoreflect.FullName) [][]int {
	local := string(name)
	if pkg := f.GetPackage(); pkg != "" {
		var ok bool
		if local, ok = strings.CutPrefix(local, pkg+"."); !ok {
			return nil
		}
	}
	names := strings.Split(local, ".")
	var found [][]int
	for _, skipMaps := range []bool{true, false} {
		if index := indexIn(f.GetMessageType(), names, skipMaps); index != nil {
			found = append(found, index)
		}
	}
	return found
}

func indexIn(messages []*descriptorpb.DescriptorProto, names []string, skipMaps bool) []int {
	at := 0
	for _, m := range messages {
		if skipMaps && m.GetOptions().GetMapEntry() {
			continue
		}
		if m.GetName() == names[0] {
			if len(names) == 1 {
				return []int{at}
			}
			if inner := indexIn(m.GetNestedType(), names[1:], skipMaps); inner != nil {
				return append([]int{at}, inner...)
			}
			return nil
		}
		at++
	}
	return nil
}

// name says which message stands under an index, for people.
func (f *file) name(index []int) string {
	names := []string{}
	if f.GetPackage() != "" {
		names = append(names, f.GetPackage())
	}
	messages := f.GetMessageType()
	for _, want := range index {
		at := 0
		var found *descriptorpb.DescriptorProto
		for _, m := range messages {
			if m.GetOptions().GetMapEntry() {
				continue
			}
			if at == want {
				found = m
				break
			}
			at++
		}
		if found == nil {
			return fmt.Sprintf("message %v, which its schema does not have", index)
		}
		names, messages = append(names, found.GetName()), found.GetNestedType()
	}
	return strings.Join(names, ".")
}

// ownSchema returns the schema that is registered for a message, and the message's index in it.
func ownSchema(cfg Config, message protoreflect.MessageDescriptor) (text string, index []int, err error) {
	text = cfg.Schema
	if text == "" {
		if text, err = descriptor(message.ParentFile()); err != nil {
			return "", nil, err
		}
	}
	f, err := parse(text)
	if err != nil {
		return "", nil, fmt.Errorf("its schema: %w", err)
	}
	found := f.find(message.FullName())
	if len(found) == 0 {
		return "", nil, fmt.Errorf("its schema has no message %s", message.FullName())
	}
	return text, found[0], nil
}

func descriptor(f protoreflect.FileDescriptor) (string, error) {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(protodesc.ToFileDescriptorProto(f))
	return base64.StdEncoding.EncodeToString(raw), err
}

// references returns what a schema of the file must name as references: the imports that the registry does not know by
// itself. With register they are registered, innermost first.
func references(reg *registry.Registry, f protoreflect.FileDescriptor, register bool) ([]sr.SchemaReference, error) {
	var refs []sr.SchemaReference
	for i := range f.Imports().Len() {
		imported := f.Imports().Get(i)
		path := imported.Path()
		if strings.HasPrefix(path, "google/protobuf/") {
			continue
		}
		inner, err := references(reg, imported.FileDescriptor, register)
		if err != nil {
			return nil, err
		}
		text, err := descriptor(imported.FileDescriptor)
		if err != nil {
			return nil, err
		}
		ref, err := reg.Reference(path, path, sr.Schema{Schema: text, Type: sr.TypeProtobuf, References: inner}, register)
		if err != nil {
			return nil, fmt.Errorf("import %q: %w", path, err)
		}
		refs = append(refs, ref)
	}
	return refs, nil
}
