package jq

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/processor"
)

// Transform is what a pipe does with a record: Filter keeps it or leaves it out, and Map makes output records of what
// is kept. Without a Filter every record is kept; without a Map it is written as it is. Any number of goroutines may
// use a Transform at once.
type Transform struct{ Filter, Map *Program }

// Apply returns the records that come of r: none if the filter leaves it out. An error begins with --filter or --map,
// the flags by which users give the programs.
func (t Transform) Apply(ctx context.Context, r Record) ([]Record, error) {
	if t.Filter != nil {
		keep, err := t.Filter.Filter(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("--filter: %w", err)
		}
		if !keep {
			return nil, nil
		}
	}
	if t.Map == nil {
		return []Record{r}, nil
	}
	outs, err := t.Map.Map(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("--map: %w", err)
	}
	return outs, nil
}

// Handle is Apply as the handler of a pipe. An output has the timestamp of its input. Outputs may share the headers'
// slice with the input, so that nobody may write to its elements.
func (t Transform) Handle(ctx context.Context, in processor.Record[[]byte]) ([]processor.Record[[]byte], error) {
	made, err := t.Apply(ctx, fromInput(in))
	if err != nil {
		return nil, err
	}
	outs := make([]processor.Record[[]byte], 0, len(made))
	for _, m := range made {
		out := processor.With(in, m.Value)
		out.Key, out.Headers, out.To = m.Key, m.Headers, m.To
		outs = append(outs, out)
	}
	return outs, nil
}

// FromKafka returns r as programs see it. The bytes and headers are shared with r.
func FromKafka(r *kgo.Record) Record {
	return Record{
		Key: r.Key, Value: r.Value, Headers: r.Headers,
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp,
	}
}

func fromInput(in processor.Record[[]byte]) Record {
	return Record{
		Key: in.Key, Value: in.Value, Headers: in.Headers,
		Topic: in.Topic, Partition: in.Partition, Offset: in.Offset, Timestamp: in.Timestamp,
	}
}
