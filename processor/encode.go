package processor

import (
	"cmp"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/millis"
)

// encode is the third stage: the typed outputs of one input record are appended to made as records to produce. The fetched record itself
// is used for the first output made of it, which saves the client much work. If one output cannot be encoded or produced, or there is no room for all, there is none at
// all, and the fetched record is as it was. The context that a hook of the client has put into the fetched record, with a trace, goes on to all outputs.
func (p Pipe[In, Out]) encode(source *kgo.Record, outs []Record[Out], made []*kgo.Record, opts Options) ([]*kgo.Record, error) {
	var few [4][]byte
	values, size := few[:0], int64(0)
	for i, out := range outs {
		v, err := p.encodeValue(out.Value)
		if err != nil {
			return made, err
		}
		if err := p.refusal(out, v, opts); err != nil {
			return made, err
		}
		if size += opts.room.sizeOf(i, v, out.Headers, source.Headers); !opts.room.fits(size) {
			return made, &OutputsTooLargeError{opts.room.max}
		}
		values = append(values, v)
	}
	opts.room.take(1, size)
	free := true // the fetched record is not used for an output yet
	for i, out := range outs {
		r := source
		if reuse := free && out.raw == source; !reuse {
			r = &kgo.Record{Partition: source.Partition, Context: source.Context}
		}
		free = free && r != source
		p.fill(r, out, values[i])
		made = append(made, r)
	}
	return made, nil
}

// fill makes r the record to produce for out. r has its input's partition; where it has no key, it goes to the one that out names, if any.
func (p Pipe[In, Out]) fill(r *kgo.Record, out Record[Out], value []byte) {
	r.Key, r.Value, r.Headers, r.Timestamp = out.Key, value, out.Headers, out.Timestamp
	if out.Topic != "" {
		r.Partition = out.Partition
	}
	r.Topic = cmp.Or(out.To, p.Sink.Topic)
}

// refusal returns why out can never be produced, as far as it is known before; nil if it may be.
func (p Pipe[In, Out]) refusal(out Record[Out], value []byte, opts Options) error {
	if out.To == "" && millis.CanWrite(out.Timestamp) {
		return nil // the sink's topic was checked before
	}
	topic := cmp.Or(out.To, p.Sink.Topic)
	err := opts.refused.topics[topic]
	if err == nil {
		err = opts.check(topic, out.Timestamp)
	}
	if err == nil {
		return nil
	}
	return &eos.RejectedError{Record: &kgo.Record{Topic: topic, Key: out.Key, Value: value}, Err: err}
}

func isRejected(err error) bool {
	_, ok := errors.AsType[*eos.RejectedError](err)
	return ok
}

func (p Pipe[In, Out]) encodeValue(v Out) (data []byte, err error) {
	defer recovered(&err)
	return p.Sink.Value.Encode(v)
}

// mark adds the provenance header, in place of one that an earlier pipe has left.
func mark(r *kgo.Record, from Provenance) {
	headers := slices.DeleteFunc(slices.Clone(r.Headers), func(h Header) bool { return h.Key == ProvenanceHeader })
	r.Headers = append(headers, Header{Key: ProvenanceHeader, Value: from.append(nil)})
}
