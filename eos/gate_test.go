package eos_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
)

// A client that has to connect anew looks for the markers of the transaction before; they are there, and it goes on.
func TestLostConnectionsKeepTheClient(t *testing.T) {
	b := setup(t)
	cfg, tap := b.tapped()
	var states []eos.State
	cfg.Observer.Transition = func(tr eos.Transition) { states = append(states, tr.To) }
	s := b.open(cfg)
	for i := range 5 {
		b.produceFrom(10*i, 10)
		require.Empty(t, run(t, s, 10))
		looked := tap.Count(kmsg.ListOffsets)
		tap.Cut()
		tap.Restore()
		b.produceFrom(1000+10*i, 10)
		require.Empty(t, run(t, s, 10))
		require.Greater(t, tap.Count(kmsg.ListOffsets), looked)
	}
	require.NotContains(t, states, eos.Replacing)
	require.Len(t, b.output(), 100)
}

// The broker has no marker of the last transaction in one partition (here it only says so): the session discards its
// client, and has the marker written again by a transaction of that partition alone before it goes on.
func TestForgottenMarkersAreWrittenAgain(t *testing.T) {
	b := setup(t)
	cfg, tap := b.tapped()
	s := b.open(cfg)
	b.produce(30)
	require.Empty(t, run(t, s, 30))
	added := b.hidesMarker("out", 1)
	tap.Cut()
	tap.Restore()
	b.produceFrom(30, 30)
	require.Empty(t, run(t, s, 30))
	require.Equal(t, []int32{1}, added())
	b.requireOnce(60)
}

// hidesMarker has the broker say that the last stable offset of a partition is 0 until the partition is added to a
// transaction. The returned function says which partitions of the topic were.
func (b *testBench) hidesMarker(topic string, partition int32) func() []int32 {
	var mu sync.Mutex
	var added []int32
	b.ControlKey(kmsg.AddPartitionsToTxn.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		for _, t := range req.(*kmsg.AddPartitionsToTxnRequest).Topics {
			added = append(added, t.Partitions...)
		}
		return nil, nil, false
	})
	b.ControlKey(kmsg.ListOffsets.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		req := kreq.(*kmsg.ListOffsetsRequest)
		if req.IsolationLevel == 0 || slices.Contains(added, partition) {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, t := range req.Topics {
			rt := kmsg.NewListOffsetsResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewListOffsetsResponseTopicPartition()
				rp.Partition, rp.Offset = p.Partition, 1000
				if t.Topic == topic && p.Partition == partition {
					rp.Offset = 0
				}
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	return func() []int32 {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(added)
	}
}
