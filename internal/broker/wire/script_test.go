package wire

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/internal/broker/script"
	"github.com/eos-pipe/eos-pipe/trace"
)

// Each request has its answer, also where a line stands for several.
func TestParseScript(t *testing.T) {
	t.Parallel()
	s, err := parseScript("# About.\n\nneeds\nrestart\n----\n\nrun\ninit v5 A bind=P\nproduce v11 - @0|@1 P/0 seq=0|1 n=2\n----\nNONE P/0\nNONE 0 | NONE 2\n\nmodel\nsteps\n----\nnone\n")
	require.NoError(t, err)
	require.Equal(t, []Line{
		{"needs", "restart", ""},
		{"run", "init v5 A bind=P", "NONE P/0"},
		{"run", "produce v11 - @0 P/0 seq=0 n=2", "NONE 0"},
		{"run", "produce v11 - @1 P/0 seq=1 n=2", "NONE 2"},
		{"model", "steps", "none"},
	}, s.Lines)
	require.Equal(t, []string{"restart"}, s.Needs())
	require.Equal(t, []string{"A"}, Raises([]string{"init v5 A", "raise v5 A P/9", "raise"}))

	_, err = parseScript("run\ninit v5 A\n")
	require.ErrorContains(t, err, "no ----")
	_, err = parseScript("run\ninit v5 A\n----\nNONE P/0\nNONE P/1")
	require.ErrorContains(t, err, "1 requests and 2 answers")
}

// The scripts, read in this way too, are what the model answers: one request at a time.
func TestScriptsOnModel(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"traces", "tables"} {
		scripts, err := ReadScripts("../model/testdata/" + folder + "/*.txt")
		require.NoError(t, err)
		for _, s := range scripts {
			answers, out, err := s.Run(script.NewModel(model.DefaultRules(), "topic"), "topic")
			require.NoError(t, err)
			require.Empty(t, out)
			for _, a := range answers {
				require.Equal(t, a.Want, a.Got, "%s: %s", s.Name, a.Text)
			}
		}
	}
}

// A group's offsets lie in a partition of their own, as long as there are enough; its name stays the same.
func TestGroupsApart(t *testing.T) {
	t.Parallel()
	b := &Broker{Config: Config{Name: "x"}, groups: map[string]*group{}, offsetPartitions: 3}
	partitions := map[trace.Partition]bool{}
	for _, name := range []string{"g", "h", "k"} {
		p, err := b.OffsetsPartition(name)
		require.NoError(t, err)
		again, err := b.OffsetsPartition(name)
		require.NoError(t, err)
		require.Equal(t, p, again)
		partitions[p] = true
	}
	require.Len(t, partitions, 3)
	require.Empty(t, b.groupID(""))
}

// A raised id answers for the epochs up to where it is on the broker, and from there on the broker does.
func TestAnswerRaised(t *testing.T) {
	t.Parallel()
	b := &Broker{Config: Config{Raised: &RaisedIDs{name: "r", count: 1}, RaisesIDs: []string{"A", "B"}}, raising: map[string]*raising{}}
	q := model.InitProducerIDRequest{TxnID: trace.Some("A"), Expected: trace.NoProducer}
	for epoch := range int16(raisedEpoch + 1) {
		a, ok := b.answerRaised(q)
		require.True(t, ok)
		require.Equal(t, model.InitProducerIDAnswer{Producer: trace.Producer{ID: firstRaisedID, Epoch: epoch}}, a)
		q.Expected = a.Producer
	}
	_, ok := b.answerRaised(q)
	require.False(t, ok)
	require.Equal(t, "r-raised-0", b.txnID("A"))
	_, ok = b.answerRaised(model.InitProducerIDRequest{TxnID: trace.Some("B"), Expected: trace.NoProducer})
	require.False(t, ok, "there is no second one: each epoch is asked for")
}

// Ids are renamed both ways, with room for those that scripts make up.
func TestRenamedIDs(t *testing.T) {
	t.Parallel()
	r := newRenamedIDs()
	r.note(77_000_000_000)
	r.note(5)
	r.note(77_000_000_000)
	require.Equal(t, []int64{0, 1000, 9}, []int64{r.script(77_000_000_000), r.script(5), r.script(9)})
	require.Equal(t, []int64{77_000_000_000, 5, 1001}, []int64{r.broker(0), r.broker(1000), r.broker(1001)})
}

// Members of a KIP-848 group: epochs of the script keep their order among those of the coordinator.
func TestTranslateEpochs(t *testing.T) {
	t.Parallel()
	f := translateEpochs(model.Member{Epoch: 3, Assigned: []model.Assigned{{Epoch: 2}}}, 5, 9)
	require.Equal(t, []int32{4, 5, 9, 10}, []int32{f(1), f(2), f(3), f(4)})
}
