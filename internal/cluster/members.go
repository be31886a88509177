package cluster

import (
	"context"
	"errors"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Member is a static member of a group (KIP-345), of either group protocol.
type Member struct {
	Instance string // group.instance.id
	ID       string // the member id
	Classic  bool   // it uses the classic protocol, in a group of whichever protocol
}

// Members returns the static members of a group. A group that does not exist has none. hasConsumers says that the brokers
// know groups of the consumer protocol (KIP-848); otherwise only classic groups are asked for.
func (c *Client) Members(ctx context.Context, group string, hasConsumers bool) ([]Member, error) {
	bounded, asked := c.Bound(ctx)
	members, err := c.classicMembers(bounded, group)
	if err == nil && len(members) == 0 && hasConsumers {
		members, err = c.consumerMembers(bounded, group)
	}
	asked(err)
	return members, c.refresh(err)
}

func (c *Client) classicMembers(ctx context.Context, group string) (members []Member, err error) {
	groups, err := c.adm.DescribeGroups(ctx, group)
	if err != nil {
		return nil, err
	}
	g := groups[group]
	if errors.Is(g.Err, kerr.GroupIDNotFound) { // no member has joined it, none has committed; or it is one of the consumer protocol
		return nil, nil
	}
	for _, m := range g.Members {
		if m.InstanceID != nil {
			members = append(members, Member{*m.InstanceID, m.MemberID, true})
		}
	}
	return members, g.Err
}

func (c *Client) consumerMembers(ctx context.Context, group string) (members []Member, err error) {
	groups, err := c.adm.DescribeConsumerGroups(ctx, group)
	if err != nil {
		return nil, err
	}
	g := groups[group]
	if errors.Is(g.Err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	for _, m := range g.Members {
		if m.InstanceID != nil {
			members = append(members, Member{*m.InstanceID, m.MemberID, m.MemberType == 0})
		}
	}
	return members, g.Err
}

// What a member's epoch says in a ConsumerGroupHeartbeat when the member leaves.
const (
	epochLeft     = -1 // its partitions go to others
	epochReplaced = -2 // a member with the same instance id will come
)

// Leave takes a static member out of its group. isReplaced says that a member with the same instance id comes next, for
// which the consumer protocol keeps the partitions. In the consumer protocol it is no error if the member has already
// left. In the classic protocol the member id goes with the instance id: a process that has taken the instance id since
// stays in the group. The caller limits the time.
func (c *Client) Leave(ctx context.Context, group string, m Member, isReplaced bool) error {
	if m.Classic {
		return c.leaveClassic(ctx, group, m)
	}
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch, req.InstanceID = group, m.ID, epochLeft, &m.Instance
	if isReplaced {
		req.MemberEpoch = epochReplaced
	}
	resp, err := req.RequestWith(ctx, c.cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	for _, gone := range []error{kerr.UnknownMemberID, kerr.GroupIDNotFound, kerr.FencedInstanceID} {
		if errors.Is(err, gone) {
			return nil
		}
	}
	return err
}

func (c *Client) leaveClassic(ctx context.Context, group string, m Member) error {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	one := kmsg.NewLeaveGroupRequestMember()
	one.MemberID, one.InstanceID = m.ID, &m.Instance
	req.Members = append(req.Members, one)
	resp, err := req.RequestWith(ctx, c.cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	return err // the member's own error code says that it has already left
}

// OtherType returns the type of a group that is neither classic nor of the consumer protocol: "share" or "streams"; ""
// for any other group.
func (c *Client) OtherType(ctx context.Context, group string) (string, error) {
	bounded, asked := c.Bound(ctx)
	listed, err := c.adm.ListGroupsByType(bounded, []string{"share", "streams"})
	asked(err)
	return strings.ToLower(listed[group].GroupType), err // some brokers may have answered
}

// Coordinator returns the node id of a group's coordinator. The caller limits the time.
func (c *Client) Coordinator(ctx context.Context, group string) (int32, error) {
	found := c.adm.FindGroupCoordinators(ctx, group)[group]
	return found.NodeID, found.Err
}
