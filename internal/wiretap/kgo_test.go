package wiretap_test

import (
	"context"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// cluster is a kfake broker with the topic "orders", of one partition.
type cluster struct {
	*kfake.Cluster
	addrs []string
}

func newCluster(t *testing.T, opts ...kfake.Opt) cluster {
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.SeedTopics(1, "orders", "other"))...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return cluster{c, c.ListenAddrs()}
}

// arrivals counts the requests of an API that reach the broker, and signals each.
func (c cluster) arrivals(api kmsg.Key) (count *atomic.Int32, each chan kmsg.Request) {
	count, each = new(atomic.Int32), make(chan kmsg.Request, 1000)
	c.ControlKey(api.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		count.Add(1)
		each <- req
		return nil, nil, false
	})
	return count, each
}

// client returns a client that retries at once and, if tap is not nil, connects through it.
func (c cluster) client(t *testing.T, tap *wiretap.Tap, opts ...kgo.Opt) *kgo.Client {
	base := []kgo.Opt{
		kgo.SeedBrokers(c.addrs...),
		kgo.DefaultProduceTopic("orders"),
		kgo.ProducerLinger(0),
		kgo.MetadataMinAge(10 * time.Millisecond), // a produce is tried again after a metadata update
		kgo.RetryBackoffFn(func(int) time.Duration { return time.Millisecond }),
	}
	if tap != nil {
		base = append(base, kgo.Dialer(tap.Dial))
	}
	client, err := kgo.NewClient(append(base, opts...)...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// transactional is an option for a client with the transactional id "txn".
func transactional() kgo.Opt { return kgo.TransactionalID("txn") }

// committed returns the values of "orders" that a read_committed consumer without a tap gets, up to the end of the log.
func (c cluster) committed(t *testing.T, opts ...kgo.Opt) []string {
	t.Helper()
	end := c.PartitionInfo("orders", 0).LastStableOffset
	reader := c.client(t, nil, append(opts, kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	defer reader.Close()
	values := []string{}
	for next := int64(0); next < end; {
		fetches := reader.PollFetches(t.Context())
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if !r.Attrs.IsControl() {
				values = append(values, string(r.Value))
			}
		})
	}
	return values
}

func value(v string) *kgo.Record { return kgo.StringRecord(v) }

// began returns a client with a transaction open and the records of ab in it. They are two, one after the other, because in kgo v1.22.2
// the first record to a topic can be answered before the client has stored the topic's partitions (storePartitionsUpdate); an
// EndTransaction(TryCommit) that comes in between finds no partition added, aborts, and returns nil. The second record needs them stored.
func (c cluster) began(t *testing.T, tap *wiretap.Tap, opts ...kgo.Opt) *kgo.Client {
	client := c.client(t, tap, append(opts, transactional())...)
	require.NoError(t, client.BeginTransaction())
	for _, v := range ab {
		require.NoError(t, client.ProduceSync(t.Context(), value(v)).FirstErr())
	}
	return client
}

// ab is what a transaction of began commits.
var ab = []string{"a", "b"}

func wait[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(20 * time.Second):
		require.FailNow(t, "nothing happened for 20 seconds")
		panic("unreachable")
	}
}

// The broker commits, and the client never learns it: every answer to EndTxn is lost, the client gives up with an error, and the
// record is committed. This is the in-doubt commit that an exactly-once layer has to resolve.
func TestEndTxnAnswerLost(t *testing.T) {
	c := newCluster(t)
	tap := wiretap.New()
	defer tap.Close()
	client := c.began(t, tap, kgo.RequestRetries(2))
	lost := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Commit: new(true), Action: wiretap.DropReply, Count: wiretap.Always})

	require.Error(t, client.EndTransaction(t.Context(), kgo.TryCommit))
	require.Positive(t, lost.Hits())
	require.Equal(t, tap.Count(kmsg.EndTxn), lost.Hits())
	require.Equal(t, ab, c.committed(t))
}

// At the very moment a rule reports that it lost the answer, the broker has applied the request: no wait, no poll.
func TestDropReplyMeansApplied(t *testing.T) {
	c := newCluster(t)
	tap := wiretap.New()
	defer tap.Close()
	client := c.began(t, tap)
	lost := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropReply})
	retry := tap.Hold(wiretap.Rule{API: kmsg.EndTxn, Skip: 1}) // so that only the first can have done it
	ended := make(chan error, 1)
	go func() { ended <- client.EndTransaction(context.Background(), kgo.TryCommit) }()
	wait(t, lost.Spent())
	require.Equal(t, ab, c.committed(t))
	retry.Release()
	require.NoError(t, wait(t, ended), "one lost answer is hidden by the client's retry")
}

// Lost answers to Produce: the idempotent client sends the batch again, the broker knows it, and the log has each record once.
func TestProduceAnswerLost(t *testing.T) {
	c := newCluster(t)
	arrived, _ := c.arrivals(kmsg.Produce)
	tap := wiretap.New()
	defer tap.Close()
	client := c.client(t, tap)
	lost := tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.DropReply, Count: 3, Skip: 1})
	var want []string
	for i := range 20 {
		v := strconv.Itoa(i)
		want = append(want, v)
		require.NoError(t, client.ProduceSync(t.Context(), value(v)).FirstErr())
	}
	require.Equal(t, 3, lost.Hits())
	require.Equal(t, 20+3, int(arrived.Load()))
	require.Equal(t, want, c.committed(t))
}

// A dropped request never arrives; the client's retry does.
func TestRequestDropped(t *testing.T) {
	c := newCluster(t)
	arrived, _ := c.arrivals(kmsg.Produce)
	tap := wiretap.New()
	defer tap.Close()
	client := c.client(t, tap)
	require.NoError(t, client.ProduceSync(t.Context(), value("a")).FirstErr())
	dropped := tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.DropRequest, Count: 2})
	require.NoError(t, client.ProduceSync(t.Context(), value("b")).FirstErr())
	require.Equal(t, 2, dropped.Hits())
	require.Equal(t, 4, tap.Count(kmsg.Produce))
	require.Equal(t, 2, int(arrived.Load()))
	require.Equal(t, []string{"a", "b"}, c.committed(t))

	var events []wiretap.Event
	for _, e := range tap.Requests(kmsg.Produce) {
		if e.Dropped {
			require.Equal(t, "Produce: drop-request x2", e.Fault)
			events = append(events, e)
		}
	}
	require.Len(t, events, 2)
}

// A held request has not arrived until it is released.
func TestHoldRequest(t *testing.T) {
	c := newCluster(t)
	arrived, each := c.arrivals(kmsg.EndTxn)
	tap := wiretap.New()
	defer tap.Close()
	client := c.began(t, tap)
	hold := tap.Hold(wiretap.Rule{API: kmsg.EndTxn})
	ended := make(chan error, 1)
	go func() { ended <- client.EndTransaction(context.Background(), kgo.TryCommit) }()
	wait(t, hold.Reached())
	require.Empty(t, c.committed(t))
	require.Zero(t, arrived.Load())
	require.Empty(t, ended)
	hold.Release()
	wait(t, each)
	require.NoError(t, wait(t, ended))
	require.Equal(t, ab, c.committed(t))
}

// A held reply: the broker has done it, the client waits.
func TestHoldReply(t *testing.T) {
	c := newCluster(t)
	tap := wiretap.New()
	defer tap.Close()
	client := c.began(t, tap)
	hold := tap.Hold(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.HoldReply})
	ended := make(chan error, 1)
	go func() { ended <- client.EndTransaction(context.Background(), kgo.TryCommit) }()
	wait(t, hold.Reached())
	require.Equal(t, ab, c.committed(t))
	require.Empty(t, ended)
	hold.Release()
	require.NoError(t, wait(t, ended))
}

// A zombie's request: the client is long gone when its held EndTxn is released, and still the broker gets it.
func TestHeldRequestOutlivesItsClient(t *testing.T) {
	c := newCluster(t)
	_, each := c.arrivals(kmsg.EndTxn)
	tap := wiretap.New()
	defer tap.Close()
	client := c.began(t, tap)
	hold := tap.Hold(wiretap.Rule{API: kmsg.EndTxn})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- client.EndTransaction(ctx, kgo.TryCommit) }()
	wait(t, hold.Reached())
	cancel()
	require.Error(t, wait(t, ended))
	client.CloseAllowingRebalance()
	require.Empty(t, each)
	hold.Release()
	require.True(t, wait(t, each).(*kmsg.EndTxnRequest).Commit)
}

// Cut at the step where the request is held: it never arrives, as if the process had been killed before it wrote. Dials are refused
// until Restore.
func TestCut(t *testing.T) {
	c := newCluster(t)
	arrived, _ := c.arrivals(kmsg.EndTxn)
	tap := wiretap.New()
	defer tap.Close()
	client := c.began(t, tap, kgo.RequestRetries(1))
	hold := tap.Hold(wiretap.Rule{API: kmsg.EndTxn})
	ended := make(chan error, 1)
	go func() { ended <- client.EndTransaction(context.Background(), kgo.TryCommit) }()
	wait(t, hold.Reached())
	tap.Cut()
	require.Error(t, wait(t, ended))
	hold.Release()
	_, err := tap.Dial(t.Context(), "tcp", c.addrs[0])
	require.ErrorContains(t, err, "refused")
	require.Zero(t, arrived.Load())

	tap.Restore()
	again := c.client(t, tap, transactional())
	_, _, err = again.ProducerID(t.Context()) // aborts the transaction of the one that was killed
	require.NoError(t, err)
	require.Zero(t, arrived.Load())
	require.Empty(t, c.committed(t))
}

// A hook runs at its exact step: here the client is killed when the broker has committed and before the client knows.
func TestCallCutsAtAStep(t *testing.T) {
	for _, action := range []wiretap.Action{wiretap.CallOnRequest, wiretap.CallOnReply} {
		t.Run(action.String(), func(t *testing.T) {
			c := newCluster(t)
			tap := wiretap.New()
			defer tap.Close()
			client := c.began(t, tap, kgo.RequestRetries(1))
			var seen wiretap.Event
			call := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: action, Call: func(e wiretap.Event) { seen = e; tap.Cut() }})
			require.Error(t, client.EndTransaction(t.Context(), kgo.TryCommit))
			wait(t, call.Spent())
			require.Equal(t, kmsg.EndTxn, seen.API)
			if action == wiretap.CallOnRequest {
				require.Equal(t, wiretap.PhaseRequest, seen.Phase)
				require.Empty(t, c.committed(t))
			} else {
				require.Equal(t, wiretap.PhaseReply, seen.Phase)
				require.Equal(t, ab, c.committed(t))
			}
		})
	}
}

// The broker committed and then says UNKNOWN_SERVER_ERROR, as Redpanda may.
func TestRewriteErrorOfEndTxn(t *testing.T) {
	c := newCluster(t)
	tap := wiretap.New()
	defer tap.Close()
	client := c.began(t, tap)
	rule, err := wiretap.Parse("EndTxn: rewrite-error UNKNOWN_SERVER_ERROR always")
	require.NoError(t, err)
	rewritten := tap.Add(rule)
	require.ErrorIs(t, client.EndTransaction(t.Context(), kgo.TryCommit), kerr.UnknownServerError)
	require.Positive(t, rewritten.Hits())
	require.Equal(t, ab, c.committed(t))
}

// Error codes of single partitions are rewritten too, after the broker has applied the request: a record the broker has, refused.
func TestRewriteErrorOfPartitions(t *testing.T) {
	c := newCluster(t)
	tap := wiretap.New()
	defer tap.Close()
	tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.RewriteError, ErrorCode: kerr.MessageTooLarge.Code})
	client := c.client(t, tap)
	require.ErrorIs(t, client.ProduceSync(t.Context(), value("a")).FirstErr(), kerr.MessageTooLarge)
	require.Equal(t, []string{"a"}, c.committed(t))

	tap.Add(wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.RewriteError, ErrorCode: kerr.IllegalGeneration.Code})
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.Generation = "txn", "group", -1
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic = "orders"
	topic.Partitions = append(topic.Partitions, kmsg.NewTxnOffsetCommitRequestTopicPartition())
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(t.Context(), client)
	require.NoError(t, err)
	require.Equal(t, kerr.IllegalGeneration.Code, resp.Topics[0].Partitions[0].ErrorCode)
}

// A reply without an error code passes unchanged; the rule has no hit, and the log says why.
func TestRewriteErrorNeedsAField(t *testing.T) {
	c := newCluster(t)
	tap := wiretap.New()
	defer tap.Close()
	client := c.client(t, tap)
	fault := tap.Add(wiretap.Rule{API: kmsg.ListOffsets, Action: wiretap.RewriteError, ErrorCode: kerr.NotLeaderForPartition.Code})
	// ListOffsets has a code per partition, and this asks for none.
	_, err := kmsg.NewPtrListOffsetsRequest().RequestWith(t.Context(), client)
	require.NoError(t, err)
	require.Zero(t, fault.Hits())
	var seen []error
	for _, e := range tap.Log() {
		if e.API == kmsg.ListOffsets && e.Phase == wiretap.PhaseReply {
			seen = append(seen, e.Err)
		}
	}
	require.Len(t, seen, 1)
	require.ErrorContains(t, seen[0], "no error code")

	req := kmsg.NewPtrListOffsetsRequest()
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = "orders"
	topic.Partitions = append(topic.Partitions, kmsg.NewListOffsetsRequestTopicPartition())
	req.Topics = append(req.Topics, topic)
	resp, err := client.Broker(0).Request(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, kerr.NotLeaderForPartition.Code, resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].ErrorCode)
	require.Equal(t, 1, fault.Hits(), "the rule was used up by the reply it could not rewrite")
}

// A rule about a topic finds it by name, though Produce carries topic ids: the tap has learned them from Metadata.
func TestRuleOfATopic(t *testing.T) {
	c := newCluster(t)
	tap := wiretap.New()
	defer tap.Close()
	client := c.client(t, tap, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	fault := tap.Add(wiretap.Rule{API: kmsg.Produce, Topic: "orders", Action: wiretap.DropReply})
	require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "other", Value: []byte("x")}).FirstErr())
	require.Zero(t, fault.Hits())
	require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("a")}).FirstErr())
	require.Equal(t, 1, fault.Hits())
	require.GreaterOrEqual(t, tap.Requests(kmsg.Produce)[0].Version, int16(13), "the test means to use topic ids")
	require.Equal(t, []string{"a"}, c.committed(t))
}

// Conditions see the decoded request: only the abort is lost.
func TestWhere(t *testing.T) {
	c := newCluster(t)
	var observed atomic.Int32
	tap := wiretap.New(wiretap.Observe(func(wiretap.Event) { observed.Add(1) }), wiretap.Keep(3))
	defer tap.Close()
	client := c.began(t, tap)
	abort := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropReply, When: wiretap.Where(func(r *kmsg.EndTxnRequest) bool {
		return r.TransactionalID == "txn" && !r.Commit
	})})
	never := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropReply, When: wiretap.Where(func(*kmsg.HeartbeatRequest) bool { return true })})
	require.NoError(t, client.EndTransaction(t.Context(), kgo.TryCommit))
	require.Zero(t, abort.Hits())
	require.NoError(t, client.BeginTransaction())
	require.NoError(t, client.ProduceSync(t.Context(), value("c")).FirstErr())
	require.NoError(t, client.EndTransaction(t.Context(), kgo.TryAbort))
	require.Equal(t, 1, abort.Hits())
	require.Zero(t, never.Hits())
	require.Equal(t, ab, c.committed(t))
	require.Len(t, tap.Log(), 3)
	require.Greater(t, observed.Load(), int32(3))
}

// A client behind a frozen tap is a partitioned one: its transaction times out at the broker, its EndTxn arrives at Thaw, too late.
// In virtual time, on kfake's in-memory network.
func TestFreezeIsAPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network kfake.VirtualNetwork
		c := newCluster(t, kfake.Ports(9092), kfake.ListenFn(network.Listen))
		_, each := c.arrivals(kmsg.EndTxn)
		dial := func(ctx context.Context, n, addr string) (net.Conn, error) { return network.DialContext(ctx, n, addr) }
		tap := wiretap.New(wiretap.Over(dial))
		defer tap.Close()
		client := c.began(t, tap, kgo.TransactionTimeout(30*time.Second))
		tap.Freeze()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		begin := time.Now()
		require.Error(t, client.EndTransaction(ctx, kgo.TryCommit))
		require.GreaterOrEqual(t, time.Since(begin), time.Minute)
		require.Empty(t, each)
		tap.Thaw()
		<-each
		require.Empty(t, c.committed(t, kgo.Dialer(dial)), "the broker had aborted the transaction")
		client.Close()
	})
}
