// Package jq runs jq programs over Kafka records.
//
// A program sees a record as the object
//
//	{key, value, headers, topic, partition, offset, timestamp}
//
// with
//
//	value      the parsed JSON, or what another Format makes of it; null for a tombstone (a record without a value)
//	key        a string, or what another Format makes of it; null for a record without a key
//	headers    an object: header name → string (null for a header without a value);
//	           of headers with the same name the last one is shown
//	timestamp  Kafka's: milliseconds since 1970; -1 if the record has none
//
// # What is kept byte for byte
//
// A field the program leaves as it is keeps its bytes: a value its whitespace, the order of its members and its
// number literals; a key or a header its bytes that are not UTF-8; headers their order and repetitions.
//
// A value the program changes is written anew, compact, with the members of objects in alphabetical order. In it
// a number no arithmetic has touched is written as it was read, digit for digit: 12345678901234567890 and 1.10
// stay what they are. Arithmetic (+ - * %, and / where nothing is left over) is exact on integers of any size and a
// float64's on everything else, also where an integer meets a number that is none; floor, ceil, round, trunc, rint, nearbyint, fabs,
// abs, modf, fmin and fmax give integers as they are. The other functions of C's mathematics (sqrt, pow, fmod, ldexp, …) are a
// float64's throughout. NaN is written as null and an infinity as the largest float64, as jq does. Bytes that are not UTF-8 inside a JSON
// string become U+FFFD, and of members with the same name the last one counts.
//
// # Values that are not JSON
//
// [Program.WithFormats] takes values and keys for text, for base64, or for what a schema registry describes; what a program sets is
// written in the same form.
//
// A program that reads only the other fields, as in `.headers.type == "order"` or `{topic: .headers.route}`,
// runs over any value and does not look at it. Every other program fails on a value that is not JSON. A program
// that passes the whole record on, as `.` and `select(…)` and `.key = "x"` do, counts as reading the value.
//
// # What a program cannot do
//
// It reads nothing but its record (no environment, files, modules or further inputs), and it ends: with its
// context, or after 10 seconds on one record. The context is looked at between some steps of the program; a single
// step, say the product of two enormous integers, runs to its end. A program is expected to come from the
// operator of the pipe, not from an adversary: it can use up memory within those bounds.
package jq

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/itchyny/gojq"
)

// maxOutputs bounds the records one input record may become: above it, a program is taken to be running away.
const maxOutputs = 100_000

// maxRun bounds how long a program may run on one record. A program takes microseconds; the bound is there so that one
// that loops stops the pipe with an error instead of holding its partitions in silence.
const maxRun = 10 * time.Second

// Program is a compiled jq program. It holds no state between two records, and any number of goroutines may use it at
// once. Compile makes it; the zero value is not usable.
type Program struct {
	source     string
	code       *gojq.Code
	readsValue bool // false only if no run of the program can read the record's value
	maxRun     time.Duration
	maxOutputs int
	value, key Format
	maxBytes   int // of the values of one record's outputs; 0: no bound
}

// WithMaxBytes returns the program with a bound to the bytes of the values that it may make of one record; above it, Map fails.
func (p *Program) WithMaxBytes(n int) *Program {
	bounded := *p
	bounded.maxBytes = n
	return &bounded
}

// String returns the program as it was written.
func (p *Program) String() string { return p.source }

// Filter reports whether the program keeps the record: whether its first output is neither null nor false. A program
// without an output does not keep it. On an error the answer is not known, and the record must not be passed over.
func (p *Program) Filter(ctx context.Context, r Record) (bool, error) {
	in, err := p.newInput(r)
	if err != nil {
		return false, err
	}
	for v, err := range p.outputs(ctx, in) {
		return v != nil && v != false, err
	}
	return false, nil
}

// ID returns the program's first output as text: a string as it is, other JSON compact. No output, or null, is an
// error: a record without an identity cannot be compared with another.
func (p *Program) ID(ctx context.Context, r Record) (string, error) {
	in, err := p.newInput(r)
	if err != nil {
		return "", err
	}
	for v, err := range p.outputs(ctx, in) {
		switch {
		case err != nil:
			return "", err
		case v == nil:
			return "", errors.New("the jq program gives null as the record's id; an id is a string, a number or other JSON")
		default:
			return text(v), nil
		}
	}
	return "", errors.New("the jq program gives no id for the record; an id is a string, a number or other JSON")
}

// Map returns the records that the program makes of r, in the program's order; none for a program without outputs.
//
// Every output must be an object and is one record. Its fields:
//
//	value      the JSON to write; null for a tombstone
//	key        a string; null for no key; other JSON is written compact (both as their Format has it)
//	headers    an object of strings and nulls; see below
//	topic      the topic to write to; "" or the input's own topic stand for the default output (Record.To is "")
//	partition, offset, timestamp   as they were: they say where the record came from and cannot be set
//
// A missing field keeps what the input has, and any other field is an error. If the headers changed, those whose value
// is as it was stay, repetitions included, in their places; a changed one takes the place of the last of its name and
// the others of that name go; new ones follow in alphabetical order.
//
// The returned records share the bytes of r. On an error no record is returned.
func (p *Program) Map(ctx context.Context, r Record) ([]Record, error) {
	in, err := p.newInput(r)
	if err != nil {
		return nil, err
	}
	var out []Record
	size := 0
	for v, err := range p.outputs(ctx, in) {
		if err != nil {
			return nil, err
		}
		if len(out) == p.maxOutputs {
			return nil, fmt.Errorf("the jq program makes more than %d records of one", p.maxOutputs)
		}
		rec, err := in.output(v)
		if err != nil {
			return nil, err
		}
		if size += len(rec.Value); p.maxBytes > 0 && size > p.maxBytes {
			return nil, fmt.Errorf("the jq program makes more than %d bytes of one record; --buffer-memory bounds it", p.maxBytes)
		}
		out = append(out, rec)
	}
	return out, nil
}

// outputs runs the program over one record. An error is the last pair.
func (p *Program) outputs(ctx context.Context, in input) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		bounded := &bound{Context: ctx, until: time.Now().Add(p.maxRun)}
		run := p.code.RunWithContext(bounded, in.object)
		for {
			v, ok := run.Next()
			if !ok {
				return
			}
			if err, isErr := v.(error); isErr {
				yield(nil, p.runError(ctx, bounded, err))
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

// runError says what a failed run means. The caller's own cancellation is passed on so that errors.Is finds it.
func (p *Program) runError(ctx context.Context, bounded *bound, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("the jq program was interrupted: %w", context.Cause(ctx))
	case bounded.Err() != nil:
		return fmt.Errorf("the jq program ran longer than %v on one record; does it loop?", p.maxRun)
	default:
		return errors.New("the jq program failed: " + oneLine(err.Error()))
	}
}

// text is v as a record's key or id: a string as it is, other JSON compact.
func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return string(marshal(v))
}

// marshal is v as compact JSON. gojq's Marshal has an error in its signature but none to give.
func marshal(v any) []byte {
	b, err := gojq.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("jq: cannot write %T as JSON: %v", v, err))
	}
	return b
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
