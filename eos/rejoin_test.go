package eos

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
)

// A member of the group under the session's instance id is another instance only if its member id is none that the client has had: the client
// of the consumer protocol chooses a new one when its membership has expired.
func TestIsOther(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		member string
		own    []string
		want   bool
	}{
		{"a", []string{"a", "a"}, false},
		{"b", []string{"a", "b"}, false},
		{"a", []string{"a", "b"}, false},
		{"c", []string{"a", "b"}, true},
		{"b", []string{"", "b"}, false},
		{"c", []string{"", "b"}, true},
		{"c", []string{"", ""}, false},
	} {
		require.Equal(t, c.want, isOther(c.member, c.own), "%+v", c)
	}
}

// A session comes back after its transaction and its membership have expired: its commit is fenced, since the brokers have raised the epoch, and its
// client joins the group under a new member id while it is closed. Neither is another instance: the session makes a new client and continues.
func TestClientJoinsAgainWhileItIsClosed(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	brokers, err := kfake.NewCluster(kfake.ClusterID(t.Name()), kfake.NumBrokers(1), kfake.SeedTopics(1, "in", "out"), kfake.BrokerConfigs(map[string]string{
		"group.consumer.heartbeat.interval.ms": "100", "group.consumer.min.heartbeat.interval.ms": "100",
	}))
	require.NoError(t, err)
	t.Cleanup(brokers.Close)
	other, err := kgo.NewClient(kgo.SeedBrokers(brokers.ListenAddrs()...), kgo.TransactionalID("id"))
	require.NoError(t, err)
	t.Cleanup(other.Close)
	plain, err := kgo.NewClient(kgo.SeedBrokers(brokers.ListenAddrs()...))
	require.NoError(t, err)
	t.Cleanup(plain.Close)
	require.NoError(t, plain.ProduceSync(ctx, &kgo.Record{Topic: "in"}).FirstErr())

	s, err := Open(ctx, Config{
		BootstrapServers: brokers.ListenAddrs(), Group: "g", TransactionalID: "id", InstanceID: "i", Topics: []string{"in"}, Outputs: []string{"out"},
		Tuning: Tuning{GroupProtocol: ConsumerProtocol},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close(context.WithoutCancel(ctx)) })
	batch, err := s.Poll(ctx)
	require.NoError(t, err)
	_, _, err = other.ProducerID(ctx) // the epoch is raised, as for a transaction that times out
	require.NoError(t, err)

	closed, before := s.client, s.client.memberID()
	left := make(chan error, 1)
	closed.watching.Go(func() { // what close waits for, before the client leaves the group
		<-closed.life.Done()
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch = "g", before, -1
		_, err := req.RequestWith(ctx, plain)
		for err == nil {
			members, failed := s.describeGroup(ctx)
			if failed != nil || slices.ContainsFunc(members, func(m cluster.Member) bool { return m.Instance == "i" && m.ID != before }) {
				left <- failed
				return
			}
			if !cluster.Sleep(ctx, 10*time.Millisecond) {
				err = ctx.Err()
			}
		}
		left <- err
	})
	err = s.Commit(ctx, batch, slices.Values(batch.Records[:0:0]))
	require.NoError(t, <-left)
	failed, ok := errors.AsType[*Error](err)
	require.True(t, ok, "%v", err)
	require.NotErrorIs(t, err, ErrFenced)
	require.Equal(t, PollAgain, failed.Next, "%v", err)
	batch, err = s.Poll(ctx)
	require.NoError(t, err)
	require.NoError(t, s.Commit(ctx, batch, slices.Values(batch.Records[:0:0])))
}
