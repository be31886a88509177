package jsonschema

import (
	"fmt"

	"github.com/eos-pipe/eos-pipe/codec/registry"
)

// JSON reads and writes values of any schema as the JSON that they are, for programs that know no type of them. What is read is
// checked with the schema that it was written with, and what is written, too. It is safe for many goroutines at once.
type JSON struct{ codec *codec[any] }

// NewJSON returns a JSON with the schemas of reg. It makes no request. With formats values are checked by "format", as
// Config.CheckFormats has it.
func NewJSON(reg *registry.Registry, formats bool) *JSON {
	return &JSON{&codec[any]{registry: reg, formats: formats}}
}

// ToJSON returns a value without what stands before it. An error that wraps processor.ErrTransient says that the registry gave no
// answer; any other is about the value.
func (j *JSON) ToJSON(data []byte) ([]byte, error) {
	id, rest, err := registry.Split(data)
	if err != nil {
		return nil, err
	}
	w, err := j.codec.schemaOf(id)
	if err != nil {
		return nil, err
	}
	if err := check(rest, w.schema); err != nil {
		return nil, fmt.Errorf("the value does not keep schema id %d: %w", id, err)
	}
	return rest, nil
}

// FromJSON returns the value that text is, written with the schema of another value. Errors are as those of ToJSON.
func (j *JSON) FromJSON(text, like []byte) ([]byte, error) {
	id, _, err := registry.Split(like)
	if err != nil {
		return nil, err
	}
	w, err := j.codec.schemaOf(id)
	if err != nil {
		return nil, err
	}
	if err := check(text, w.schema); err != nil {
		return nil, fmt.Errorf("the value to be written does not keep schema id %d: %w", id, err)
	}
	return append(registry.Header(id), text...), nil
}
