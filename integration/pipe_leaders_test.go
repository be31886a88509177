package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

// leadersPatience is for how long leaders and coordinators are waited for, brokers that come back included.
const leadersPatience = 2 * time.Minute

// coordinators returns which brokers coordinate the group, and the transactions of an instance's first lane.
func (p *pipe) coordinators(instance string) (group, txn int32) {
	p.t.Helper()
	p.await("there are coordinators", leadersPatience, func(ctx context.Context) (_ bool, err error) {
		group, txn, err = p.findCoordinators(ctx, instance)
		return err == nil, err
	})
	return group, txn
}

func (p *pipe) findCoordinators(ctx context.Context, instance string) (group, txn int32, err error) {
	id := p.group + "-" + instance + "-0"
	g, x := p.adm.FindGroupCoordinators(ctx, p.group)[p.group], p.adm.FindTxnCoordinators(ctx, id)[id]
	return g.NodeID, x.NodeID, errors.Join(g.Err, x.Err)
}

// moveLeaders gives every partition of a topic another leader: the next of its replicas becomes the preferred one, and is
// elected. It begins when all replicas are in sync, and returns when every partition has its new leader, as one broker says.
func (p *pipe) moveLeaders(topic string) {
	p.t.Helper()
	want := map[int32]int32{}
	p.await("the replicas of "+topic+" are in another order", leadersPatience, func(ctx context.Context) (bool, error) {
		topics, err := p.adm.ListTopicsWithInternal(ctx, topic)
		if err := errors.Join(err, topics.Error()); err != nil {
			return false, err
		}
		var move kadm.AlterPartitionAssignmentsReq
		for n, detail := range topics[topic].Partitions {
			i := slices.Index(detail.Replicas, detail.Leader)
			if i < 0 || len(detail.ISR) < len(detail.Replicas) {
				return false, fmt.Errorf("%s-%d: leader %d, in sync %v of %v", topic, n, detail.Leader, detail.ISR, detail.Replicas)
			}
			order := slices.Concat(detail.Replicas[i+1:], detail.Replicas[:i+1]) // the leader is last
			move.Assign(topic, n, order)
			want[n] = order[0]
		}
		answers, err := p.adm.AlterPartitionAssignments(ctx, move)
		return err == nil && answers.Error() == nil, errors.Join(err, answers.Error())
	})
	require.NotEmpty(p.t, want)
	p.await("the leaders of "+topic+" have moved", leadersPatience, func(ctx context.Context) (bool, error) {
		all := kadm.TopicsSet{}
		for n := range want {
			all.Add(topic, n)
		}
		if _, err := p.adm.ElectLeaders(ctx, kadm.ElectPreferredReplica, all); err != nil {
			return false, err
		}
		topics, err := p.adm.ListTopicsWithInternal(ctx, topic)
		if err != nil {
			return false, err
		}
		for n, leader := range want {
			if now := topics[topic].Partitions[n].Leader; now != leader {
				return false, fmt.Errorf("%s-%d is led by %d, not %d", topic, n, now, leader)
			}
		}
		return true, nil
	})
}
