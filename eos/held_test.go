package eos

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/isolation"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// queueOf is a queue of transactional records at these offsets, whose end has not been seen.
func queueOf(at ...int64) *isolation.Queue {
	var rs []*kgo.Record
	for _, o := range at {
		rs = append(rs, &kgo.Record{Offset: o, LeaderEpoch: 7, ProducerID: 1, Attrs: kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Transactional: true})})
	}
	q := &isolation.Queue{}
	q.Push(rs, 1000)
	return q
}

// The client would commit all that it has handed out: behind what is held, and not what was held before. The request is set to what was
// processed; where it cannot be explained by what is held, nothing is committed.
func TestRequestIsSetToWhatWasProcessed(t *testing.T) {
	processed, err := offsets.ParseSet("in-0=10@3 in-1=20@3")
	require.NoError(t, err)
	for _, c := range []struct {
		name, client, starts string
		held                 map[string]*isolation.Queue
		fault                bool
	}{
		{name: "nothing is held", client: "in-0=10 in-1=20"},
		{name: "held behind what was processed", client: "in-0=15 in-1=20", held: map[string]*isolation.Queue{"in-0": queueOf(12, 14)}},
		{name: "all of a partition is held", client: "in-0=10 in-1=20 in-2=6", held: map[string]*isolation.Queue{"in-2": queueOf(4, 5)}},
		{name: "where a partition starts", client: "in-0=10 in-1=20 in-2=6", starts: "in-2=6"},
		{name: "behind where a partition starts", client: "in-0=10 in-1=20 in-2=7", starts: "in-2=6", fault: true},
		{name: "where a partition starts that was processed", client: "in-0=9 in-1=20", starts: "in-0=9", fault: true},
		{name: "less than what is held", client: "in-0=14 in-1=20", held: map[string]*isolation.Queue{"in-0": queueOf(12, 14)}, fault: true},
		{name: "more than was processed", client: "in-0=11 in-1=20", fault: true},
		{name: "a partition of which nothing was processed", client: "in-0=10 in-1=20 in-2=6", fault: true},
		{name: "a partition is missing", client: "in-0=10", fault: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := offsets.ParseSet(c.client)
			require.NoError(t, err)
			starts, err := offsets.ParseSet(c.starts)
			require.NoError(t, err)
			s := &Session{client: &client{has: holdings{starts: map[offsets.Partition]int64{}}}, held: map[offsets.Partition]*isolation.Queue{}}
			for p, pos := range starts {
				s.client.has.starts[p] = pos.Offset
			}
			for text, q := range c.held {
				p, err := offsets.ParsePartition(text)
				require.NoError(t, err)
				s.held[p] = q
			}
			req := requestOf(got)
			tx := &transaction{s: s, commits: processed}
			err = tx.rewriteOffsets(req)
			if c.fault {
				require.ErrorIs(t, err, errOffsets)
				return
			}
			require.NoError(t, err)
			set := offsets.Set{}
			for _, topic := range req.Topics {
				for _, one := range topic.Partitions {
					set[offsets.Partition{Topic: topic.Topic, Number: one.Partition}] = offsets.Position{Offset: one.Offset, LeaderEpoch: one.LeaderEpoch}
					require.NotNil(t, one.Metadata)
				}
			}
			require.Equal(t, processed.String(), set.String())
		})
	}
}

func requestOf(set offsets.Set) *kmsg.TxnOffsetCommitRequest {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	for p, pos := range set {
		one := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		one.Partition, one.Offset = p.Number, pos.Offset
		topic := kmsg.NewTxnOffsetCommitRequestTopic()
		topic.Topic, topic.Partitions = p.Topic, append(topic.Partitions, one)
		req.Topics = append(req.Topics, topic)
	}
	return req
}

// A record of message format v0, which has no timestamp, is handed out with Kafka's own "none", not with Go's.
func TestRecordWithoutTimestamp(t *testing.T) {
	var b gathering
	b.from, b.next = offsets.Set{}, offsets.Set{}
	s := &Session{}
	require.NoError(t, s.handOutOf(offsets.Partition{Topic: "in"}, []*kgo.Record{{Value: []byte("v0")}}, &b))
	require.EqualValues(t, -1, b.Records[0].Timestamp.UnixMilli())
}

// A record of no transaction that is larger than what a session may hold is not taken for one, and what is behind an open transaction still waits:
// no warning is said. One that waits itself is trusted, and said.
func TestTrustIsOfWhatWaits(t *testing.T) {
	var log bytes.Buffer
	cfg := Config{InputBuffer: NewInputBuffer(1<<20, 1), Logger: slog.New(slog.NewTextHandler(&log, nil))}
	of := func(q *isolation.Queue) *Session {
		log.Reset()
		return &Session{cfg: cfg, held: map[offsets.Partition]*isolation.Queue{{Topic: "in"}: q, {Topic: "in", Number: 1}: queueOf(4)}}
	}
	large := &kgo.Record{Value: make([]byte, 1<<20)}
	plain := &isolation.Queue{}
	plain.Push([]*kgo.Record{large}, 1000)
	s := of(plain)
	s.trustTooMuch()
	require.Empty(t, log.String())
	require.Zero(t, s.held[offsets.Partition{Topic: "in", Number: 1}].Decided(), "it waits for its end")

	behind := queueOf(1)
	behind.Push([]*kgo.Record{{Offset: 2, Value: large.Value}}, 1000)
	s = of(behind)
	s.trustTooMuch()
	require.Contains(t, log.String(), "records=3")
	require.Equal(t, 2, behind.Decided())
}
