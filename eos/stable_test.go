package eos

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/stable"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// queueOf is a queue of transactional records at these offsets, whose end has not been seen.
func queueOf(at ...int64) *stable.Queue {
	var rs []*kgo.Record
	for _, o := range at {
		rs = append(rs, &kgo.Record{Offset: o, LeaderEpoch: 7, ProducerID: 1, Attrs: kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Transactional: true})})
	}
	q := &stable.Queue{}
	q.Push(rs, 1000)
	return q
}

// The client would commit all that it has handed out: behind what is held, and not what was held before. The request is set to what was
// processed; where it cannot be explained by what is held, nothing is committed.
func TestRequestIsSetToWhatWasProcessed(t *testing.T) {
	processed, err := offsets.ParseSet("in-0=10@3 in-1=20@3")
	require.NoError(t, err)
	for _, c := range []struct {
		name, client, ahead string
		held                map[string]*stable.Queue
		fault               bool
	}{
		{name: "nothing is held", client: "in-0=10 in-1=20"},
		{name: "held behind what was processed", client: "in-0=15 in-1=20", held: map[string]*stable.Queue{"in-0": queueOf(12, 14)}},
		{name: "all of a partition is held", client: "in-0=10 in-1=20 in-2=6", held: map[string]*stable.Queue{"in-2": queueOf(4, 5)}},
		{name: "held before, and the client knows of nothing new", client: "in-0=10", ahead: "in-1=17"},
		{name: "the same of all partitions", client: "", ahead: "in-0=9 in-1=17"},
		{name: "less than what is held", client: "in-0=14 in-1=20", held: map[string]*stable.Queue{"in-0": queueOf(12, 14)}, fault: true},
		{name: "more than was processed", client: "in-0=11 in-1=20", fault: true},
		{name: "a partition of which nothing was processed", client: "in-0=10 in-1=20 in-2=6", fault: true},
		{name: "a partition is missing", client: "in-0=10", fault: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := offsets.ParseSet(c.client)
			require.NoError(t, err)
			committed, err := offsets.ParseSet(c.ahead)
			require.NoError(t, err)
			s := &Session{client: &client{ahead: ahead{committed: committed}}, held: map[offsets.Partition]*stable.Queue{}}
			for text, q := range c.held {
				p, err := offsets.ParsePartition(text)
				require.NoError(t, err)
				s.held[p] = q
			}
			req := requestOf(got)
			tx := &transaction{s: s, commits: processed}
			err = tx.settle(req)
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

// What is committed of a partition is remembered while the client takes more for committed, and forgotten when the partition moves, also when it did so
// while the transaction was being ended.
func TestAheadOfWhatIsCommitted(t *testing.T) {
	zero, one, two := offsets.Partition{Topic: "in"}, offsets.Partition{Topic: "in", Number: 1}, offsets.Partition{Topic: "in", Number: 2}
	set := func(text string) offsets.Set {
		s, err := offsets.ParseSet(text)
		require.NoError(t, err)
		return s
	}
	var a ahead
	a.move(zero)
	began := a.now()
	held := map[offsets.Partition]*stable.Queue{zero: queueOf(12), one: queueOf(25, 26)}
	a.note(began, set("in-0=10@3 in-2=30@3"), held)
	require.Equal(t, "in-0=10@3 in-1=25@7", a.committed.String(), "of the second nothing was processed yet")

	a.note(a.now(), set("in-0=20@3"), held)
	require.Equal(t, "in-0=20@3 in-1=25@7", a.committed.String())
	delete(held, zero)
	a.note(a.now(), set("in-0=22@3"), held)
	require.Equal(t, "in-1=25@7", a.committed.String(), "nothing is held of the first any more")

	a.move(one)
	require.False(t, a.has(one))
	began = a.now()
	held[two] = queueOf(31)
	a.move(two)
	a.note(began, set("in-2=30@3"), held)
	require.Equal(t, "in-1=25@7", a.committed.String(), "the third has moved while the transaction ran")
}

// A record of message format v0, which has no timestamp, is handed out with Kafka's own "none", not with Go's.
func TestRecordWithoutTimestamp(t *testing.T) {
	var b Batch
	b.from, b.next = offsets.Set{}, offsets.Set{}
	s := &Session{}
	require.NoError(t, s.handOutOf(offsets.Partition{Topic: "in"}, []*kgo.Record{{Value: []byte("v0")}}, &b))
	require.EqualValues(t, -1, b.Records[0].Timestamp.UnixMilli())
}
