package fault

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
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
)

// An input partition that is added while a session runs is read from its first record, also by a session that starts at
// the latest offset: nothing that was written to it before the session knew of it is passed over.
func TestFaultInputPartitionAdded(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	cfg := b.Config("a")
	cfg.Start = eos.StartLatest
	cfg.Client = []kgo.Opt{kgo.MetadataMaxAge(time.Second)}
	w := b.Work(b.Open(cfg))
	b.Eventually("every partition has a committed offset", func() bool { return len(b.Committed()) == bench.Partitions })
	b.Write(30)
	added, err := b.Adm.CreatePartitions(t.Context(), 1, b.In)
	require.NoError(t, err)
	require.NoError(t, added.Error())
	b.Eventually("the new partition is known", func() bool {
		topics, err := b.Adm.ListTopics(t.Context(), b.In)
		return err == nil && len(topics[b.In].Partitions) == bench.Partitions+1
	})
	const more = 50
	writer := b.Cluster.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for n := range int64(more) {
		value := []byte(bench.Record{Partition: bench.Partitions, Number: n}.String())
		require.NoError(t, writer.ProduceSync(t.Context(), &kgo.Record{Topic: b.In, Partition: bench.Partitions, Value: value}).FirstErr())
	}
	var got []string
	b.Eventually("the records of the added partition are there", func() bool {
		got = nil
		for _, r := range b.ReadOutput() {
			if from, ok := bench.ParseRecord(r.Value); ok && from.Partition == bench.Partitions {
				got = append(got, from.String())
			}
		}
		return len(got) >= more
	})
	var want []string
	for n := range more {
		want = append(want, fmt.Sprintf("%d %d", bench.Partitions, n))
	}
	require.Equal(t, want, got)
	w.Stop(t)
	require.Len(t, b.ReadOutput(), 30+more, "each record once")
}

// Partitions are added to the output while a session runs: it stops before any record goes by the new number, and says so; the next session
// goes on with the new number. With records that have keys and without.
func TestFaultOutputPartitionAdded(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	b.Write(30)
	cfg := b.Config("a")
	cfg.Client = []kgo.Opt{kgo.MetadataMaxAge(time.Second)}
	s := b.Open(cfg)
	require.Empty(t, b.Copy(s, 30))
	added, err := b.Adm.CreatePartitions(t.Context(), 2, b.Out)
	require.NoError(t, err)
	require.NoError(t, added.Error())
	ctx, cancel := context.WithTimeout(t.Context(), bench.Deadline)
	defer cancel()
	for err = nil; err == nil; { // every batch has records with keys and without
		b.Write(30)
		batch, polled := s.Poll(ctx)
		require.NoError(t, polled)
		for i, r := range batch.Records {
			r.Topic = b.Out
			if i%2 == 0 {
				r.Key = r.Value
			}
		}
		err = s.Commit(ctx, batch, slices.Values(batch.Records))
		if bench.Next(err) == eos.PollAgain {
			err = nil
		}
	}
	var changed *eos.PartitionsChangedError
	require.ErrorAs(t, err, &changed)
	require.Equal(t, &eos.PartitionsChangedError{Topic: b.Out, Was: bench.Partitions, Now: bench.Partitions + 2}, changed)
	require.Equal(t, eos.Stop, bench.Next(err))
	require.NoError(t, s.Close(t.Context()))
	for _, r := range b.ReadOutput() {
		require.Less(t, r.Partition, int32(bench.Partitions), "%s went by the new number", r.Value)
	}
	w := b.Work(b.Open(b.Config("a")))
	b.Eventually("every record is there", func() bool { return len(b.ReadOutput()) >= int(b.Written[0]+b.Written[1]+b.Written[2]) })
	w.Stop(t)
	got := map[string]int{}
	for _, r := range b.ReadOutput() {
		got[string(r.Value)]++
		require.Equal(t, 1, got[string(r.Value)], "%s is there twice", r.Value)
	}
	require.Len(t, got, int(b.Written[0]+b.Written[1]+b.Written[2]))
}

// recreate deletes a topic and makes it again, empty.
func recreate(b *bench.Bench, topic string) {
	b.T.Helper()
	before, err := b.Adm.ListTopics(b.T.Context(), topic)
	require.NoError(b.T, err)
	_, err = b.Adm.DeleteTopic(b.T.Context(), topic)
	require.NoError(b.T, err)
	b.Eventually("the topic is made again", func() bool {
		created, err := b.Adm.CreateTopic(b.T.Context(), bench.Partitions, 1, nil, topic)
		return err == nil && created.Err == nil
	})
	b.Plain = b.Cluster.Client(b.T, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	b.Adm = kadm.NewClient(b.Plain) // the former knows the topic that is gone
	b.Eventually("the brokers know the new topic, and serve it", func() bool {
		now, err := b.Adm.ListTopics(b.T.Context(), topic)
		if err != nil || now[topic].Err != nil || now[topic].ID == before[topic].ID {
			return false
		}
		ends, err := b.Adm.ListEndOffsets(b.T.Context(), topic)
		n := 0
		ends.Each(func(o kadm.ListedOffset) {
			if o.Err == nil && o.Offset == 0 {
				n++
			}
		})
		return err == nil && n == bench.Partitions
	})
	if topic == b.In {
		now, err := b.Adm.ListTopics(b.T.Context(), topic)
		require.NoError(b.T, err)
		b.InID = now[topic].ID
	}
}

// The input topic is deleted and made again while a session runs: the session stops and says that the topic is another
// one. It processes nothing of the new one.
func TestFaultInputRecreated(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	b.Write(30)
	s := b.Open(b.Config("a"))
	require.Empty(t, b.Copy(s, 30))
	recreate(b, b.In)
	b.Write(60)
	err := b.UntilError(s)
	require.ErrorIs(t, err, eos.ErrTopicChanged)
	require.Equal(t, eos.Stop, bench.Next(err))
	require.Len(t, b.ReadOutput(), 30, "nothing of the new topic is processed")
}

// The output topic is deleted and made again while a session runs, which stops and says so. What was in it is gone; what the
// next session commits is in the new one once.
func TestFaultOutputRecreated(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	b.Write(30)
	s := b.Open(b.Config("a"))
	require.Empty(t, b.Copy(s, 30))
	recreate(b, b.Out)
	for p := range int32(bench.Partitions) {
		for n := range int64(10) {
			b.Dropped[bench.Record{Partition: p, Number: n}] = true
		}
	}
	b.Write(60)
	err := b.UntilError(s)
	require.ErrorIs(t, err, eos.ErrTopicChanged)
	require.Equal(t, eos.Stop, bench.Next(err))
	require.NoError(t, s.Close(t.Context()))
	w := b.Work(b.Open(b.Config("a")))
	b.RequireOnce()
	w.Stop(t)
}

// The input topic is deleted and made again while no session runs. The group's coordinator, when it hears of it, deletes the group's offsets
// of the topic: with them goes what would tell the new topic from the old one, and a session begins as Start says, as for any topic. With
// StartNone it does not begin.
func TestFaultInputRecreatedBetweenRuns(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	b.Write(30)
	s := b.Open(b.Config("a"))
	require.Empty(t, b.Copy(s, 30))
	require.NoError(t, s.Close(t.Context()))
	require.Len(t, b.Committed(), bench.Partitions)
	recreate(b, b.In)
	b.Write(60)
	b.Eventually("the coordinator has deleted the offsets", func() bool { return len(b.Committed()) == 0 })
	cfg := b.Config("a")
	cfg.Start = eos.StartNone
	_, err := eos.Open(t.Context(), cfg)
	require.ErrorIs(t, err, eos.ErrNoOffset)
	s = b.Open(b.Config("a"))
	require.Empty(t, b.Copy(s, 60))
	b.RequireOnce()
}

// The same where the group's offsets outlive their topic: a coordinator that was down when the topic was deleted does not hear of it, and
// tools copy offsets with their metadata. The session does not open, and says why; when the offsets are set by hand, as kafka-consumer-groups
// does it, or deleted, the next one does.
func TestFaultOffsetsOfAnotherTopic(t *testing.T) {
	t.Parallel()
	for name, resolve := range map[string]func(b *bench.Bench){
		"set": func(b *bench.Bench) {
			var by kadm.Offsets
			for p := range int32(bench.Partitions) {
				by.AddOffset(b.In, p, 0, -1)
			}
			require.NoError(b.T, b.Adm.CommitAllOffsets(b.T.Context(), b.Group, by))
		},
		"deleted": func(b *bench.Bench) {
			deleted, err := b.Adm.DeleteOffsets(b.T.Context(), b.Group, kadm.TopicsSet{b.In: {0: {}, 1: {}, 2: {}}})
			require.NoError(b.T, err)
			require.NoError(b.T, deleted.Error())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bench.New(t)
			b.Write(30)
			s := b.Open(b.Config("a"))
			require.Empty(t, b.Copy(s, 30))
			require.NoError(t, s.Close(t.Context()))
			old, err := b.Adm.FetchOffsets(t.Context(), b.Group)
			require.NoError(t, err)
			recreate(b, b.In)
			b.Write(60)
			b.Eventually("the coordinator has deleted the offsets", func() bool { return len(b.Committed()) == 0 })
			require.NoError(t, b.Adm.CommitAllOffsets(t.Context(), b.Group, old.Offsets()))
			_, err = eos.Open(t.Context(), b.Config("a"))
			require.ErrorIs(t, err, eos.ErrTopicChanged)
			require.Equal(t, eos.Stop, bench.Next(err))
			require.Len(t, b.ReadOutput(), 30)
			resolve(b)
			s = b.Open(b.Config("a"))
			require.Empty(t, b.Copy(s, 60))
			b.RequireOnce()
		})
	}
}
