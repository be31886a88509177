package session

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// These are the answers of a group's coordinator to commits in a transaction of members that are not what they were. They differ between
// TxnOffsetCommit v5 and v6 (KIP-1319, Kafka 4.4), and between the group protocols.

// offsetVersions runs a test with clients that send TxnOffsetCommit up to v5, and v6. Brokers before 4.4 are asked with what they have.
func offsetVersions(t *testing.T, test func(t *testing.T, most *kversion.Versions, version int16)) {
	for _, version := range []int16{5, 6} {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			most := kversion.Stable()
			most.SetMaxKeyVersion(kmsg.TxnOffsetCommit.Int16(), version)
			test(t, most, version)
		})
	}
}

// commitAs sends an offset, in a transaction of its own that is then aborted, as that member of the group; it returns the answer, and
// the version of the request.
func commitAs(b *bench.Bench, most *kversion.Versions, m sessionMember) (*kerr.Error, int16) {
	t := b.T
	t.Helper()
	cl := b.Cluster.Client(t, kgo.TransactionalID(b.Group+"-asks"), kgo.MaxVersions(most))
	id, epoch, err := cl.ProducerID(t.Context())
	require.NoError(t, err)
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = b.Group+"-asks", id, epoch, b.Group
	req.MemberID, req.Generation, req.InstanceID = m.id, m.epoch, m.instance
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = b.In, b.InID
	partition := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	partition.Partition, partition.Offset = m.partition, 1
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(t.Context(), cl)
	require.NoError(t, err)
	end := kmsg.NewPtrEndTxnRequest()
	end.TransactionalID, end.ProducerID, end.ProducerEpoch = b.Group+"-asks", id, epoch
	_, err = end.RequestWith(t.Context(), cl)
	require.NoError(t, err)
	return kerr.TypedErrorForCode(resp.Topics[0].Partitions[0].ErrorCode), resp.Version
}

// sessionMember is a member of the group, with its epoch or generation, and one of its partitions.
type sessionMember struct {
	id        string
	epoch     int32
	instance  *string
	partition int32
}

// member returns the member with that instance id in a group of the consumer protocol, and all its partitions.
func member(b *bench.Bench, instance string) (sessionMember, []int32) {
	b.T.Helper()
	groups, err := b.Adm.DescribeConsumerGroups(b.T.Context(), b.Group)
	require.NoError(b.T, err)
	for _, m := range groups[b.Group].Members {
		if m.InstanceID != nil && *m.InstanceID == instance {
			var owned []int32
			for p := range m.Assignment[b.In] {
				owned = append(owned, p)
			}
			return sessionMember{id: m.MemberID, epoch: m.MemberEpoch, instance: m.InstanceID}, owned
		}
	}
	return sessionMember{}, nil
}

// The partitions of a member of the consumer protocol move while its offsets are under way: they carry an epoch at which it had partitions that
// it has no more. v5 calls that ILLEGAL_GENERATION, v6 STALE_MEMBER_EPOCH; the transaction is aborted, and the session goes on.
func TestSessionStaleMemberEpoch(t *testing.T) {
	offsetVersions(t, func(t *testing.T, most *kversion.Versions, _ int16) {
		b := bench.New(t)
		b.NeedConsumerProtocol()
		b.Proto = eos.ConsumerProtocol
		b.Write(300)
		cfg, tap := b.Tapped("a")
		cfg.Client = append(cfg.Client, kgo.MaxVersions(most))
		first := b.Open(cfg)
		batch := b.Poll(first)
		held := tap.Hold(wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.HoldRequest})
		ended := make(chan error, 1)
		go func() { ended <- first.Commit(t.Context(), batch, b.Marked(batch)) }()
		b.Await(held.Reached(), "the offsets")
		was, _ := member(b, cfg.TransactionalID)
		second := b.Work(b.Open(b.Config("b")))
		b.Eventually("a partition has moved", func() bool {
			is, owned := member(b, cfg.TransactionalID)
			for p := range int32(bench.Partitions) {
				if !slices.Contains(owned, p) {
					was.partition = p
				}
			}
			return is.epoch > was.epoch && len(owned) < bench.Partitions
		})
		requireAnswer(b, most, was, map[int16]*kerr.Error{5: kerr.IllegalGeneration, 6: kerr.StaleMemberEpoch})
		held.Release()
		err := <-ended
		t.Logf("it was told: %v", err)
		require.Equal(t, eos.PollAgain, bench.Next(err), "%v", err)
		w := b.Work(first)
		b.RequireOnce()
		b.RequireNoneMarked("the transaction with the old epoch is committed")
		w.Stop(t)
		require.Empty(t, second.Stop(t))
	})
}

// requireAnswer requires that a commit of that member is answered as the version of the request says.
func requireAnswer(b *bench.Bench, most *kversion.Versions, m sessionMember, want map[int16]*kerr.Error) {
	b.T.Helper()
	code, version := commitAs(b, most, m)
	require.Equal(b.T, want[version], code, "v%d", version)
}

// Another instance has joined the group with a member's static id, and not with its transactional id, so that no epoch fences the member: its
// offsets are refused, in the classic protocol with FENCED_INSTANCE_ID and in the consumer protocol with UNKNOWN_MEMBER_ID. It stops as
// fenced, whether the other one has committed the same records meanwhile or not yet.
func TestSessionReplacedMember(t *testing.T) {
	offsetVersions(t, func(t *testing.T, most *kversion.Versions, _ int16) {
		for _, done := range []bool{true, false} {
			t.Run(fmt.Sprintf("the other has committed: %t", done), func(t *testing.T) {
				bench.Protocols(t, func(b *bench.Bench) { replacedMember(b, most, done) })
			})
		}
	})
}

func replacedMember(b *bench.Bench, most *kversion.Versions, done bool) {
	t := b.T
	b.Write(300)
	cfg, tap := b.Tapped("a")
	cfg.InstanceID, cfg.Client = "same", append(cfg.Client, kgo.MaxVersions(most))
	first := b.Open(cfg)
	batch := b.Poll(first)
	held := tap.Hold(wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.HoldRequest})
	ended := make(chan error, 1)
	go func() { ended <- first.Commit(t.Context(), batch, b.Marked(batch)) }()
	b.Await(held.Reached(), "the offsets")
	was, _ := member(b, "same")
	other := b.Config("b")
	other.InstanceID = "same"
	second := b.Open(other)
	its := b.Poll(second)
	if done {
		require.NoError(t, second.Commit(t.Context(), its, b.Copies(its)))
	}
	if b.Proto == eos.ConsumerProtocol {
		requireAnswer(b, most, was, map[int16]*kerr.Error{5: kerr.UnknownMemberID, 6: kerr.UnknownMemberID})
	}
	held.Release()
	err := <-ended
	t.Logf("it was told: %v", err)
	require.ErrorIs(t, untilStopped(b, first, err), eos.ErrFenced)
	if !done {
		require.NoError(t, second.Commit(t.Context(), its, b.Copies(its)))
	}
	require.Empty(t, b.Copy(second, 300-len(its.Records)))
	b.RequireOnce()
	b.RequireNoneMarked("the first has committed")
}
