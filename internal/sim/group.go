package sim

import (
	"slices"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// group is the membership of the application's group, which the model leaves to its caller. Whenever members come or go all
// partitions are handed out anew, at once: nobody is asked to give them back first. That is harsher than Kafka's protocols, and
// allowed: what a member still does for partitions that it has lost is refused by its generation.
type group struct {
	generation int32
	members    []member
}

type member struct {
	id, instance string
	seenUs       int64
	group        assignment
}

// assignment is what a heartbeat tells a member.
type assignment struct {
	generation int32
	isMine     [inputPartitions]bool
}

// heartbeat answers one, and takes a member in who has no generation yet. A static member's new process replaces the old one.
func (g *group) heartbeat(r *run, q *request) reply {
	at := slices.IndexFunc(g.members, func(m member) bool { return m.id == q.member })
	switch {
	case at >= 0:
		g.members[at].seenUs = r.nowUs
	case q.generated >= 0 && g.memberOf(q.instance) != "":
		return refuse(trace.FencedInstanceID)
	case q.generated >= 0:
		return refuse(trace.UnknownMemberID)
	default:
		g.members = slices.DeleteFunc(g.members, func(m member) bool { return m.instance == q.instance })
		g.members = append(g.members, member{id: q.member, instance: q.instance, seenUs: r.nowUs})
		if at = len(g.members) - 1; g.generation > 0 {
			g.rebalance(r)
		}
	}
	a := refuse(trace.None)
	a.group = g.members[at].group
	return a
}

// rebalance begins a new generation.
func (g *group) rebalance(r *run) {
	g.generation++
	members := make([]model.Member, len(g.members))
	for i := range g.members {
		members[i] = model.Member{ID: g.members[i].id}
		g.members[i].group = assignment{generation: g.generation}
	}
	if n := len(g.members); n > 0 {
		for p := range inputPartitions {
			g.members[(p+int(g.generation))%n].group.isMine[p] = true
		}
	}
	r.broker.SetGroup(model.Group{ID: groupID, Generation: g.generation, Members: members})
	r.tell(nodeName(r.groupNode), "begins a new generation of the group")
}

// expire puts out members that were silent for too long. The first time, it hands out partitions to those who have come till then
// (group.initial.rebalance.delay.ms).
func (g *group) expire(r *run) {
	if g.generation == 0 {
		g.rebalance(r)
	}
	if !r.nodes[r.groupNode].isUp {
		return
	}
	before := len(g.members)
	g.members = slices.DeleteFunc(g.members, func(m member) bool { return r.nowUs-m.seenUs > sessionUs })
	if len(g.members) != before {
		g.rebalance(r)
	}
}

// forgive is a coordinator that comes back: it waits for every member as long as if it had just seen it.
func (g *group) forgive(r *run) {
	for i := range g.members {
		g.members[i].seenUs = r.nowUs
	}
}

// memberOf returns the member under a static instance's name, or "".
func (g *group) memberOf(instance string) string {
	for i := range g.members {
		if g.members[i].instance == instance {
			return g.members[i].id
		}
	}
	return ""
}
