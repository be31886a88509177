package sim

import (
	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// reader reads the output topic while everything goes on, each record once, as a consumer does that never looks back: what it was
// given once, it cannot give back.
type reader struct {
	*client
	isCommitted bool
	positions   [outputPartitions]int64
	got         [outputPartitions][]model.LogBatch
	waiting     int
}

func newReader(r *run, number int) *reader {
	d := &reader{isCommitted: number == 0}
	d.client = r.newClient(readerActor+ActorID(number), d)
	d.wakeAfter(idleUs, 0)
	return d
}

// woken implements owner.
func (d *reader) woken(uint64) {
	for i := range outputPartitions {
		d.waiting++
		d.send(request{api: apiFetch, partition: int8(inputPartitions + i), offset: d.positions[i], isRead: d.isCommitted, max: 32})
	}
}

// answered implements owner.
func (d *reader) answered(q *request, m *reply) {
	if m.code == trace.None {
		i := int(q.partition) - inputPartitions
		d.positions[i] = m.next
		d.got[i] = append(d.got[i], m.batches...)
	}
	if d.waiting--; d.waiting == 0 {
		d.wakeAfter(idleUs, 0)
	}
}

func (d *reader) hasRead(partition int, end int64) bool {
	return d.positions[partition-inputPartitions] >= end
}

// holds implements owner.
func (d *reader) holds() bool { return false }

// sent implements owner.
func (d *reader) sent(uint32) {}
