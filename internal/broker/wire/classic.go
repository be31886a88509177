package wire

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// joiner is a member of a classic group on its way in.
type joiner struct {
	b          *Broker
	conn       *conn
	group      string
	name       string
	instance   string
	memberID   string // "": not a member yet
	leader     string
	generation int32
}

// joinClassic lets one member after the other join. It goes on until the generation is at least that of the script, so that
// older ones exist.
func (b *Broker) joinClassic(on *group, g model.Group) error {
	members := make([]*joiner, len(g.Members))
	for i, m := range g.Members {
		on.conns = append(on.conns, newConn(b.Address, "wire"))
		members[i] = &joiner{b: b, conn: on.conns[len(on.conns)-1], group: on.id, name: m.ID, instance: m.Instance}
	}
	for n := 1; ; n = min(n+1, len(members)) {
		if err := rebalance(members[:n]); err != nil {
			return fmt.Errorf("join group %s: %w", g.ID, err)
		}
		if generation := members[0].generation; n == len(members) && generation >= g.Generation {
			for _, m := range members {
				on.members[m.name] = m.memberID
			}
			on.generation = func(script int32) int32 { return script + generation - g.Generation }
			return nil
		}
	}
}

// rebalance brings members into the next generation. One begins it: whoever is new, else the leader. The others learn of it by
// their heartbeats, and the coordinator answers all when all have joined.
func rebalance(members []*joiner) error {
	begins := members[len(members)-1]
	if begins.memberID != "" {
		begins = members[0]
	}
	results := make(chan error, len(members))
	for _, m := range members {
		go func() {
			var err error
			if m != begins {
				err = m.awaitRebalance()
			}
			if err == nil {
				err = m.join()
			}
			if err == nil {
				err = m.sync()
			}
			results <- err
		}()
	}
	var err error
	for range members {
		err = errors.Join(err, <-results)
	}
	return err
}

func (j *joiner) awaitRebalance() error {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.Generation, req.MemberID = 3, j.group, j.generation, j.memberID
	if j.instance != "" {
		req.InstanceID = &j.instance
	}
	return j.b.until("a rebalance", func() (bool, error) {
		resp, err := j.conn.ask(j.b.ctx, req)
		if err != nil {
			return false, err
		}
		return trace.Code(resp.(*kmsg.HeartbeatResponse).ErrorCode) == trace.RebalanceInProgress, nil
	})
}

// memberIDRequired is how a coordinator gives a member the id to join with (KIP-394).
const memberIDRequired trace.Code = 79

func (j *joiner) join() error {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 5, j.group, sessionMs, sessionMs
	req.ProtocolType, req.Protocols = "consumer", []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
	if j.instance != "" {
		req.InstanceID = &j.instance
	}
	for {
		req.MemberID = j.memberID
		resp, err := j.conn.ask(j.b.ctx, req)
		if err != nil {
			return err
		}
		r := resp.(*kmsg.JoinGroupResponse)
		switch code := trace.Code(r.ErrorCode); {
		case code == memberIDRequired && j.memberID == "":
			j.memberID = r.MemberID
		case code != trace.None:
			return fmt.Errorf("member %s: %v", j.name, code)
		default:
			j.memberID, j.leader, j.generation = r.MemberID, r.LeaderID, r.Generation
			return nil
		}
	}
}

// sync ends the rebalance. Nobody is assigned anything.
func (j *joiner) sync() error {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.Generation, req.MemberID = 3, j.group, j.generation, j.memberID
	if j.instance != "" {
		req.InstanceID = &j.instance
	}
	if j.leader == j.memberID {
		req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: j.memberID, MemberAssignment: (&kmsg.ConsumerMemberAssignment{}).AppendTo(nil)}}
	}
	resp, err := j.conn.ask(j.b.ctx, req)
	if err != nil {
		return err
	}
	if code := trace.Code(resp.(*kmsg.SyncGroupResponse).ErrorCode); code != trace.None {
		return fmt.Errorf("member %s: %v", j.name, code)
	}
	return nil
}
