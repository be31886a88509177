package processor

import "github.com/twmb/franz-go/pkg/kgo"

// decode is the first stage: what was fetched becomes a typed record. A panic of the codec is an error of the record.
func (p Pipe[In, Out]) decode(r *kgo.Record) (in Record[In], err error) {
	defer recovered(&err)
	in = Record[In]{
		Key: r.Key, Headers: r.Headers, Timestamp: r.Timestamp,
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, raw: r,
	}
	in.Value, err = p.Source.Value.Decode(r.Value)
	return in, err
}
