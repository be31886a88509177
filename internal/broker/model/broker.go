package model

import (
	"cmp"
	"slices"

	"github.com/eos-pipe/eos-pipe/trace"
)

// Broker is a cluster of one broker as one value: partitions, the transaction coordinator, and groups. Its methods answer
// whole requests, one at a time, in the order in which they take effect. It belongs to one owner at a time; [Broker.Clone]
// makes an independent copy.
//
// Each kind of request is in a file of its own; what the broker does without being asked is in steps.go.
type Broker struct {
	rules      Rules
	nowMs      int64
	partitions []*Partition // in the order in which they were created
	byName     map[trace.Partition]*Partition
	txns       coordinator
	groups     []*Group
}

// NewBroker returns a broker without topics, at time 0.
func NewBroker(r Rules) *Broker {
	b := &Broker{rules: r, byName: map[trace.Partition]*Partition{}, txns: coordinator{index: map[string]*Txn{}}}
	b.CreateTopic(txnTopic, 1)
	return b
}

// Clone returns an independent copy. Logs are shared as far as they go.
func (b *Broker) Clone() *Broker {
	c := &Broker{
		rules: b.rules, nowMs: b.nowMs, byName: make(map[trace.Partition]*Partition, len(b.partitions)), txns: b.txns.clone(),
		partitions: make([]*Partition, 0, len(b.partitions)), groups: make([]*Group, 0, len(b.groups)),
	}
	for _, p := range b.partitions {
		c.addPartition(p.Clone())
	}
	for _, g := range b.groups {
		c.groups = append(c.groups, g.clone())
	}
	return c
}

// Rules returns the rules the broker was made with.
func (b *Broker) Rules() Rules { return b.rules }

// NowMs is the broker's time.
func (b *Broker) NowMs() int64 { return b.nowMs }

// SetTime moves the time; it never goes back. Nothing happens by that alone: see [Broker.Steps].
func (b *Broker) SetTime(nowMs int64) { b.nowMs = max(b.nowMs, nowMs) }

// CreateTopic adds partitions 0 to count-1 of a topic; those that exist stay.
func (b *Broker) CreateTopic(topic string, count int32) {
	for n := range count {
		b.create(trace.Partition{Topic: topic, Number: n})
	}
}

// create adds one partition, if it is not there.
func (b *Broker) create(name trace.Partition) *Partition {
	if b.byName[name] == nil {
		b.addPartition(NewPartition(name))
	}
	return b.byName[name]
}

// hasTopic reports whether the broker has any partition of a topic.
func (b *Broker) hasTopic(topic string) bool {
	return slices.ContainsFunc(b.partitions, func(p *Partition) bool { return p.Name.Topic == topic })
}

// DeleteTopic removes all partitions of a topic with everything in them. Ending transactions drop them.
func (b *Broker) DeleteTopic(topic string) {
	b.partitions = slices.DeleteFunc(b.partitions, func(p *Partition) bool {
		if p.Name.Topic == topic {
			delete(b.byName, p.Name)
		}
		return p.Name.Topic == topic
	})
}

func (b *Broker) addPartition(p *Partition) {
	b.partitions = append(b.partitions, p)
	b.byName[p.Name] = p
}

// Partition returns a partition, or nil. It is the broker's own: setting its exported fields, and its methods, change the broker.
func (b *Broker) Partition(name trace.Partition) *Partition { return b.byName[name] }

// Partitions returns all partitions in the order in which they were created. The slice is the broker's own.
func (b *Broker) Partitions() []*Partition { return b.partitions }

// Txn returns what the coordinator knows of a transactional id, or nil: read it only.
func (b *Broker) Txn(id string) *Txn { return b.txns.index[id] }

// Txns returns all transactional ids in the order in which they came. The slice is the broker's own.
func (b *Broker) Txns() []*Txn { return b.txns.txns }

// SetGroup makes a group be as given; offsets of a group that exists stay.
func (b *Broker) SetGroup(g Group) *Group {
	if old := b.group(g.ID); old != nil {
		old.Kind, old.Generation, old.Members = g.Kind, g.Generation, g.Members
		return old
	}
	b.groups = append(b.groups, &Group{ID: g.ID, Kind: g.Kind, Generation: g.Generation, Members: g.Members})
	return b.groups[len(b.groups)-1]
}

func (b *Broker) group(id string) *Group {
	for _, g := range b.groups {
		if g.ID == id {
			return g
		}
	}
	return nil
}

// OffsetsPartition is the partition of __consumer_offsets that holds a group: its hash as Java computes it, modulo the number
// of partitions.
func (b *Broker) OffsetsPartition(group string) trace.Partition {
	hash := javaHash(group)
	if hash < 0 {
		hash = max(-hash, 0) // -2^31 has no positive counterpart; Kafka takes 0
	}
	return trace.Partition{Topic: offsetsTopic, Number: hash % b.rules.OffsetPartitions}
}

// javaHash is String.hashCode for strings of ASCII; others hash by code points here, which differs above U+FFFF.
func javaHash(s string) int32 {
	var hash int32
	for _, c := range s {
		hash = 31*hash + c
	}
	return hash
}

// logOfOffsets returns the partition that holds a group, which is there as soon as it is needed.
func (b *Broker) logOfOffsets(group string) *Partition { return b.create(b.OffsetsPartition(group)) }

// ReloadCoordinator is a change of the transaction coordinator: the new one reads the log of the old one.
func (b *Broker) ReloadCoordinator() { b.txns.reload(&b.rules) }

// Restart is a clean restart of the only broker: leaders load snapshots, the coordinator its log, ids come from a new block.
func (b *Broker) Restart() {
	for _, p := range b.partitions {
		p.RestartLeader(b.nowMs, &b.rules)
	}
	b.txns.ids.Restart()
	b.ReloadCoordinator()
}

// DescribeProducers returns copies of what a partition knows of producers, by producer id.
func (b *Broker) DescribeProducers(name trace.Partition) ([]ProducerEntry, trace.Code) {
	p := b.Partition(name)
	if p == nil {
		return nil, trace.UnknownTopicOrPartition
	}
	entries := slices.Clone(p.producers)
	slices.SortFunc(entries, func(x, y ProducerEntry) int { return cmp.Compare(x.ID, y.ID) })
	return entries, trace.None
}

// DescribeTransaction returns a copy of what the coordinator knows of a transactional id.
func (b *Broker) DescribeTransaction(id string) (Txn, trace.Code) {
	t := b.txns.index[id]
	if t == nil {
		return Txn{}, trace.TransactionalIDNotFound
	}
	return *t.clone(), trace.None
}
