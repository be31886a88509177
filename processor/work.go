package processor

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor/internal/dry"
)

// work is what a lane does with the batches that it polls. The lane polls, commits and waits, and knows no types; the
// work knows nothing of sessions. Each lane has a work of its own, and only the lane's goroutine calls it.
//
// A partition is assigned before process sees a record of it. process is followed by committed or aborted if it
// returned no error, and by neither if it did: then it has left nothing behind. If the processor is aborted in between,
// neither follows, and the lane only revokes what it has. A partition that the lane may have lost in between is revoked
// and assigned again, even if no other member had it.
type work interface {
	// process returns what to produce for the records in, which belong to it from here on. Its errors are errNoRoom
	// (wrapped in a *noRoomError), one that is Transient, ctx's, and those that stop the lane. check reports why an
	// output can never be produced.
	process(ctx context.Context, in []*kgo.Record, check outputCheck) (*made, error)
	// committed is called after the batch of m was committed, together with its offsets.
	committed(m *made)
	// aborted is called after Commit returned err for the batch of m: it was aborted, or its outcome is unknown. nil
	// says that the batch may be polled again; another error stops the lane.
	aborted(m *made, err error) error
	// assigned is called when the group has assigned partitions to the lane.
	assigned(partitions []offsets.Partition)
	// revoked is called when the lane has lost partitions, or may have.
	revoked(partitions []offsets.Partition)
}

// outputCheck reports why no output can go to topic with that timestamp; nil if one can.
type outputCheck = func(topic string, timestamp time.Time) error

// made is what a work has made of a batch.
type made struct {
	records []*kgo.Record  // to produce, in the order of their inputs
	sources []place        // of each of records, the input it was made of
	skipped int            // input records that were left out
	letters int            // input records that became dead letters
	retries int            // handler calls that repeated an earlier one
	givenUp []*RecordError // one for each record that was left out or became a dead letter
	room    *room          // what the outputs take
}

func newMade(n int) made {
	return made{records: make([]*kgo.Record, 0, n), sources: make([]place, 0, n)}
}

// merge appends what was made of later records.
func (m *made) merge(later made) {
	m.records = append(m.records, later.records...)
	m.sources = append(m.sources, later.sources...)
	m.givenUp = append(m.givenUp, later.givenUp...)
	m.skipped += later.skipped
	m.letters += later.letters
	m.retries += later.retries
}

// blame returns the input record that the output r was made of.
func (m *made) blame(r *kgo.Record) (at place, deadLetter, ok bool) {
	for i, out := range m.records {
		if out == r {
			return m.sources[i], m.isGivenUp(m.sources[i]), true
		}
	}
	return place{}, false, false
}

func (m *made) isGivenUp(at place) bool {
	for _, g := range m.givenUp {
		if (place{g.Partition, g.Offset}) == at {
			return true
		}
	}
	return false
}

func init() {
	dry.Run = func(ctx context.Context, processor any, in []*kgo.Record) (dry.Batch, error) {
		m, err := processor.(*Processor).newWork().process(ctx, in, eos.CheckOutput)
		if err != nil {
			return dry.Batch{}, err
		}
		b := dry.Batch{Records: m.records, Skipped: m.skipped, Retries: m.retries}
		for _, g := range m.givenUp {
			b.GivenUp = append(b.GivenUp, g)
		}
		return b, nil
	}
}
