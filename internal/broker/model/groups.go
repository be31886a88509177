package model

import (
	"slices"

	"github.com/eos-pipe/eos-pipe/trace"
)

// This file mirrors what org.apache.kafka.coordinator.group.OffsetMetadataManager, ClassicGroup.validateOffsetCommit and
// modern.consumer.ConsumerGroup.validateOffsetCommit know of a group (KIP-98, KIP-345, KIP-447, KIP-848).
//
// Simplification: groups do not rebalance by themselves; who is a member of what is set by [Broker.SetGroup].

// GroupKind is the protocol of a group.
type GroupKind uint8

// The kinds of groups.
const (
	ClassicGroup  GroupKind = iota // with a generation; "simple" as long as it has no members
	ConsumerGroup                  // KIP-848: with a member epoch
)

// Member belongs to a group.
type Member struct {
	ID       string
	Instance string     // "" if it is not static
	Epoch    int32      // of a consumer group
	Assigned []Assigned // of a consumer group
}

// Assigned is a partition of a member, or one it is giving back.
type Assigned struct {
	Partition trace.Partition
	Epoch     int32 // of the member, when it got it
}

// Group is a group with its offsets.
type Group struct {
	ID         string
	Kind       GroupKind
	Generation int32 // of a classic group
	Members    []Member

	offsets []groupOffset // in the order in which partitions came
	pending []groupOffset // in the order in which they were committed
}

// groupOffset is a committed offset, or one that waits for its transaction's marker.
type groupOffset struct {
	partition  trace.Partition
	offset     int64
	record     int64 // offset of its record in __consumer_offsets: the newer one wins
	producerID int64 // of the transaction; -1: plain
}

func (g *Group) clone() *Group {
	c := *g
	c.Members = slices.Clone(g.Members)
	c.offsets, c.pending = slices.Clone(g.offsets), slices.Clone(g.pending)
	return &c
}

// take makes an offset visible, unless a newer one is.
func (g *Group) take(o groupOffset, r *Rules) {
	for i := range g.offsets {
		if g.offsets[i].partition == o.partition {
			if o.record > g.offsets[i].record || r.has(BugNewerOffsetOverwritten) {
				g.offsets[i] = o
			}
			return
		}
	}
	g.offsets = append(g.offsets, o)
}

// endTxn applies or drops the pending offsets of a producer, when its marker is written.
func (g *Group) endTxn(producerID int64, isCommit bool, r *Rules) {
	for _, o := range g.pending {
		if o.producerID == producerID && (isCommit || r.has(BugAbortCommitsOffsets)) {
			g.take(o, r)
		}
	}
	g.pending = slices.DeleteFunc(g.pending, func(o groupOffset) bool { return o.producerID == producerID })
}

// Committed returns the visible offset of a partition; -1: none.
func (g *Group) Committed(p trace.Partition) int64 {
	for _, o := range g.offsets {
		if o.partition == p {
			return o.offset
		}
	}
	return -1
}

// isUnstable reports whether a transaction holds an offset of the partition.
func (g *Group) isUnstable(p trace.Partition) bool {
	return slices.ContainsFunc(g.pending, func(o groupOffset) bool { return o.partition == p })
}

func (g *Group) member(id string) *Member {
	for i := range g.Members {
		if g.Members[i].ID == id {
			return &g.Members[i]
		}
	}
	return nil
}

func (g *Group) memberOfInstance(instance string) *Member {
	for i := range g.Members {
		if g.Members[i].Instance == instance {
			return &g.Members[i]
		}
	}
	return nil
}

// GroupMetadata is what a producer says of the group member it works for (KIP-447): nothing, if it is -1, "" and absent.
type GroupMetadata struct {
	Generation int32 // or member epoch
	Member     string
	Instance   trace.NullString
}

func (m GroupMetadata) isAbsent() bool {
	return m.Generation < 0 && m.Member == "" && !m.Instance.Valid
}

// errorsOf is how a commit of offsets tells its errors.
type errorsOf uint8

const (
	errorsOfPlain errorsOf = iota // OffsetCommit
	errorsOfTxn                   // TxnOffsetCommit up to v5: groups of all kinds have a generation
	errorsOfTxn6                  // TxnOffsetCommit v6 (KIP-1319)
)

func (e errorsOf) isTxn() bool { return e != errorsOfPlain }

// noGroup is the error for a group that does not exist, staleEpoch that for a member epoch that is not the member's.
func (e errorsOf) noGroup() trace.Code {
	if e == errorsOfTxn6 {
		return trace.GroupIDNotFound
	}
	return trace.IllegalGeneration
}

func (e errorsOf) staleEpoch() trace.Code {
	if e == errorsOfTxn {
		return trace.IllegalGeneration
	}
	return trace.StaleMemberEpoch
}

// check judges the metadata of a commit of these partitions. In a transaction, no metadata at all passes always: then
// nobody is fenced.
func (g *Group) check(m GroupMetadata, as errorsOf, offsets []OffsetToCommit, r *Rules) (trace.Code, Reason) {
	switch {
	case as.isTxn() && m.isAbsent(), as.isTxn() && r.has(BugGenerationUnchecked):
		return trace.None, OffsetPending
	case m.Generation < 0 && len(g.Members) == 0:
		return trace.None, OffsetTaken
	case g.Kind == ConsumerGroup:
		return g.checkConsumer(m, as, offsets, r)
	}
	return g.checkClassic(m)
}

func (g *Group) checkClassic(m GroupMetadata) (trace.Code, Reason) {
	if m.Instance.Valid {
		switch owner := g.memberOfInstance(m.Instance.Value); {
		case owner == nil || m.Instance.Value == "":
			return trace.UnknownMemberID, GroupInstance
		case owner.ID != m.Member:
			return trace.FencedInstanceID, GroupInstance
		}
	}
	switch {
	case g.member(m.Member) == nil:
		return trace.UnknownMemberID, GroupMember
	case m.Generation != g.Generation:
		return trace.IllegalGeneration, GroupGeneration
	}
	return trace.None, OffsetTaken
}

// checkConsumer allows an older epoch for partitions that the member has had since (4.3).
func (g *Group) checkConsumer(m GroupMetadata, as errorsOf, offsets []OffsetToCommit, r *Rules) (trace.Code, Reason) {
	stale := as.staleEpoch()
	member := g.member(m.Member)
	switch {
	case member == nil:
		return trace.UnknownMemberID, GroupMember
	case m.Generation == member.Epoch:
		return trace.None, OffsetTaken
	case m.Generation > member.Epoch || !r.remembersAssignment():
		return stale, GroupGeneration
	}
	for _, o := range offsets {
		hasHad := slices.ContainsFunc(member.Assigned, func(a Assigned) bool { return a.Partition == o.Partition && m.Generation >= a.Epoch })
		if !hasHad {
			return stale, GroupGeneration
		}
	}
	return trace.None, OffsetTaken
}
