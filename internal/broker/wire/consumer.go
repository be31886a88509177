package wire

import (
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// joinConsumer brings the member of a KIP-848 group to where scripts have it: it holds partitions since an epoch behind its
// first, and is at a later epoch, at which it has lost others. First it subscribes to a topic that does not exist, then to the
// script's, which gives it all partitions; then others join, and it keeps the first few.
func (b *Broker) joinConsumer(on *group, g model.Group) error {
	if len(g.Members) != 1 || len(g.Members[0].Assigned) == 0 {
		return &LeftOut{"a KIP-848 group is driven with one member and a partition of it"}
	}
	on.conns = append(on.conns, newConn(b.Address, "wire"))
	h := &heartbeater{b: b, conn: on.conns[len(on.conns)-1], group: on.id, memberID: on.id + "-0"}
	if err := h.beat(b.Name + "-none"); err != nil {
		return err
	}
	if err := h.until(b.Name, func() bool { return len(h.owned) == int(b.Partitions) }); err != nil {
		return err
	}
	assigned := h.epoch
	const others = 3
	for i := range others {
		other := &heartbeater{b: b, conn: h.conn, group: on.id, memberID: fmt.Sprintf("%s-%d", on.id, i+1)}
		if err := other.beat(b.Name); err != nil {
			return err
		}
	}
	if err := h.until(b.Name, func() bool { return h.epoch > assigned && len(h.owned) < int(b.Partitions) }); err != nil {
		return err
	}
	m := g.Members[0]
	for _, p := range m.Assigned {
		if !slices.Contains(h.owned, p.Partition.Number) {
			return fmt.Errorf("group %s: the member keeps %v, and the script wants it to keep %d", g.ID, h.owned, p.Partition.Number)
		}
	}
	on.members[m.ID] = h.memberID
	on.generation = translateEpochs(m, assigned, h.epoch)
	return nil
}

// translateEpochs keeps the order of epochs: those below the assignment, between it and now, and above.
func translateEpochs(m model.Member, assigned, now int32) func(int32) int32 {
	first := m.Assigned[0].Epoch
	return func(script int32) int32 {
		switch {
		case script >= m.Epoch:
			return now + script - m.Epoch
		case script >= first:
			return min(assigned+script-first, now-1)
		}
		return assigned + script - first
	}
}

// heartbeater is a member of a KIP-848 group.
type heartbeater struct {
	b        *Broker
	conn     *conn
	group    string
	memberID string
	epoch    int32
	topicID  [16]byte
	owned    []int32
}

// beat sends a heartbeat with the subscription, and does what the answer says: it owns at once what it is assigned, and gives up at
// once what it is not.
func (h *heartbeater) beat(topic string) error {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.MemberEpoch = 1, h.group, h.memberID, h.epoch
	req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.ServerAssignor = sessionMs, []string{topic}, new("range")
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if len(h.owned) > 0 {
		req.Topics = append(req.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: h.topicID, Partitions: h.owned})
	}
	resp, err := h.conn.ask(h.b.ctx, req)
	if errors.Is(err, errClosed) {
		return &LeftOut{"the broker has no KIP-848 groups"}
	}
	if err != nil {
		return err
	}
	r := resp.(*kmsg.ConsumerGroupHeartbeatResponse)
	if code := trace.Code(r.ErrorCode); code != trace.None {
		return fmt.Errorf("heartbeat of %s: %v %s", h.memberID, code, text(r.ErrorMessage))
	}
	h.epoch = r.MemberEpoch
	if r.Assignment == nil {
		return nil
	}
	h.owned = nil
	for _, t := range r.Assignment.Topics {
		h.topicID, h.owned = t.TopicID, append(h.owned, t.Partitions...)
	}
	return nil
}

func (h *heartbeater) until(topic string, ok func() bool) error {
	return h.b.until("an assignment", func() (bool, error) {
		err := h.beat(topic)
		return err == nil && ok(), err
	})
}
