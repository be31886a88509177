package processor

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// encode is the third stage: a typed record becomes one to produce. The fetched record itself is used for the first
// output made of it, which saves the client much work; reuse says that it is still free. The context that a hook of the client has
// put into the fetched record, with a trace, goes on to all outputs.
func (p Pipe[In, Out]) encode(source *kgo.Record, out Record[Out], reuse bool) (*kgo.Record, error) {
	value, err := p.Sink.Value.Encode(out.Value)
	if err != nil {
		return nil, err
	}
	r := source
	if !reuse {
		r = &kgo.Record{Partition: source.Partition, Context: source.Context}
	}
	r.Key, r.Value, r.Headers, r.Timestamp = out.Key, value, out.Headers, out.Timestamp
	r.Topic = p.Sink.Topic
	if out.To != "" {
		r.Topic = out.To
	}
	return r, nil
}

// mark adds the provenance header, in place of one that an earlier pipe has left.
func mark(r *kgo.Record, from Provenance) {
	headers := slices.DeleteFunc(slices.Clone(r.Headers), func(h Header) bool { return h.Key == ProvenanceHeader })
	r.Headers = append(headers, Header{Key: ProvenanceHeader, Value: from.append(nil)})
}
