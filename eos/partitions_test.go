package eos_test

import (
	"context"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
)

// keyed hands the records of a batch on to topic out, with their values as keys.
func keyed(batch eos.Batch) iter.Seq[*kgo.Record] {
	return func(yield func(*kgo.Record) bool) {
		for _, r := range batch.Records {
			if !yield(&kgo.Record{Topic: "out", Key: r.Value, Value: r.Value}) {
				return
			}
		}
	}
}

// inAdded returns how many offsets the output's partitions from 3 on have.
func (b *testBench) inAdded() (n int64) {
	b.t.Helper()
	ends, err := b.adm.ListEndOffsets(b.t.Context(), "out")
	require.NoError(b.t, err)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Partition >= 3 {
			n += o.Offset
		}
	})
	return n
}

// repartition copies 30 records by cfg, adds partitions to the output, and copies until an error comes or the new partitions have records.
// It returns how many records it has written to the input, the first of which is first.
func (b *testBench) repartition(cfg eos.Config) (written int, err error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	cfg.Client = append(cfg.Client, kgo.MetadataMaxAge(100*time.Millisecond))
	s := b.open(cfg)
	for done := 0; ; {
		if done == written {
			b.produceFrom(written, 30)
			written += 30
		}
		batch, err := s.Poll(ctx)
		require.NoError(b.t, err)
		if err := s.Commit(ctx, batch, keyed(batch)); err != nil {
			require.NoError(b.t, s.Close(b.t.Context()))
			return written, err
		}
		if done += len(batch.Records); done == 30 {
			_, err := b.adm.UpdatePartitions(ctx, 6, "out")
			require.NoError(b.t, err)
		}
		if done > 30 && b.inAdded() > 0 {
			require.Empty(b.t, run(b.t, s, written-done))
			return written, nil
		}
	}
}

// F20. When partitions are added to the output the session stops before any record goes by the new number, and says so. Another session goes
// on with the new number: nothing is lost or doubled.
func TestOutputPartitionsAdded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	written, err := b.repartition(b.config())
	var changed *eos.PartitionsChangedError
	require.ErrorAs(t, err, &changed)
	require.Equal(t, &eos.PartitionsChangedError{Topic: "out", Was: 3, Now: 6}, changed)
	require.ErrorContains(t, err, "output topic out had 3 partitions when the session began and has 6 now")
	require.ErrorContains(t, err, "the batch is aborted")
	require.Equal(t, eos.Stop, nextOf(err))
	require.Zero(t, b.inAdded())
	before := len(b.output())
	require.Empty(t, run(t, b.open(b.config()), written-before))
	b.requireOnce(written)
}

// F20. Records without a key go by the number of partitions too: the records of an input partition would lose their order.
func TestOutputPartitionsAddedWithoutKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cfg := b.config()
	cfg.Client = []kgo.Opt{kgo.MetadataMaxAge(100 * time.Millisecond)}
	s := b.open(cfg)
	b.produce(3)
	require.Empty(t, run(t, s, 3))
	_, err := b.adm.UpdatePartitions(t.Context(), 6, "out")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for n := 3; err == nil; n += 3 {
		b.produceFrom(n, 3)
		for left := 3; left > 0 && err == nil; {
			batch, polled := s.Poll(ctx)
			require.NoError(t, polled)
			err = s.Commit(ctx, batch, copyOf(batch))
			left -= len(batch.Records)
		}
	}
	var changed *eos.PartitionsChangedError
	require.ErrorAs(t, err, &changed)
}

// F20. Where the order of keys is of no matter, or the user's own partitioner sees to it, the session goes on.
func TestOutputPartitionsMayBeAdded(t *testing.T) {
	t.Parallel()
	for name, allow := range map[string]func(*eos.Config){
		"unordered":       func(cfg *eos.Config) { cfg.Unordered = []string{"out"} },
		"own partitioner": func(cfg *eos.Config) { cfg.Client = []kgo.Opt{kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil))} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			cfg := b.config()
			allow(&cfg)
			written, err := b.repartition(cfg)
			require.NoError(t, err)
			b.requireOnce(written)
		})
	}
}

// tellOld answers requests for metadata of topic out, when when says so, as a broker would that has heard of three of its partitions. when is told
// how many topics a request asks for, and how many requests have been answered so.
func (b *testBench) tellOld(when func(topics, told int) bool) (told *int) {
	b.t.Helper()
	know, err := kmsg.NewPtrMetadataRequest().RequestWith(b.t.Context(), b.cl)
	require.NoError(b.t, err)
	told = new(int)
	b.ControlKey(kmsg.Metadata.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		req := kreq.(*kmsg.MetadataRequest)
		asked := map[string]bool{}
		for _, topic := range req.Topics {
			if topic.Topic != nil {
				asked[*topic.Topic] = true
			}
		}
		if !asked["out"] || !when(len(asked), *told) {
			return nil, nil, false
		}
		*told++
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		resp.Brokers, resp.ClusterID, resp.ControllerID = know.Brokers, know.ClusterID, know.ControllerID
		for _, topic := range know.Topics {
			if !asked[*topic.Topic] {
				continue
			}
			if *topic.Topic == "out" {
				topic.Partitions = slices.DeleteFunc(slices.Clone(topic.Partitions), func(p kmsg.MetadataResponseTopicPartition) bool { return p.Partition >= 3 })
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
	return told
}

// F20. Metadata that is old stops no session, and loses no record: neither the client's, nor what Open was told.
func TestOldMetadataOfTheOutput(t *testing.T) {
	t.Parallel()
	first := func(_, told int) bool { return told == 0 }
	widened := func(t *testing.T) *testBench {
		b := setup(t)
		_, err := b.adm.UpdatePartitions(t.Context(), 6, "out")
		require.NoError(t, err)
		b.produce(30)
		return b
	}
	copied := func(b *testBench, s *eos.Session) (failures []error) {
		for left := 30; left > 0; {
			batch, err := s.Poll(b.t.Context())
			require.NoError(b.t, err)
			if err := s.Commit(b.t.Context(), batch, keyed(batch)); err != nil {
				require.Equal(b.t, eos.PollAgain, nextOf(err), "%v", err)
				failures = append(failures, err)
				continue
			}
			left -= len(batch.Records)
		}
		require.Positive(b.t, b.inAdded())
		b.requireOnce(30)
		return failures
	}
	t.Run("the client's", func(t *testing.T) {
		t.Parallel()
		b := widened(t)
		s := b.open(b.config())
		told := b.tellOld(first)
		failures := copied(b, s)
		require.Equal(t, 1, *told)
		require.NotEmpty(t, failures)
		require.ErrorContains(t, failures[0], "do not agree how many partitions an output topic has; the session asks them again (out: 6 or 3)")
		b.produceFrom(30, 1)
		batch, err := s.Poll(t.Context())
		require.NoError(t, err)
		err = s.Commit(t.Context(), batch, slices.Values([]*kgo.Record{{Topic: "out", Value: make([]byte, 2<<20)}}))
		require.ErrorIs(t, err, kerr.MessageTooLarge, "what fails later, fails for its own reason")
	})
	t.Run("at open", func(t *testing.T) {
		t.Parallel()
		b := widened(t)
		told := b.tellOld(first)
		s := b.open(b.config())
		require.Equal(t, 1, *told)
		require.Empty(t, copied(b, s))
	})
}

// F20. A broker that does not know of the change yet when it is asked delays the stop, and nothing else.
func TestOldMetadataAboutAChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var aborting atomic.Bool
	// It is the session that asks for one: where the markers of the transaction before are, if a connection is made now, and how many partitions.
	told := b.tellOld(func(topics, _ int) bool { return topics == 1 && aborting.Load() })
	cfg := b.config()
	cfg.Observer.Transition = func(e eos.Transition) { aborting.Store(e.To == eos.Aborting) }
	_, err := b.repartition(cfg)
	require.ErrorContains(t, err, "do not agree how many partitions an output topic has; the session asks them again (out: 3 or 6)")
	require.Equal(t, eos.PollAgain, nextOf(err))
	require.Positive(t, *told)
	require.Zero(t, b.inAdded())
}
