package processor_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/eos-pipe/eos-pipe/processor"
)

// Each makes a Handler of a bare function, here one that chooses the topic of each record.
func ExampleEach() {
	show(processor.Pipe[string, string]{
		Source: processor.From(processor.String(), "in"),
		Handle: processor.Each(func(_ context.Context, in processor.Record[string]) ([]processor.Record[string], error) {
			out := processor.With(in, in.Value)
			if strings.HasSuffix(in.Value, "!") {
				out.To = "loud"
			}
			return []processor.Record[string]{out}, nil
		}),
		Sink: processor.To(processor.String(), "out"),
	}, processor.Config{}, "hello", "hello!")
	// Output:
	// out: hello
	// loud: hello!
}

// Batches makes a BatchHandler of a bare function, here one that reverses what it gets.
func ExampleBatches() {
	show(processor.Pipe[string, string]{
		Source: processor.From(processor.String(), "in"),
		Handle: processor.Batches(func(_ context.Context, in []processor.Record[string]) (outs []processor.Record[string], err error) {
			for _, r := range slices.Backward(in) {
				outs = append(outs, processor.With(r, r.Value))
			}
			return outs, nil
		}),
		Sink: processor.To(processor.String(), "out"),
	}, processor.Config{}, "a", "b", "c")
	// Output:
	// out: c
	// out: b
	// out: a
}

// Text becomes numbers. A value that is no number stops the processor.
func ExampleMap() {
	show(processor.Pipe[string, int]{
		Source: processor.From(processor.String(), "in"),
		Handle: processor.Map(strconv.Atoi),
		Sink:   processor.To(processor.JSON[int](), "out"),
	}, processor.Config{}, "007")
	// Output:
	// out: 7
}

// The output says where its input was.
func ExampleMapRecord() {
	show(processor.Pipe[string, string]{
		Source: processor.From(processor.String(), "in"),
		Handle: processor.MapRecord(func(_ context.Context, in processor.Record[string]) (string, error) {
			return fmt.Sprintf("%s (%s-%d@%d)", in.Value, in.Topic, in.Partition, in.Offset), nil
		}),
		Sink: processor.To(processor.String(), "out"),
	}, processor.Config{}, "a", "b")
	// Output:
	// out: a (in-0@0)
	// out: b (in-0@1)
}

// Orders get their customer as key, so that all orders of a customer go to one partition.
func ExampleMapKey() {
	byCustomer := processor.MapKey(func(o Order) ([]byte, error) { return []byte(o.Customer), nil })
	outs, err := byCustomer(context.Background(), processor.Record[Order]{Value: Order{ID: "7", Customer: "Ada"}})
	fmt.Printf("%s: order %s %v\n", outs[0].Key, outs[0].Value.ID, err)
	// Output:
	// Ada: order 7 <nil>
}

// Empty lines have no output.
func ExampleFilter() {
	show(processor.Pipe[string, string]{
		Source: processor.From(processor.String(), "in"),
		Handle: processor.Filter(func(s string) (bool, error) { return s != "", nil }),
		Sink:   processor.To(processor.String(), "out"),
	}, processor.Config{}, "a", "", "b")
	// Output:
	// out: a
	// out: b
}

// Each word of a line is a record.
func ExampleFlatMap() {
	show(processor.Pipe[string, string]{
		Source: processor.From(processor.String(), "lines"),
		Handle: processor.FlatMap(func(line string) ([]string, error) { return strings.Fields(line), nil }),
		Sink:   processor.To(processor.String(), "words"),
	}, processor.Config{}, "to be", "or not")
	// Output:
	// words: to
	// words: be
	// words: or
	// words: not
}

// Handlers in a row: words, without the short ones, in capitals.
func ExampleThen() {
	words := processor.FlatMap(func(line string) ([]string, error) { return strings.Fields(line), nil })
	long := processor.Filter(func(word string) (bool, error) { return len(word) > 2, nil })
	upper := processor.Map(func(word string) (string, error) { return strings.ToUpper(word), nil })
	show(processor.Pipe[string, string]{
		Source: processor.From(processor.String(), "lines"),
		Handle: processor.Then(words, processor.Then(long, upper)),
		Sink:   processor.To(processor.String(), "words"),
	}, processor.Config{}, "to be or not to be")
	// Output:
	// words: NOT
}

// What can be a Pipe's Handle, in the order in which they are met: nothing, a Handler, a function, a function of many
// records, a variable of a named type. The types are inferred each time.
var _ = []processor.Pipe[string, string]{
	{},
	{Handle: nil},
	{Handle: processor.Map(func(s string) (string, error) { return s, nil })},
	{Handle: processor.Each(fanOut)},
	{Handle: processor.Each(namedHandler)},
	{Handle: processor.Batches(func(context.Context, []processor.Record[string]) ([]processor.Record[string], error) { return nil, nil })},
	{Handle: namedHandler},
	{Handle: processor.Handler[string, string](fanOut)},
	{Handle: namedStep},
	{Handle: processor.Wrap(fanOut)},
}

var (
	namedHandler processor.Handler[string, string] = fanOut
	namedStep    processor.Step[string, string]    = namedHandler
)
