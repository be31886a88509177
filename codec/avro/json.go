package avro

import (
	"fmt"

	"github.com/twmb/avro"

	"github.com/eos-pipe/eos-pipe/codec/internal/memo"
	"github.com/eos-pipe/eos-pipe/codec/registry"
)

// JSON reads and writes values of any schema in Avro's JSON encoding, for programs that know no type of them. A value of a union is
// null or an object with the branch's name as its key; bytes are text of one character a byte; a logical type is the number, text or
// bytes that it is made of. It is safe for many goroutines at once.
type JSON struct {
	registry *registry.Registry
	schemas  memo.Memo[int, resolution]
}

// NewJSON returns a JSON with the schemas of reg. It makes no request.
func NewJSON(reg *registry.Registry) *JSON { return &JSON{registry: reg} }

// ToJSON returns a value as JSON. An error that wraps processor.ErrTransient says that the registry gave no answer; any
// other is about the value.
func (j *JSON) ToJSON(data []byte) ([]byte, error) {
	id, rest, err := registry.Split(data)
	if err != nil {
		return nil, err
	}
	schema, err := j.schema(id)
	if err != nil {
		return nil, err
	}
	var v any
	left, err := schema.Decode(rest, &v, avro.TaggedUnions())
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%d bytes are left over", len(left))
	}
	if err != nil {
		return nil, fmt.Errorf("the value is not Avro of schema id %d: %w", id, err)
	}
	text, err := schema.EncodeJSON(v, avro.TaggedUnions())
	if err != nil {
		return nil, fmt.Errorf("the value, of schema id %d, has no JSON: %w", id, err)
	}
	return text, nil
}

// FromJSON returns the value that text says, written with the schema of another value. Errors are as those of ToJSON.
func (j *JSON) FromJSON(text, like []byte) ([]byte, error) {
	id, _, err := registry.Split(like)
	if err != nil {
		return nil, err
	}
	schema, err := j.schema(id)
	if err != nil {
		return nil, err
	}
	var v any
	if err := schema.DecodeJSON(text, &v, avro.TaggedUnions()); err != nil {
		return nil, fmt.Errorf("the value to be written is not the JSON of schema id %d (a value of a union is an object with the branch's name as its key): %w", id, err)
	}
	data, err := schema.AppendEncode(registry.Header(id), v)
	if err != nil {
		return nil, fmt.Errorf("the value to be written does not fit schema id %d: %w", id, err)
	}
	return data, nil
}

func (j *JSON) schema(id int) (*avro.Schema, error) {
	r, err := j.schemas.Get(id, func() (resolution, error) {
		s, err := j.registry.Schema(id)
		if err != nil {
			return resolution{}, err
		}
		schema, err := parse(s)
		if err != nil {
			err = fmt.Errorf("schema id %d cannot be used: %w", id, err)
		}
		return resolution{schema: schema, err: err}, nil
	})
	if err == nil {
		err = r.err
	}
	return r.schema, err
}
