package pipe

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// What a full group answers passes: the process says what it waits for, and goes on when a member leaves. What brokers with a small
// offset.metadata.max.bytes answer does not pass: the process stops, and names their setting. Both in both group protocols.
func TestRefusalsThatPassAndThatDoNot(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Set("offset.metadata.max.bytes", "10"),
		kafkatest.Set("group.max.size", "1"), kafkatest.Set("group.consumer.max.size", "1"))
	for _, protocol := range []string{"classic", "consumer"} {
		t.Run(protocol, func(t *testing.T) {
			p := proc.New(t, cluster, proc.Shape{From: []int32{1}, To: []int32{1}}, "--group-protocol", protocol)
			p.Fill(1)
			occupant := join(p, protocol == "consumer")
			pr := p.Start("a")
			p.Await("it says what it waits for", 30*time.Second, func(context.Context) (bool, error) {
				return strings.Contains(pr.Stderr(), "GROUP_MAX_SIZE_REACHED") && strings.Contains(pr.Stderr(), `"waits_for":"a member to leave the group`), nil
			})
			occupant.Close()
			hint := pr.RequireFails(30*time.Second, 4, "OFFSET_METADATA_TOO_LARGE")
			require.Contains(t, hint, "offset.metadata.max.bytes")
		})
	}
}

// join has a client of its own be a member of the pipe's group, and returns it.
func join(p *proc.Pipe, consumer bool) *kgo.Client {
	p.T.Helper()
	options := []kgo.Opt{kgo.ConsumerGroup(p.Group), kgo.ConsumeTopics(p.From...), kgo.DisableAutoCommit()}
	if consumer {
		options = append(options, kgo.ServerSideBalancer(), kgo.Balancers(kgo.CooperativeStickyBalancer()))
	}
	cl := p.Cluster.Client(p.T, options...)
	ctx, cancel := context.WithTimeout(p.T.Context(), 30*time.Second)
	defer cancel()
	require.NoError(p.T, cl.PollFetches(ctx).Err())
	return cl
}

// A group id that a share group or a group of Kafka Streams has stops the process at once, in both protocols; nothing of the input is
// processed, and with another id it is.
func TestGroupOfAnotherKind(t *testing.T) {
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{1}, To: []int32{1}})
	p.Fill(1)
	all := kversion.Stable()
	all.SetMaxKeyVersion(kmsg.StreamsGroupHeartbeat.Int16(), 0) // which kgo does not send by default
	cl := p.Cluster.Client(t, kgo.MaxVersions(all))
	versions, err := p.Adm.ApiVersions(t.Context())
	require.NoError(t, err)
	own := p.Group
	for kind, join := range map[kmsg.Key]func(context.Context, *kgo.Client, string, []string) error{kmsg.ShareGroupHeartbeat: joinShare, kmsg.StreamsGroupHeartbeat: joinStreams} {
		for _, v := range versions {
			if n, known := v.KeyMaxVersion(kind.Int16()); !known || kind == kmsg.ShareGroupHeartbeat && n < 1 {
				t.Skipf("these brokers do not know %s", kind.Name())
			}
		}
		p.Group = kafkatest.Name(t, "other")
		p.Await("a group of another kind", 30*time.Second, func(ctx context.Context) (bool, error) {
			err := join(ctx, cl, p.Group, p.From)
			return err == nil, err
		})
		for _, protocol := range []string{"classic", "consumer"} {
			t.Run(kind.Name()+" "+protocol, func(t *testing.T) {
				hint := p.Start("a", "--group-protocol", protocol).RequireFails(30*time.Second, 4, "the group is of another kind")
				require.Contains(t, hint, "--group")
			})
		}
	}
	p.Group = own
	require.Zero(t, p.Start("a", "--until-end").Wait(time.Minute))
	p.RequireExactlyOnce(1, 1)
}

// memberOfAnotherKind is the id of the only member of such a group; the brokers take an id of this form only.
const memberOfAnotherKind = "c2VjcmV0LW1lbWJlci0wMQ"

func joinShare(ctx context.Context, cl *kgo.Client, group string, topics []string) error {
	req := kmsg.NewPtrShareGroupHeartbeatRequest()
	req.GroupID, req.MemberID, req.SubscribedTopicNames = group, memberOfAnotherKind, topics
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

func joinStreams(ctx context.Context, cl *kgo.Client, group string, topics []string) error {
	req := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	req.Group, req.MemberID, req.ProcessID, req.RebalanceTimeoutMillis = group, memberOfAnotherKind, new("p"), 60_000
	req.ActiveTasks, req.StandbyTasks, req.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	req.Topology = &kmsg.StreamsGroupHeartbeatRequestTopology{
		Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{{SubtopologyID: "0", SourceTopics: topics}},
	}
	resp, err := cl.SeedBrokers()[0].Request(ctx, req) // kgo does not know where to send it; there is one broker
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.(*kmsg.StreamsGroupHeartbeatResponse).ErrorCode)
}
