package eos

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// A partition that the broker answers with an error that lasts gets a new client each time, but ever more seldom, up to five seconds: it does not have
// the group rebalance without a pause.
func TestPartitionPause(t *testing.T) {
	var got []time.Duration
	for times := range 8 {
		got = append(got, partitionPause(times))
	}
	ms := time.Millisecond
	require.Equal(t, []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms, 5000 * ms}, got)
}

// What kgo says of a partition that it could not ask for, as without a connection to its leader, is not taken for damage of the log; what was fetched
// and cannot be read is.
func TestWhatWasNotFetchedIsNotDamaged(t *testing.T) {
	of := func(fetched *kgo.FetchPartition) error {
		return &fetchError{partition: offsets.Partition{Topic: "in"}, fetched: fetched, err: errors.New("x509: certificate has expired")}
	}
	failed, _ := unreadable(of(&kgo.FetchPartition{}))
	require.Empty(t, failed)
	failed, only := unreadable(of(&kgo.FetchPartition{HighWatermark: 1}))
	require.Len(t, failed, 1)
	require.True(t, only)
}

// A new topic is assigned before each broker has heard of it: one answer that it does not exist passes, and does not stop the session.
func TestNewTopicIsNotKnownEverywhereAtOnce(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "late"))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	denied := 0
	c.ControlKey(kmsg.Metadata.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r := req.(*kmsg.MetadataRequest)
		if len(r.Topics) != 1 {
			return nil, nil, false
		}
		denied++
		resp := r.ResponseKind().(*kmsg.MetadataResponse)
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.ErrorCode = r.Topics[0].Topic, kerr.UnknownTopicOrPartition.Code
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.MetadataMinAge(50*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	s := &Session{cfg: Config{}.withDefaults(), ask: cluster.New(cl, cluster.Patience{})}
	known, err := s.knowTopics(t.Context(), map[string]map[int32]kgo.Offset{"late": {0: kgo.NewOffset().At(7)}})
	require.NoError(t, err)
	require.Equal(t, offsets.Set{{Topic: "late"}: offsets.NewPosition(7)}, known)
	require.Equal(t, 1, denied)
}
