package integration

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
)

// An input partition that is added while a session runs is read from its first record, also by a session that starts at
// the latest offset: nothing that was written to it before the session knew of it is passed over.
func TestFaultInputPartitionAdded(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t)
	cfg := b.config("a")
	cfg.Start = eos.StartLatest
	cfg.Client = []kgo.Opt{kgo.MetadataMaxAge(time.Second)}
	w := b.work(b.open(cfg))
	b.eventually("every partition has a committed offset", func() bool { return len(b.committed()) == sessionPartitions })
	b.write(30)
	added, err := b.adm.CreatePartitions(t.Context(), 1, b.in)
	require.NoError(t, err)
	require.NoError(t, added.Error())
	b.eventually("the new partition is known", func() bool {
		topics, err := b.adm.ListTopics(t.Context(), b.in)
		return err == nil && len(topics[b.in].Partitions) == sessionPartitions+1
	})
	const more = 50
	writer := b.kafka.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for n := range int64(more) {
		value := []byte(sessionRecord{sessionPartitions, n}.String())
		require.NoError(t, writer.ProduceSync(t.Context(), &kgo.Record{Topic: b.in, Partition: sessionPartitions, Value: value}).FirstErr())
	}
	var got []string
	b.eventually("the records of the added partition are there", func() bool {
		got = nil
		for _, r := range b.readOutput() {
			if from, ok := parseSessionRecord(r.Value); ok && from.partition == sessionPartitions {
				got = append(got, from.String())
			}
		}
		return len(got) >= more
	})
	var want []string
	for n := range more {
		want = append(want, fmt.Sprintf("%d %d", sessionPartitions, n))
	}
	require.Equal(t, want, got)
	w.stop(t)
	require.Len(t, b.readOutput(), 30+more, "each record once")
}

// Partitions are added to the output while a session runs: it stops before any record goes by the new number, and says so; the next session
// goes on with the new number. With records that have keys and without.
func TestFaultOutputPartitionAdded(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t)
	b.write(30)
	cfg := b.config("a")
	cfg.Client = []kgo.Opt{kgo.MetadataMaxAge(time.Second)}
	s := b.open(cfg)
	require.Empty(t, b.copy(s, 30))
	added, err := b.adm.CreatePartitions(t.Context(), 2, b.out)
	require.NoError(t, err)
	require.NoError(t, added.Error())
	ctx, cancel := context.WithTimeout(t.Context(), sessionDeadline)
	defer cancel()
	for err = nil; err == nil; { // every batch has records with keys and without
		b.write(30)
		batch, polled := s.Poll(ctx)
		require.NoError(t, polled)
		for i, r := range batch.Records {
			r.Topic = b.out
			if i%2 == 0 {
				r.Key = r.Value
			}
		}
		err = s.Commit(ctx, batch, slices.Values(batch.Records))
		if sessionNext(err) == eos.PollAgain {
			err = nil
		}
	}
	var changed *eos.PartitionsChangedError
	require.ErrorAs(t, err, &changed)
	require.Equal(t, &eos.PartitionsChangedError{Topic: b.out, Was: sessionPartitions, Now: sessionPartitions + 2}, changed)
	require.Equal(t, eos.Stop, sessionNext(err))
	require.NoError(t, s.Close(t.Context()))
	for _, r := range b.readOutput() {
		require.Less(t, r.Partition, int32(sessionPartitions), "%s went by the new number", r.Value)
	}
	w := b.work(b.open(b.config("a")))
	b.eventually("every record is there", func() bool { return len(b.readOutput()) >= int(b.written[0]+b.written[1]+b.written[2]) })
	w.stop(t)
	got := map[string]int{}
	for _, r := range b.readOutput() {
		got[string(r.Value)]++
		require.Equal(t, 1, got[string(r.Value)], "%s is there twice", r.Value)
	}
	require.Len(t, got, int(b.written[0]+b.written[1]+b.written[2]))
}

// recreate deletes a topic and makes it again, empty.
func (b *sessionBench) recreate(topic string) {
	b.t.Helper()
	before, err := b.adm.ListTopics(b.t.Context(), topic)
	require.NoError(b.t, err)
	_, err = b.adm.DeleteTopic(b.t.Context(), topic)
	require.NoError(b.t, err)
	b.eventually("the topic is made again", func() bool {
		created, err := b.adm.CreateTopic(b.t.Context(), sessionPartitions, 1, nil, topic)
		return err == nil && created.Err == nil
	})
	b.plain = b.kafka.Client(b.t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	b.adm = kadm.NewClient(b.plain) // the former knows the topic that is gone
	b.eventually("the brokers know the new topic, and serve it", func() bool {
		now, err := b.adm.ListTopics(b.t.Context(), topic)
		if err != nil || now[topic].Err != nil || now[topic].ID == before[topic].ID {
			return false
		}
		ends, err := b.adm.ListEndOffsets(b.t.Context(), topic)
		n := 0
		ends.Each(func(o kadm.ListedOffset) {
			if o.Err == nil && o.Offset == 0 {
				n++
			}
		})
		return err == nil && n == sessionPartitions
	})
	if topic == b.in {
		now, err := b.adm.ListTopics(b.t.Context(), topic)
		require.NoError(b.t, err)
		b.inID = now[topic].ID
	}
}

// The input topic is deleted and made again while a session runs: the session stops and says that the topic is another
// one. It processes nothing of the new one.
func TestFaultInputRecreated(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t)
	b.write(30)
	s := b.open(b.config("a"))
	require.Empty(t, b.copy(s, 30))
	b.recreate(b.in)
	b.write(60)
	err := b.untilError(s)
	require.ErrorIs(t, err, eos.ErrTopicChanged)
	require.Equal(t, eos.Stop, sessionNext(err))
	require.Len(t, b.readOutput(), 30, "nothing of the new topic is processed")
}

// The output topic is deleted and made again while a session runs, which stops and says so. What was in it is gone; what the
// next session commits is in the new one once.
func TestFaultOutputRecreated(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t)
	b.write(30)
	s := b.open(b.config("a"))
	require.Empty(t, b.copy(s, 30))
	b.recreate(b.out)
	for p := range int32(sessionPartitions) {
		for n := range int64(10) {
			b.dropped[sessionRecord{p, n}] = true
		}
	}
	b.write(60)
	err := b.untilError(s)
	require.ErrorIs(t, err, eos.ErrTopicChanged)
	require.Equal(t, eos.Stop, sessionNext(err))
	require.NoError(t, s.Close(t.Context()))
	w := b.work(b.open(b.config("a")))
	b.requireOnce()
	w.stop(t)
}

// The input topic is deleted and made again while no session runs. The group's coordinator, when it hears of it, deletes the group's offsets
// of the topic: with them goes what would tell the new topic from the old one, and a session begins as Start says, as for any topic. With
// StartNone it does not begin.
func TestFaultInputRecreatedBetweenRuns(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t)
	b.write(30)
	s := b.open(b.config("a"))
	require.Empty(t, b.copy(s, 30))
	require.NoError(t, s.Close(t.Context()))
	require.Len(t, b.committed(), sessionPartitions)
	b.recreate(b.in)
	b.write(60)
	b.eventually("the coordinator has deleted the offsets", func() bool { return len(b.committed()) == 0 })
	cfg := b.config("a")
	cfg.Start = eos.StartNone
	_, err := eos.Open(t.Context(), cfg)
	require.ErrorIs(t, err, eos.ErrNoOffset)
	s = b.open(b.config("a"))
	require.Empty(t, b.copy(s, 60))
	b.requireOnce()
}

// The same where the group's offsets outlive their topic: a coordinator that was down when the topic was deleted does not hear of it, and
// tools copy offsets with their metadata. The session does not open, and says why; when the offsets are set by hand, as kafka-consumer-groups
// does it, or deleted, the next one does.
func TestFaultOffsetsOfAnotherTopic(t *testing.T) {
	t.Parallel()
	for name, resolve := range map[string]func(b *sessionBench){
		"set": func(b *sessionBench) {
			var by kadm.Offsets
			for p := range int32(sessionPartitions) {
				by.AddOffset(b.in, p, 0, -1)
			}
			require.NoError(b.t, b.adm.CommitAllOffsets(b.t.Context(), b.group, by))
		},
		"deleted": func(b *sessionBench) {
			deleted, err := b.adm.DeleteOffsets(b.t.Context(), b.group, kadm.TopicsSet{b.in: {0: {}, 1: {}, 2: {}}})
			require.NoError(b.t, err)
			require.NoError(b.t, deleted.Error())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newSessionBench(t)
			b.write(30)
			s := b.open(b.config("a"))
			require.Empty(t, b.copy(s, 30))
			require.NoError(t, s.Close(t.Context()))
			old, err := b.adm.FetchOffsets(t.Context(), b.group)
			require.NoError(t, err)
			b.recreate(b.in)
			b.write(60)
			b.eventually("the coordinator has deleted the offsets", func() bool { return len(b.committed()) == 0 })
			require.NoError(t, b.adm.CommitAllOffsets(t.Context(), b.group, old.Offsets()))
			_, err = eos.Open(t.Context(), b.config("a"))
			require.ErrorIs(t, err, eos.ErrTopicChanged)
			require.Equal(t, eos.Stop, sessionNext(err))
			require.Len(t, b.readOutput(), 30)
			resolve(b)
			s = b.open(b.config("a"))
			require.Empty(t, b.copy(s, 60))
			b.requireOnce()
		})
	}
}
