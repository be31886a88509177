package processor

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// unit is one of the records that a batch handler is called with.
type unit[In any] struct {
	raw *kgo.Record
	at  place
	in  Record[In]
}

// batch takes records through the stages with the batch handler. Records that cannot be decoded are given up before it
// is called.
func (w *passage[In, Out]) batch(ctx context.Context, in []*kgo.Record) (made, error) {
	m := newMade(len(in))
	units := make([]unit[In], 0, len(in))
	for _, r := range in {
		at := placeOf(r)
		typed, failed := w.enter(r, at)
		if failed != nil {
			if err := w.giveUp(ctx, r, failed, &m); err != nil {
				return made{}, err
			}
			continue
		}
		units = append(units, unit[In]{r, at, typed})
	}
	if len(units) > 0 {
		if err := w.bisect(ctx, units, true, &m); err != nil {
			return made{}, err
		}
	}
	return m, nil
}

// bisect calls the handler with all units, or if that fails with each half, down to the single records that fail. The
// whole batch and single records are retried as Config.Errors says; the calls in between only search for these records.
func (w *passage[In, Out]) bisect(ctx context.Context, units []unit[In], whole bool, m *made) error {
	errors := w.cfg.Errors
	if !whole && len(units) > 1 {
		errors.Retries = 0
	}
	var together made
	var stage string
	calls, err := errors.attempts(ctx, func(ctx context.Context) (err error) {
		together, stage, err = w.together(ctx, units)
		return err
	})
	switch {
	case err == nil:
		m.retries += calls - 1
		m.merge(together)
		return nil
	case isTooLarge(err) && !w.alone:
		return errNoRoom
	case len(units) == 1 || ctx.Err() != nil || isTransient(err):
		failed := units[0].at.fail(stage, err)
		failed.Attempts = calls
		return w.giveUp(ctx, units[0].raw, failed, m)
	}
	m.retries += calls - 1
	half := len(units) / 2
	if err := w.bisect(ctx, units[:half], false, m); err != nil {
		return err
	}
	return w.bisect(ctx, units[half:], false, m)
}

// together is one call of the batch handler, and encodes what it returns. stage names the stage that failed.
func (w *passage[In, Out]) together(ctx context.Context, units []unit[In]) (m made, stage string, err error) {
	in := make([]Record[In], len(units))
	for i, u := range units {
		in[i] = u.in
	}
	outs, err := w.callBatch(ctx, in)
	if err != nil {
		return made{}, "handle", err
	}
	sources, count := attribute(units, outs)
	m = newMade(len(outs))
	index := make([]int, len(units)) // of the next output of each unit
	var size int64
	for i, out := range outs {
		value, err := w.encodeValue(out.Value)
		if err != nil {
			return made{}, "encode", err
		}
		if err := w.refusal(out, value); err != nil {
			return made{}, "produce", err
		}
		from := sources[i]
		u := units[from]
		if size += w.room.sizeOf(1, value, out.Headers, u.raw.Headers); !w.room.fits(size) {
			return made{}, "encode", &OutputsTooLargeError{w.room.max}
		}
		r := &kgo.Record{Partition: u.raw.Partition, Context: u.raw.Context}
		w.fill(r, out, value)
		if w.cfg.Provenance {
			addProvenance(r, Provenance{Partition: u.at.partition, Offset: u.at.offset, Index: index[from], Count: count[from]})
		}
		index[from]++
		m.records = append(m.records, r)
		m.sources = append(m.sources, u.at)
	}
	w.room.take(len(units), size)
	return m, "", nil
}

// attribute returns the unit that each output was made of, and how many outputs each unit has.
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
