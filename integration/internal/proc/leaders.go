package proc

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

// Coordinators returns which brokers coordinate the group, and the transactions of an instance's first lane.
func (p *Pipe) Coordinators(instance string) (group, txn int32) {
	p.T.Helper()
	p.Await("there are coordinators", leadersPatience, func(ctx context.Context) (_ bool, err error) {
		group, txn, err = p.FindCoordinators(ctx, instance)
		return err == nil, err
	})
	return group, txn
}

// FindCoordinators is Coordinators without a wait: it fails while a coordinator moves.
func (p *Pipe) FindCoordinators(ctx context.Context, instance string) (group, txn int32, err error) {
	id := p.Group + "-" + instance + "-0"
	g, x := p.Adm.FindGroupCoordinators(ctx, p.Group)[p.Group], p.Adm.FindTxnCoordinators(ctx, id)[id]
	return g.NodeID, x.NodeID, errors.Join(g.Err, x.Err)
}

// MoveLeaders gives every partition of a topic another leader: the next of its replicas becomes the preferred one, and is
// elected. It begins when all replicas are in sync, and returns when every partition has its new leader, as one broker says.
func (p *Pipe) MoveLeaders(topic string) {
	p.T.Helper()
	want := map[int32]int32{}
	p.Await("the replicas of "+topic+" are in another order", leadersPatience, func(ctx context.Context) (bool, error) {
		topics, err := p.Adm.ListTopicsWithInternal(ctx, topic)
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
		answers, err := p.Adm.AlterPartitionAssignments(ctx, move)
		return err == nil && answers.Error() == nil, errors.Join(err, answers.Error())
	})
	require.NotEmpty(p.T, want)
	p.Await("the leaders of "+topic+" have moved", leadersPatience, func(ctx context.Context) (bool, error) {
		all := kadm.TopicsSet{}
		for n := range want {
			all.Add(topic, n)
		}
		if _, err := p.Adm.ElectLeaders(ctx, kadm.ElectPreferredReplica, all); err != nil {
			return false, err
		}
		topics, err := p.Adm.ListTopicsWithInternal(ctx, topic)
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
