package model

import "github.com/eos-pipe/eos-pipe/trace"

// Hash is a number for the whole state: equal brokers have equal hashes, and different ones, but for a chance of one in 2^64,
// different hashes. It covers what [Broker.Dump] writes, and is much faster.
func (b *Broker) Hash() uint64 {
	h := mix(0, uint64(b.nowMs), uint64(b.txns.ids.next), uint64(b.txns.ids.end), uint64(b.txns.epoch))
	for _, p := range b.partitions {
		if b.rules.mergesAlike && p.isInternal {
			h = p.hashOfOffsets(h, &b.rules)
		} else {
			h = p.hash(h, &b.rules)
		}
	}
	for _, t := range b.txns.txns {
		h = t.hash(h, &b.rules)
	}
	for _, g := range b.groups {
		h = g.hash(h, b.rules.mergesAlike)
	}
	return h
}

// about is a time after which something is forgotten. If it was a little earlier or later, as with a marker that was written before or after
// an event at another partition, brokers that are alike are taken for the same: each such pair would double the worlds for good.
func (r *Rules) about(ms, expiryMs int64) uint64 {
	if r.mergesAlike {
		ms /= max(expiryMs/1000, 1)
	}
	return uint64(ms)
}

// mix adds values to a hash (the constants are those of FNV and of a 64-bit finalizer).
func mix(hash uint64, values ...uint64) uint64 {
	for _, v := range values {
		hash = (hash ^ v) * 0x9e3779b97f4a7c15
		hash ^= hash >> 29
	}
	return hash
}

func mixString(h uint64, s string) uint64 {
	h = mix(h, uint64(len(s)))
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return mix(h)
}

func mixPartitions(h uint64, list []trace.Partition) uint64 {
	h = mix(h, uint64(len(list)))
	for _, p := range list {
		h = mix(mixString(h, p.Topic), uint64(p.Number))
	}
	return h
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// hash leaves out a partition that was never used, so that when it came to be does not count.
func (p *Partition) hash(h uint64, r *Rules) uint64 {
	if p.isUnused() {
		return h
	}
	h = mix(mixString(h, p.Name.Topic), uint64(p.Name.Number), uint64(p.start), uint64(p.highWatermark), uint64(p.end), p.logHash, uint64(p.aborted.len()),
		bit(p.IsLeaderless)|bit(p.IsLagging)<<1, uint64(len(p.producers)), uint64(len(p.verify)))
	for i := range p.producers {
		e := &p.producers[i]
		h = mix(h, uint64(e.ID), uint64(uint16(e.Epoch)), r.about(e.LastTimestamp, r.ProducerExpiryMs), uint64(e.TxnFirstOffset), uint64(uint32(e.CoordinatorEpoch)), uint64(e.count))
		for _, m := range e.Batches() {
			h = mix(h, uint64(m.LastOffset), uint64(m.Timestamp), uint64(uint32(m.LastSequence))<<32|uint64(uint32(m.OffsetDelta)))
		}
	}
	for _, v := range p.verify {
		h = mix(h, uint64(v.ID), uint64(uint16(v.Epoch)), uint64(uint32(v.LowestSequence)), uint64(v.Guard), bit(v.SupportsBump), r.about(v.CreatedMs, r.ProducerExpiryMs))
	}
	for _, list := range [][]openTxn{p.ongoing, p.unreplicated} {
		h = mix(h, uint64(len(list)))
		for _, t := range list {
			h = mix(h, uint64(t.id), uint64(t.first), uint64(t.marker))
		}
	}
	return h
}

// hashOfOffsets leaves out where in the log something stands, and in which order producers came: of a partition with groups' offsets, which
// no client reads, that does not show.
func (p *Partition) hashOfOffsets(h uint64, r *Rules) uint64 {
	if p.isUnused() {
		return h
	}
	all := uint64(0) // sums, so that the order does not count
	for i := range p.producers {
		e := &p.producers[i]
		all += mix(1, uint64(e.ID), uint64(uint16(e.Epoch)), r.about(e.LastTimestamp, r.ProducerExpiryMs), bit(e.TxnFirstOffset >= 0), uint64(uint32(e.CoordinatorEpoch)))
	}
	for _, v := range p.verify {
		all += mix(2, uint64(v.ID), uint64(uint16(v.Epoch)), uint64(uint32(v.LowestSequence)), bit(v.SupportsBump), r.about(v.CreatedMs, r.ProducerExpiryMs))
	}
	return mix(mixString(h, p.Name.Topic), uint64(p.Name.Number), bit(p.IsLeaderless), all)
}

func (p *Partition) isUnused() bool { return p.end == 0 && len(p.producers) == 0 && len(p.verify) == 0 }

func (t *Txn) hash(h uint64, r *Rules) uint64 {
	h = mix(mixString(h, t.ID), uint64(t.ProducerID), uint64(t.PrevProducerID), uint64(t.NextProducerID),
		uint64(uint16(t.Epoch))<<32|uint64(uint16(t.LastEpoch)), uint64(t.TimeoutMs), uint64(t.State)<<8|uint64(uint8(t.Pending)),
		uint64(t.StartMs), r.about(t.UpdateMs, r.TxnIDExpiryMs), uint64(t.Protocol))
	return mixPartitions(mixPartitions(mixPartitions(h, t.Partitions), t.prepared), t.refused)
}

// hash may leave out where the records of offsets stand in the log, but not which of those for one partition is newer.
func (g *Group) hash(h uint64, isMerged bool) uint64 {
	h = mix(mixString(h, g.ID), uint64(g.Kind), uint64(uint32(g.Generation)), uint64(len(g.Members)))
	for _, m := range g.Members {
		h = mix(mixString(mixString(h, m.ID), m.Instance), uint64(uint32(m.Epoch)), uint64(len(m.Assigned)))
		for _, a := range m.Assigned {
			h = mix(mixString(h, a.Partition.Topic), uint64(a.Partition.Number), uint64(uint32(a.Epoch)))
		}
	}
	for _, list := range [][]groupOffset{g.offsets, g.pending} {
		h = mix(h, uint64(len(list)))
		all := uint64(0)
		for _, o := range list {
			if isMerged {
				all += mix(mixString(1, o.partition.Topic), uint64(o.partition.Number), uint64(o.offset), uint64(g.age(o)), uint64(o.producerID))
			} else {
				h = mix(mixString(h, o.partition.Topic), uint64(o.partition.Number), uint64(o.offset), uint64(o.record), uint64(o.producerID))
			}
		}
		h = mix(h, all)
	}
	return h
}

// age counts the offsets of the same partition whose records are older.
func (g *Group) age(o groupOffset) (older int) {
	for _, list := range [][]groupOffset{g.offsets, g.pending} {
		for _, other := range list {
			if other.partition == o.partition && other.record < o.record {
				older++
			}
		}
	}
	return older
}
