package processor

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// WorkCall is one call of a lane's work.
type WorkCall struct {
	Name       string              // process, committed, aborted, assigned or revoked
	Partitions []offsets.Partition // of the records, or those assigned or revoked
}

// WatchWork makes note hear every call of the lanes' works. Each lane calls it on its own goroutine.
func WatchWork(p *Processor, note func(WorkCall)) {
	newWork := p.newWork
	p.newWork = func() work { return watched{newWork(), note} }
}

type watched struct {
	work
	note func(WorkCall)
}

func (w watched) process(ctx context.Context, in []*kgo.Record, check outputCheck) (*made, error) {
	call := WorkCall{Name: "process"}
	for _, r := range in {
		call.Partitions = append(call.Partitions, placeOf(r).partition)
	}
	w.note(call)
	return w.work.process(ctx, in, check)
}

func (w watched) committed(m *made) {
	w.note(WorkCall{Name: "committed"})
	w.work.committed(m)
}

func (w watched) aborted(m *made, err error) error {
	w.note(WorkCall{Name: "aborted"})
	return w.work.aborted(m, err)
}

func (w watched) assigned(partitions []offsets.Partition) {
	w.note(WorkCall{"assigned", partitions})
}

func (w watched) revoked(partitions []offsets.Partition) {
	w.note(WorkCall{"revoked", partitions})
}
