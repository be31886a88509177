package model

import (
	"fmt"
	"strings"
)

// Dump writes the whole state as text: equal brokers have equal dumps, in whatever way they came to be. Logs are in it by a hash.
// It is for tests and for people.
func (b *Broker) Dump() string {
	var s strings.Builder
	fmt.Fprintf(&s, "now=%d ids=%d/%d coordinator=%d\n", b.nowMs, b.txns.ids.next, b.txns.ids.end, b.txns.epoch)
	for _, p := range b.partitions {
		p.dump(&s)
	}
	for _, t := range b.txns.txns {
		fmt.Fprintf(&s, "txn %q %d/%d prev=%d next=%d last=%d timeout=%d %s>%s start=%d update=%d protocol=%d %v prepared=%v refused=%v\n", t.ID, t.ProducerID, t.Epoch,
			t.PrevProducerID, t.NextProducerID, t.LastEpoch, t.TimeoutMs, t.State, t.Pending, t.StartMs, t.UpdateMs, t.Protocol, t.Partitions, t.prepared, t.refused)
	}
	for _, g := range b.groups {
		fmt.Fprintf(&s, "group %q %d %d %v %v pending=%v\n", g.ID, g.Kind, g.Generation, g.Members, g.offsets, g.pending)
	}
	return s.String()
}

func (p *Partition) dump(s *strings.Builder) {
	if p.isUnused() {
		return
	}
	fmt.Fprintf(s, "%s %d..%d..%d log=%d/%x aborted=%d leaderless=%t lagging=%t", p.Name, p.start, p.highWatermark, p.end, p.log.len(), p.logHash,
		p.aborted.len(), p.IsLeaderless, p.IsLagging)
	for i := range p.producers {
		e := &p.producers[i]
		fmt.Fprintf(s, " {%d/%d time=%d txn=%d coordinator=%d %v}", e.ID, e.Epoch, e.LastTimestamp, e.TxnFirstOffset, e.CoordinatorEpoch, e.Batches())
	}
	for _, v := range p.verify {
		fmt.Fprintf(s, " verify{%d/%d low=%d guard=%d bump=%t created=%d}", v.ID, v.Epoch, v.LowestSequence, v.Guard, v.SupportsBump, v.CreatedMs)
	}
	fmt.Fprintf(s, " open=%v unreplicated=%v\n", p.ongoing, p.unreplicated)
}
