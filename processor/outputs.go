package processor

import (
	"fmt"
	"slices"
)

// Output is the output of a handler that writes to several sinks: a value for one of them. Put makes the records, Many
// the sink.
//
//	invoices := processor.To(processor.JSON[Invoice](), "invoices")
//	audit := processor.To(processor.String(), "audit")
//	processor.Pipe[Order, processor.Output]{
//		Source: processor.From(processor.JSON[Order](), "orders"),
//		Handle: processor.Each(func(_ context.Context, in processor.Record[Order]) ([]processor.Record[processor.Output], error) {
//			return []processor.Record[processor.Output]{processor.Put(invoices, in, bill(in.Value)), processor.Put(audit, in, "billed")}, nil
//		}),
//		Sink: processor.Many(invoices, audit),
//	}
type Output struct {
	topic  string
	data   []byte
	encode func() ([]byte, error)
}

// Topic returns the topic of the sink that o is for.
func (o Output) Topic() string { return o.topic }

// Put returns an output of the input in, with value v for sink and with the input's key, headers and timestamp. v is
// encoded later, with the other outputs of the batch. If that fails, it is an error of the input record.
func Put[T, In any](sink Sink[T], in Record[In], v T) Record[Output] {
	out := With(in, Output{topic: sink.Topic, encode: func() ([]byte, error) { return sink.Value.Encode(v) }})
	out.To = sink.Topic
	return out
}

// Destination is a sink of any type.
type Destination interface{ destination() string }

func (s Sink[Out]) destination() string { return s.Topic }

// Many returns the sink of a pipe that writes to several. Each record goes to the sink that Put was called with.
func Many(sinks ...Destination) Sink[Output] {
	var topics []string
	for _, s := range sinks {
		topics = append(topics, s.destination())
	}
	sink := Sink[Output]{Value: outputCodec{topics}, more: topics}
	if len(topics) > 0 {
		sink.Topic, sink.more = topics[0], topics[1:]
	}
	return sink
}

// outputCodec encodes outputs by the codec of the sink that each is for.
type outputCodec struct{ topics []string }

// Decode implements Codec, for what reads the outputs of a pipe: the bytes stay as they are.
func (outputCodec) Decode(data []byte) (Output, error) { return Output{data: slices.Clone(data)}, nil }

// Encode implements Codec.
func (c outputCodec) Encode(o Output) ([]byte, error) {
	switch {
	case o.encode == nil:
		return o.data, nil
	case !slices.Contains(c.topics, o.topic):
		return nil, fmt.Errorf("the sink of topic %s is not one of the pipe's: name it in Many", o.topic)
	}
	return o.encode()
}
