package jq

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/itchyny/gojq"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/millis"
)

// Record is a Kafka record as far as a program can see and set it.
type Record struct {
	Key       []byte // nil: no key
	Value     []byte // nil: a tombstone
	Headers   []Header
	To        string // the topic to write an output to; "" for the default output
	Topic     string // Topic, Partition, Offset and Timestamp say where the input came from
	Partition int32
	Offset    int64
	Timestamp time.Time // to the millisecond, as Kafka keeps it; zero: none
}

// Header is one header of a record. A name may occur more than once. A nil Value is a header without a value.
type Header = kgo.RecordHeader

// input is one record on its way through a program: as it came, and as the program sees it. gojq does not write to what
// it is given, so the object still tells what the program saw after the run.
type input struct {
	program *Program
	record  Record
	object  map[string]any
	headers map[string]any
}

func (p *Program) newInput(r Record) (input, error) {
	in := input{program: p, record: r, headers: make(map[string]any, len(r.Headers))}
	for _, h := range r.Headers {
		in.headers[h.Key] = stringOrNull(h.Value)
	}
	in.object = map[string]any{
		"headers": in.headers, "topic": r.Topic,
		"partition": int(r.Partition), "offset": int(r.Offset), "timestamp": int(millis.Of(r.Timestamp)),
	}
	if err := in.show("key", r.Key, p.key); err != nil {
		return input{}, err
	}
	if !p.readsValue {
		return in, nil
	}
	return in, in.show("value", r.Value, p.value)
}

// show adds a field to what the program sees; null if the bytes are nil.
func (in input) show(field string, data []byte, format Format) error {
	if data == nil {
		in.object[field] = nil
		return nil
	}
	v, err := format.Read(data)
	switch _, plain := errors.AsType[*notJSON](err); {
	case plain:
		return fmt.Errorf("%s %w", field, err)
	case err != nil:
		return fmt.Errorf("%s: %w", field, err)
	}
	in.object[field] = v
	return nil
}

// set returns the bytes of a field of an output: as they came, where the program has not changed it, and nil for null.
func (in input) set(obj map[string]any, field string, was []byte, format Format) ([]byte, error) {
	v, ok := obj[field]
	if !ok || in.unchanged(field, v) {
		return was, nil
	}
	if v == nil {
		return nil, nil
	}
	data, err := format.Write(v, was)
	if err != nil {
		return nil, fmt.Errorf("the jq program's %s cannot be written: %w", field, err)
	}
	return data, nil
}

// stringOrNull keeps bytes that are not UTF-8: a Go string holds any bytes, and gojq passes them on.
func stringOrNull(b []byte) any {
	if b == nil {
		return nil
	}
	return string(b)
}

// parse reads JSON, its numbers as they are written.
func parse(value []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); errors.Is(err, io.EOF) {
		return nil, &notJSON{errors.New("it is empty (not a tombstone: it has a length of 0)")}
	} else if err != nil {
		return nil, &notJSON{fmt.Errorf("%w (byte %d of %d)", err, errorOffset(err, len(value)), len(value))}
	}
	end := int(d.InputOffset())
	if rest := bytes.TrimLeft(value[end:], " \t\r\n"); len(rest) > 0 {
		return nil, &notJSON{fmt.Errorf("more follows the first JSON text (byte %d of %d)", len(value)-len(rest)+1, len(value))}
	}
	return v, nil
}

// notJSON is why bytes are not JSON.
type notJSON struct{ err error }

func (e *notJSON) Error() string { return "is not JSON: " + e.err.Error() }

func (e *notJSON) Unwrap() error { return e.err }

func errorOffset(err error, length int) int64 {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return syntax.Offset
	}
	return int64(length)
}

// hint answers the mistake of giving the value where the record is meant.
const hint = "; did you mean '{value: …}' or '.value |= …'?"

// fields are those of a record, in the order a user thinks of them.
var fields = []string{"key", "value", "headers", "topic", "partition", "offset", "timestamp"}

// output makes a record of one output of the program.
func (in input) output(v any) (Record, error) {
	obj, ok := v.(map[string]any)
	if !ok {
		return Record{}, fmt.Errorf("the jq program's output is not a record but %s%s", kind(v), hint)
	}
	if err := checkFields(obj); err != nil {
		return Record{}, err
	}
	out := in.record
	out.To = ""
	if err := in.checkPlace(obj); err != nil {
		return Record{}, err
	}
	var err error
	if out.Value, err = in.set(obj, "value", in.record.Value, in.program.value); err != nil {
		return Record{}, err
	}
	if out.Key, err = in.set(obj, "key", in.record.Key, in.program.key); err != nil {
		return Record{}, err
	}
	if v, ok := obj["topic"]; ok {
		to, isString := v.(string)
		if !isString {
			return Record{}, fmt.Errorf("the jq program sets the topic to %s; a topic is a string", kind(v))
		}
		if to != in.record.Topic {
			out.To = to
		}
	}
	if v, ok := obj["headers"]; ok && !in.unchanged("headers", v) {
		headers, err := in.changedHeaders(v)
		if err != nil {
			return Record{}, err
		}
		out.Headers = headers
	}
	return out, nil
}

func checkFields(obj map[string]any) error {
	if len(obj) == 0 {
		return errors.New("the jq program's output is not a record but an empty object" + hint)
	}
	for _, name := range sortedKeys(obj) {
		if !slices.Contains(fields, name) {
			return fmt.Errorf("the jq program's output has an unknown field %q; a record has %s%s", name, strings.Join(fields, ", "), hint)
		}
	}
	return nil
}

// checkPlace refuses to move a record: its partition follows from its key, its offset from the log.
func (in input) checkPlace(obj map[string]any) error {
	for _, name := range []string{"partition", "offset", "timestamp"} {
		v, ok := obj[name]
		if ok && gojq.Compare(v, in.object[name]) != 0 {
			return fmt.Errorf("the jq program cannot set %s (from %v to %s); leave the field out or as it was", name, in.object[name], gojq.Preview(v))
		}
	}
	return nil
}

// unchanged reports whether v is what the program saw in that field. Where the program did not see the value, no v is.
func (in input) unchanged(field string, v any) bool {
	was, seen := in.object[field]
	return seen && same(was, v)
}

// changedHeaders merges what the program set into the headers as they were; Map documents the order.
func (in input) changedHeaders(v any) ([]Header, error) {
	obj, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the jq program sets the headers to %s; headers are an object of strings", kind(v))
	}
	values := make(map[string][]byte, len(obj))
	for _, name := range sortedKeys(obj) {
		switch v := obj[name].(type) {
		case nil:
			values[name] = nil
		case string:
			values[name] = []byte(v)
		default:
			return nil, fmt.Errorf("the jq program sets header %q to %s; a header is a string (tostring makes one)", name, kind(v))
		}
	}
	last := make(map[string]int, len(in.record.Headers))
	for i, h := range in.record.Headers {
		last[h.Key] = i
	}
	var out []Header
	for i, h := range in.record.Headers {
		v, kept := obj[h.Key]
		switch {
		case kept && same(in.headers[h.Key], v):
			out = append(out, h)
		case kept && last[h.Key] == i:
			out = append(out, Header{Key: h.Key, Value: values[h.Key]})
		default: // removed, or an earlier one of a changed name
		}
	}
	for _, name := range sortedKeys(obj) {
		if _, old := last[name]; !old {
			out = append(out, Header{Key: name, Value: values[name]})
		}
	}
	return out, nil
}

// same reports whether two JSON values are equal to the letter: 1.0 and 1.00 are not.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if w, ok := b[k]; !ok || !same(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	default:
		return a == b
	}
}

// kind names a JSON value as a user would: "a string", "null".
func kind(v any) string {
	switch name := gojq.TypeOf(v); name {
	case "null":
		return name
	case "array", "object":
		return "an " + name
	default:
		return "a " + name
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
