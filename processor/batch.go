package processor

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// unit is a record of a batch that a batch handler is called with.
type unit[In any] struct {
	raw *kgo.Record
	at  place
	in  Record[In]
}

// batch takes records through the stages with the batch handler. Records that cannot be decoded are given up before it is called.
func (w way[In, Out]) batch(ctx context.Context, in []*kgo.Record) (Result, error) {
	res := newResult(len(in))
	units := make([]unit[In], 0, len(in))
	for _, r := range in {
		at := placeOf(r)
		typed, failed := w.enter(r, at)
		if failed != nil {
			if err := w.giveUp(ctx, r, failed, &res); err != nil {
				return Result{}, err
			}
			continue
		}
		units = append(units, unit[In]{r, at, typed})
	}
	if len(units) > 0 {
		if err := w.bisect(ctx, units, true, &res); err != nil {
			return Result{}, err
		}
	}
	return res, nil
}

// bisect has the units handled together, or if that fails each half, down to the single records that fail. The whole batch and single
// records are tried again as Errors says; what lies between only looks for these.
func (w way[In, Out]) bisect(ctx context.Context, units []unit[In], whole bool, res *Result) error {
	errors := w.opts.Errors
	if !whole && len(units) > 1 {
		errors.Retries = 0
	}
	var made Result
	var stage string
	calls, err := errors.attempts(ctx, func(ctx context.Context) (err error) {
		made, stage, err = w.together(ctx, units)
		return err
	})
	switch {
	case err == nil:
		res.Retries += calls - 1
		res.merge(made)
		return nil
	case isTooLarge(err) && !w.alone:
		return errNoRoom
	case len(units) == 1 || ctx.Err() != nil || isTransient(err):
		failed := units[0].at.fail(stage, err)
		failed.Attempts = calls
		return w.giveUp(ctx, units[0].raw, failed, res)
	}
	res.Retries += calls - 1
	half := len(units) / 2
	if err := w.bisect(ctx, units[:half], false, res); err != nil {
		return err
	}
	return w.bisect(ctx, units[half:], false, res)
}

// together is one call of the batch handler, with what it returns encoded. stage is where it failed.
func (w way[In, Out]) together(ctx context.Context, units []unit[In]) (made Result, stage string, err error) {
	in := make([]Record[In], len(units))
	for i, u := range units {
		in[i] = u.in
	}
	outs, err := w.callBatch(ctx, in)
	if err != nil {
		return Result{}, "handle", err
	}
	sources, count := attribute(units, outs)
	made = newResult(len(outs))
	index := make([]int, len(units)) // of the next output of each unit
	var size int64
	for i, out := range outs {
		value, err := w.encodeValue(out.Value)
		if err != nil {
			return Result{}, "encode", err
		}
		if err := w.refusal(out, value, w.opts); err != nil {
			return Result{}, "produce", err
		}
		from := sources[i]
		u := units[from]
		if size += w.opts.room.sizeOf(1, value, out.Headers, u.raw.Headers); !w.opts.room.fits(size) {
			return Result{}, "encode", &OutputsTooLargeError{w.opts.room.max}
		}
		r := &kgo.Record{Partition: u.raw.Partition, Context: u.raw.Context}
		w.fill(r, out, value)
		if w.opts.Provenance {
			mark(r, Provenance{Partition: u.at.partition, Offset: u.at.offset, Index: index[from], Count: count[from]})
		}
		index[from]++
		made.Records = append(made.Records, r)
		made.sources = append(made.sources, u.at)
	}
	w.opts.room.take(len(units), size)
	return made, "", nil
}

// attribute says of which unit each output was made, and how many were made of each unit.
func attribute[In, Out any](units []unit[In], outs []Record[Out]) (sources, count []int) {
	known := make(map[place]int, len(units))
	for i, u := range units {
		known[u.at] = i
	}
	sources, count = make([]int, len(outs)), make([]int, len(units))
	for i, out := range outs {
		from, ok := known[place{offsets.Partition{Topic: out.Topic, Number: out.Partition}, out.Offset}]
		if !ok {
			from = len(units) - 1
		}
		sources[i] = from
		count[from]++
	}
	return sources, count
}
