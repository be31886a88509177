package sim

import "github.com/eos-pipe/eos-pipe/internal/broker/model"

// pipe is the sending side of a producer: batches wait in a lane for each partition, and at most five of a lane are under way,
// as many as brokers remember (max.in.flight.requests.per.connection).
type pipe struct {
	lanes [partitions]lane
	left  int // batches that are not acknowledged
}

type lane struct {
	batches  []model.Batch
	isAcked  []bool
	first    int // all before it are acknowledged
	sent     int
	sequence int32 // of the next batch
	last     int64 // offset of the newest acknowledged batch
}

const maxInFlight = 5

// clear empties all lanes; sequences begin at 0 again.
func (p *pipe) clear() {
	for i := range p.lanes {
		p.lanes[i] = lane{batches: p.lanes[i].batches[:0], isAcked: p.lanes[i].isAcked[:0]}
	}
	p.left = 0
}

// empty forgets what was sent, and keeps sequences.
func (p *pipe) empty() {
	for i := range p.lanes {
		l := &p.lanes[i]
		*l = lane{batches: l.batches[:0], isAcked: l.isAcked[:0], sequence: l.sequence}
	}
	p.left = 0
}

// add puts a batch at the end of a lane. A batch with a producer id gets the lane's sequence.
func (p *pipe) add(partition int, b model.Batch) {
	l := &p.lanes[partition]
	b.BaseSequence = -1
	if b.ProducerID >= 0 {
		b.BaseSequence = l.sequence
		l.sequence += b.Count
	}
	l.batches, l.isAcked = append(l.batches, b), append(l.isAcked, false)
	p.left++
}

// isOldest reports whether all batches of the lane before this one are acknowledged.
func (p *pipe) isOldest(partition int, item int32) bool { return p.lanes[partition].first == int(item) }

// acked notes an acknowledgement.
func (p *pipe) acked(partition int, item int32, offset int64) {
	l := &p.lanes[partition]
	l.isAcked[item] = true
	l.last = max(l.last, offset)
	for l.first < len(l.isAcked) && l.isAcked[l.first] {
		l.first++
	}
	p.left--
}

// window is how many batches may be under way, counted from the oldest that is not acknowledged: what is farther back, brokers forget.
// Outside of transactions brokers let an unknown producer start anywhere, so a first batch must not be overtaken: it goes alone.
// (Real clients rely on the order of their connection.)
func (l *lane) window() int {
	if b := &l.batches[l.first]; b.BaseSequence == 0 && !b.IsTransactional {
		return 1
	}
	return maxInFlight
}

// flow sends what may be sent.
func (c *client) flow(txnID string) {
	for i := range c.pipe.lanes {
		for l := &c.pipe.lanes[i]; l.sent < len(l.batches) && l.sent-l.first < l.window() && !c.isDead; {
			q := request{api: apiProduce, partition: int8(i), txnID: txnID, batch: l.batches[l.sent], item: int32(l.sent)}
			l.sent++
			c.send(q)
		}
	}
}
