package processor

import (
	"cmp"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/millis"
)

// encode is the third stage: it appends the typed outputs of one input record to made, as records to produce. The
// fetched record itself is used again for the first output made of it, which saves the client much work. If one output
// cannot be encoded or produced, or there is no room for all, encode appends none and leaves the fetched record as it
// was. All outputs get the context that a hook of the client has put into the fetched record, with a trace.
func (w *passage[In, Out]) encode(source *kgo.Record, outs []Record[Out], made []*kgo.Record) ([]*kgo.Record, error) {
	var few [4][]byte
	values, size := few[:0], int64(0)
	for i, out := range outs {
		v, err := w.encodeValue(out.Value)
		if err != nil {
			return made, err
		}
		if err := w.refusal(out, v); err != nil {
			return made, err
		}
		if size += w.room.sizeOf(i, v, out.Headers, source.Headers); !w.room.fits(size) {
			return made, &OutputsTooLargeError{w.room.max}
		}
		values = append(values, v)
	}
	w.room.take(1, size)
	free := true // the fetched record is not used for an output yet
	for i, out := range outs {
		r := source
		if reuse := free && out.raw == source; !reuse {
			r = &kgo.Record{Partition: source.Partition, Context: source.Context}
		}
		free = free && r != source
		w.fill(r, out, values[i])
		made = append(made, r)
	}
	return made, nil
}

// fill makes r the record to produce for out. r has its input's partition; a record without a key goes to the partition
// that out names, if it names one.
func (p Pipe[In, Out]) fill(r *kgo.Record, out Record[Out], value []byte) {
	r.Key, r.Value, r.Headers, r.Timestamp = out.Key, value, out.Headers, out.Timestamp
	if out.Topic != "" {
		r.Partition = out.Partition
	}
	r.Topic = cmp.Or(out.To, p.Sink.Topic)
}

// refusal returns why out can never be produced, as far as that is known before; nil if nothing is known against it.
func (w *passage[In, Out]) refusal(out Record[Out], value []byte) error {
	if out.To == "" && millis.CanWrite(out.Timestamp) {
		return nil // the sink's topic was checked before
	}
	topic := cmp.Or(out.To, w.Sink.Topic)
	err := w.refused.topics[topic]
	if err == nil {
		err = w.check(topic, out.Timestamp)
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

// addProvenance adds the provenance header, and removes one that an earlier pipe has left.
func addProvenance(r *kgo.Record, from Provenance) {
	headers := slices.DeleteFunc(slices.Clone(r.Headers), func(h Header) bool { return h.Key == ProvenanceHeader })
	r.Headers = append(headers, Header{Key: ProvenanceHeader, Value: from.append(nil)})
}
