package eos_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// marked returns the group's offsets with their metadata.
func (b *testBench) marked() kadm.Offsets {
	b.t.Helper()
	resp, err := b.adm.FetchOffsets(b.t.Context(), "g")
	require.NoError(b.t, err)
	require.NotEmpty(b.t, resp)
	return resp.Offsets()
}

// replaceInput deletes topic in and makes it again.
func (b *testBench) replaceInput() {
	b.t.Helper()
	_, err := b.adm.DeleteTopic(b.t.Context(), "in")
	require.NoError(b.t, err)
	_, err = b.adm.CreateTopic(b.t.Context(), 3, 1, nil, "in")
	require.NoError(b.t, err)
	b.cl, err = kgo.NewClient(b.cl.Opts()...) // the former knows the topic that is gone
	require.NoError(b.t, err)
	b.t.Cleanup(b.cl.Close)
	b.adm = kadm.NewClient(b.cl)
}

// recreate deletes topic in and makes it again, and has the group keep its offsets: so it is where the group's coordinator does not hear of it.
func (b *testBench) recreate() {
	b.t.Helper()
	was := b.marked()
	b.replaceInput()
	require.NoError(b.t, b.adm.CommitAllOffsets(b.t.Context(), "g", was))
}

// life copies n records with one session, and closes it.
func (b *testBench) life(cfg eos.Config, n int) {
	b.t.Helper()
	s := b.open(cfg)
	require.Empty(b.t, run(b.t, s, n))
	require.NoError(b.t, s.Close(b.t.Context()))
}

// F21. An input that was deleted and created again since the group committed its offsets is another topic: Open says so, and nothing of it is
// read, neither from the old offset nor from its start. When the offsets are set, or deleted, they count.
func TestRecreatedInputIsRefused(t *testing.T) {
	for name, resolve := range map[string]func(b *testBench) error{
		"set": func(b *testBench) error {
			var by kadm.Offsets
			for p := range int32(3) {
				by.AddOffset("in", p, 0, -1)
			}
			return b.adm.CommitAllOffsets(b.t.Context(), "g", by)
		},
		"deleted": func(b *testBench) error {
			_, err := b.adm.DeleteOffsets(b.t.Context(), "g", kadm.TopicsSet{"in": {0: {}, 1: {}, 2: {}}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.produce(30)
			b.life(b.config(), 30)
			b.recreate()
			b.produceFrom(30, 60)
			for range 2 {
				_, err := eos.Open(t.Context(), b.config())
				require.ErrorIs(t, err, eos.ErrTopicChanged)
				require.ErrorContains(t, err, "group g has committed in-0=10 of the topic with id ")
				require.Equal(t, eos.Stop, nextOf(err))
			}
			b.requireOnce(30)
			require.NoError(t, resolve(b))
			b.life(b.config(), 60)
			b.requireOnce(90)
			b.produceFrom(90, 3)
			b.life(b.config(), 3)
		})
	}
}

// F21. Offsets of another topic are refused also where they come after Open has looked, before the session is assigned their partitions.
func TestRecreatedInputAtAssignment(t *testing.T) {
	b := setup(t)
	b.produce(30)
	b.life(b.config(), 30)
	old := b.marked()
	b.recreate()
	b.produceFrom(30, 60)
	_, err := b.adm.DeleteOffsets(t.Context(), "g", kadm.TopicsSet{"in": {0: {}, 1: {}, 2: {}}})
	require.NoError(t, err)
	cfg, tap := b.tapped()
	late := tap.Add(wiretap.Rule{API: kmsg.InitProducerID, Action: wiretap.CallOnRequest, Call: func(wiretap.Event) {
		_ = b.adm.CommitAllOffsets(t.Context(), "g", old)
	}})
	s := b.open(cfg)
	require.Equal(t, 1, late.Hits())
	_, err = s.Poll(t.Context())
	require.ErrorIs(t, err, eos.ErrTopicChanged)
	require.Equal(t, eos.Stop, nextOf(err))
	b.requireOnce(30)
}

// F21. A session that takes a new client does not go over to another topic with it.
func TestRecreatedInputBetweenClients(t *testing.T) {
	b := setup(t)
	b.produce(30)
	s := b.open(b.config())
	batch, err := s.Poll(t.Context())
	require.NoError(t, err)
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.InvalidTxnState})
	b.replaceInput()
	_ = s.Commit(t.Context(), batch, copyOf(batch))
	b.produce(30)
	err = untilError(t, s)
	require.ErrorIs(t, err, eos.ErrTopicChanged)
	require.Equal(t, eos.Stop, nextOf(err))
	require.ErrorContains(t, err, "in had the id ")
	require.Empty(t, b.output())
}

// The offsets of older sessions, whose marks have no id, and of brokers that know no ids are taken as they are. A mark is short, however long the
// transactional id is.
func TestMarks(t *testing.T) {
	t.Run("old", func(t *testing.T) {
		b := setup(t)
		b.produce(30)
		b.life(b.config(), 30)
		old := kadm.Offsets{}
		b.marked().Each(func(o kadm.Offset) {
			require.Regexp(t, `^g-a-0/[0-9]+/[0-9]+/[0-9]+/[A-Za-z0-9_-]{22}$`, o.Metadata)
			o.Metadata = o.Metadata[:strings.LastIndex(o.Metadata, "/")]
			old.Add(o)
		})
		require.NoError(t, b.adm.CommitAllOffsets(t.Context(), "g", old))
		b.produceFrom(30, 3)
		b.life(b.config(), 3)
		b.requireOnce(33)
	})
	t.Run("without ids", func(t *testing.T) {
		b := setup(t, kfake.MaxVersions(kversion.V2_7_0()))
		b.produce(30)
		b.life(b.config(), 30)
		b.marked().Each(func(o kadm.Offset) { require.Regexp(t, `^g-a-0/[0-9]+/[0-9]+/[0-9]+$`, o.Metadata) })
		b.produceFrom(30, 3)
		b.life(b.config(), 3)
		b.requireOnce(33)
	})
	t.Run("long", func(t *testing.T) {
		b := setup(t)
		b.produce(30)
		cfg := b.config()
		cfg.TransactionalID, cfg.InstanceID = strings.Repeat("long", 1500), "i"
		b.life(cfg, 30)
		b.marked().Each(func(o kadm.Offset) { require.Less(t, len(o.Metadata), 200) })
		b.produceFrom(30, 3)
		b.life(cfg, 3)
		b.requireOnce(33)
	})
}
