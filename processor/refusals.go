package processor

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/eos-pipe/eos-pipe/eos"
)

// refusals are the outputs that the broker rejected in a batch that is polled again, so that they are not produced a
// second time. The lane's goroutine owns them; while a batch is processed nothing changes them.
type refusals struct {
	records map[place]error  // input records whose output was rejected
	topics  map[string]error // topics that take no record
	untimed map[place]bool   // input records whose dead letter was rejected for its timestamp, and is made without one
}

// add decides on an output of m that the broker rejected. With a policy for such records it returns nil: the batch is
// polled again, and the output's input is given up then, with all others for a topic that takes no record. With
// StopOnError, or if the output is a dead letter, the error names the input. A dead letter that is rejected for its
// timestamp, which it has from its record, is made again without one.
func (f *refusals) add(m *made, r *eos.RejectedError, policy Policy) error {
	at, deadLetter, ok := m.blame(r.Record)
	switch {
	case !ok:
		return r
	case deadLetter && errors.Is(r, kerr.InvalidTimestamp) && !f.untimed[at]:
		for _, g := range m.givenUp {
			set(&f.untimed, place{g.Partition, g.Offset}, true)
		}
		return nil
	case deadLetter:
		return at.fail("produce", &DeadLetterError{r})
	case policy == StopOnError:
		return at.fail("produce", r)
	}
	if d, ok := errors.AsType[*eos.DestinationError](r); ok && d.Partition < 0 {
		set(&f.topics, d.Topic, error(d))
		return nil
	}
	set(&f.records, at, error(r))
	return nil
}

// forget drops what the committed batch m has settled. The next batch asks for topics again: one may have been created.
func (f *refusals) forget(m *made) {
	clear(f.topics)
	for _, g := range m.givenUp {
		at := place{g.Partition, g.Offset}
		delete(f.records, at)
		delete(f.untimed, at)
	}
}

func set[K comparable, V any](m *map[K]V, key K, value V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[key] = value
}
