package validator_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/trace"
	"github.com/eos-pipe/eos-pipe/validator"
)

func newValidator(t *testing.T, c validator.Config) *validator.Validator {
	t.Helper()
	v, err := validator.New(c)
	require.NoError(t, err)
	return v
}

func parse(t *testing.T, line string) trace.Event {
	t.Helper()
	e, err := trace.Parse(line)
	require.NoError(t, err)
	return e
}

// Every version that is listed can be judged and answered for, with or without its patch number; others are refused by name.
func TestVersions(t *testing.T) {
	t.Parallel()
	require.Equal(t, "3.5", validator.Versions()[0])
	for _, version := range append(validator.Versions(), "4.3.1", "4.3 transaction.version=1", "kfake", "") {
		_, err := validator.New(validator.Config{Kafka: version})
		require.NoError(t, err, version)
		_, err = validator.NewBroker(validator.Config{Kafka: version})
		require.NoError(t, err, version)
	}
	for _, version := range []string{"3.4", "5.0", "new"} {
		_, err := validator.New(validator.Config{Kafka: version})
		require.ErrorContains(t, err, version)
		require.ErrorContains(t, err, "3.5, 3.6")
		_, err = validator.NewBroker(validator.Config{Kafka: version})
		require.ErrorContains(t, err, version)
	}
}

// On an upgraded cluster the coordinator aborts by the old protocol, which its marker tells.
func TestTransactionVersion(t *testing.T) {
	t.Parallel()
	for version, protocol := range map[string]int8{"4.4": 2, "4.4 transaction.version=2": 2, "4.4 transaction.version=1": 0, "3.9": 0} {
		b, err := validator.NewBroker(validator.Config{Kafka: version})
		require.NoError(t, err)
		b.CreateTopic("t", 1)
		begin := func() trace.InitProducerID {
			a, err := b.Answer(trace.InitProducerID{Version: 4, TxnID: trace.Some("a"), TimeoutMs: 1000, Expected: trace.NoProducer})
			require.NoError(t, err)
			return a.(trace.InitProducerID)
		}
		_, err = b.Answer(trace.AddPartitions{Version: 3, TxnID: "a", Producer: begin().Producer, Partitions: []trace.Partition{{Topic: "t"}}})
		require.NoError(t, err)
		require.Equal(t, trace.ConcurrentTransactions, begin().Code)
		require.Equal(t, protocol, b.Settle()[0].(trace.Marker).Protocol, version)
	}
	for _, version := range []string{"4.4 transaction.version=3", "4.4 transaction.version=", "4.4 group.version=1", "4.4 "} {
		_, err := validator.New(validator.Config{Kafka: version})
		require.ErrorContains(t, err, "transaction.version=0, 1 or 2", version)
	}
}

// The version decides: Kafka 3.5 closes the connection on a request that 4.4 answers.
func TestVersionDecides(t *testing.T) {
	t.Parallel()
	ask := trace.InitProducerID{Version: 5, TxnID: trace.Some("a"), TimeoutMs: 1000, Expected: trace.NoProducer}
	for version, code := range map[string]trace.Code{"3.5": trace.NoReply, "4.4": trace.None} {
		b, err := validator.NewBroker(validator.Config{Kafka: version})
		require.NoError(t, err)
		a, err := b.Answer(ask)
		require.NoError(t, err)
		require.Equal(t, code, a.(trace.InitProducerID).Code, version)
		require.Equal(t, a, parse(t, a.String()), "the answer has a text form")
		found := newValidator(t, validator.Config{Kafka: version}).Observe(parse(t, "init v=5 timeout_ms=1 expected=-1/-1 -> NONE producer=7/0"))
		require.Equal(t, code == trace.NoReply, len(found) > 0, version)
	}
}

// A trace of clients may begin on a cluster in use; one with steps begins with the cluster.
func TestTracesBeginMidway(t *testing.T) {
	t.Parallel()
	late := parse(t, "produce v=12 to=t-0 producer=7/0 transactional=false seq=9 count=1 time_ms=1 acks=-1 -> NONE offset=500")
	require.Empty(t, newValidator(t, validator.Config{}).Observe(late))
	found := newValidator(t, validator.Config{HasSteps: true}).Observe(late)
	require.Len(t, found, 1)
	require.Equal(t, "offset", found[0].Class)
	require.True(t, found[0].IsCertain)
	require.Equal(t, late, found[0].Event)
	require.Equal(t, "event 1: offset: expected NONE offset=0; rule: "+found[0].Rule+" ["+found[0].Source+"]; seen: "+late.String(), found[0].String())
}

// Equal contents are found unless they are to be ignored.
func TestContents(t *testing.T) {
	t.Parallel()
	const twice = `produce v=12 to=t-0 producer=7/0 transactional=false seq=0 count=1 time_ms=1 digest=a acks=-1 -> NONE offset=0
produce v=12 to=t-0 producer=7/0 transactional=false seq=1 count=1 time_ms=1 digest=a acks=-1 -> NONE offset=1`
	for ignored, want := range map[bool]int{false: 1, true: 0} {
		var found []validator.Finding
		v := newValidator(t, validator.Config{IgnoresContents: ignored})
		for line := range strings.SplitSeq(twice, "\n") {
			found = append(found, v.Observe(parse(t, line))...)
		}
		require.Len(t, found, want)
		for _, f := range found {
			require.Equal(t, validator.SentTwice, f.Class)
		}
	}
}

// A transaction without a marker where the log ends hangs once it is old enough; in a trace of requests nobody can tell.
func TestOpen(t *testing.T) {
	t.Parallel()
	const log = `time now_ms=61000
log of=t-0 start=0 compacted=false
produce v=0 to=t-0 producer=7/2 transactional=true seq=0 count=1 time_ms=1000 acks=0 -> NONE offset=0`
	for after, class := range map[time.Duration]string{time.Minute: "hanging transaction", time.Hour: validator.OpenTransaction} {
		v := newValidator(t, validator.Config{IsLog: true})
		for line := range strings.SplitSeq(log, "\n") {
			require.Empty(t, v.Observe(parse(t, line)))
		}
		open := v.Open(after)
		require.Len(t, open, 1)
		require.Equal(t, class, open[0].Class)
		require.Nil(t, open[0].Event)
		require.Equal(t, "a marker in t-0 for the transaction of producer 7/2 that is open since offset 0, 1m0s ago by the time of its last record", open[0].Expected)
		require.Contains(t, open[0].String(), "event 3: "+class+": expected a marker in t-0")
		require.Contains(t, open[0].String(), "; seen: the end of the log")
	}
	require.Empty(t, newValidator(t, validator.Config{}).Open(0))
}

// Whatever a broker answers, and does by itself, a validator finds nothing in it; and every event has a text form.
func TestBrokerKeepsTheRules(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"3.9", "4.1", "4.4"} {
		for seed := range uint64(40) {
			h := newPlay(t, version, seed)
			for range 60 {
				h.next()
			}
			require.Positive(t, h.accepted)
		}
	}
}

// play is a random history of two transactional ids on one topic.
type play struct {
	t         *testing.T
	random    *rand.Rand
	broker    *validator.Broker
	validator *validator.Validator
	producers map[string]trace.Producer
	sequences map[trace.Producer]int32
	isOld     bool // clients of the old protocol
	accepted  int
	nowMs     int64
}

func newPlay(t *testing.T, version string, seed uint64) *play {
	c := validator.Config{Kafka: version, HasSteps: true, IgnoresContents: true}
	b, err := validator.NewBroker(c)
	require.NoError(t, err)
	b.CreateTopic("t", 1)
	return &play{
		t: t, random: rand.New(rand.NewPCG(seed, 0)), broker: b, validator: newValidator(t, c), isOld: version < "4",
		producers: map[string]trace.Producer{"a": trace.NoProducer, "b": trace.NoProducer}, sequences: map[trace.Producer]int32{},
	}
}

// next plays one request, or what the broker does by itself.
func (h *play) next() {
	id := []string{"a", "b"}[h.random.IntN(2)]
	p := h.producers[id]
	initVersion, produceVersion, endVersion, offsetsVersion := int16(5), int16(12), int16(5), int16(5)
	if h.isOld {
		initVersion, produceVersion, endVersion, offsetsVersion = 5, 10, 3, 3
	}
	partition := trace.Partition{Topic: "t"}
	switch n := h.random.IntN(10); {
	case p == trace.NoProducer, n == 0:
		if a := h.ask(trace.InitProducerID{Version: initVersion, TxnID: trace.Some(id), TimeoutMs: 1000, Expected: trace.NoProducer}).(trace.InitProducerID); a.Code == trace.None {
			h.producers[id] = a.Producer
		}
	case n < 3:
		h.ask(trace.AddPartitions{Version: 3, TxnID: id, Producer: p, Partitions: []trace.Partition{partition}})
	case n < 6:
		e := trace.Produce{
			Version: produceVersion, TxnID: trace.Some(id), Partition: partition, Producer: p, Transactional: true, BaseSequence: h.sequences[p], Count: 1, Acks: -1,
		}
		e.BaseSequence += h.random.Int32N(2) * h.random.Int32N(3) // mostly right
		if a := h.ask(e).(trace.Produce); a.Code == trace.None && e.BaseSequence == h.sequences[p] {
			h.sequences[p]++
		}
	case n < 7:
		h.ask(trace.OffsetCommit{
			Version: offsetsVersion, TxnID: trace.Some(id), Producer: p, Group: "g", Generation: -1,
			Offsets: []trace.PartitionOffset{{Partition: partition, Offset: h.random.Int64N(9)}},
		})
		h.ask(trace.OffsetFetch{Version: 7, Group: "g", Partition: partition, IsStable: h.random.IntN(2) == 0})
	case n < 9:
		if a := h.ask(trace.EndTxn{Version: endVersion, TxnID: id, Producer: p, Commit: h.random.IntN(2) == 0}).(trace.EndTxn); a.Code == trace.None && !h.isOld {
			h.producers[id] = a.Next
		}
	default:
		h.nowMs += h.random.Int64N(700)
		h.ask([]trace.Event{trace.Time{NowMs: h.nowMs}, trace.Reload{}, trace.Restart{Partition: partition}}[h.random.IntN(3)])
		for _, e := range h.broker.Settle() {
			h.observe(e)
		}
		h.ask(trace.Fetch{Partition: partition, ReadCommitted: h.random.IntN(2) == 0})
	}
}

func (h *play) ask(e trace.Event) trace.Event {
	a, err := h.broker.Answer(e)
	require.NoError(h.t, err)
	h.observe(a)
	h.accepted++
	return a
}

func (h *play) observe(e trace.Event) {
	require.Equal(h.t, e.String(), parse(h.t, e.String()).String())
	require.Empty(h.t, h.validator.Observe(e), e.String())
}

// What is no request is refused, and so is a restart of what is not there.
func TestAnswerRefuses(t *testing.T) {
	t.Parallel()
	b, err := validator.NewBroker(validator.Config{})
	require.NoError(t, err)
	for e, want := range map[trace.Event]string{
		trace.Marker{}: "Broker.Settle", trace.Complete{}: "Broker.Settle", trace.Drop{}: "Broker.Settle", trace.Log{}: "Broker.Settle",
		trace.Restart{Partition: trace.Partition{Topic: "t"}}: "t-0 does not exist",
	} {
		_, err := b.Answer(e)
		require.ErrorContains(t, err, want)
	}
	require.Equal(t, "__consumer_offsets", b.OffsetsPartition("g").Topic)
}

// A transaction that has timed out is aborted by Settle, and its producer is fenced.
func TestSettleAbortsWhatTimedOut(t *testing.T) {
	t.Parallel()
	b, err := validator.NewBroker(validator.Config{})
	require.NoError(t, err)
	b.CreateTopic("t", 1)
	ask := func(e trace.Event) trace.Event {
		a, err := b.Answer(e)
		require.NoError(t, err)
		return a
	}
	p := ask(trace.InitProducerID{Version: 5, TxnID: trace.Some("a"), TimeoutMs: 1000, Expected: trace.NoProducer}).(trace.InitProducerID).Producer
	batch := trace.Produce{Version: 12, TxnID: trace.Some("a"), Partition: trace.Partition{Topic: "t"}, Producer: p, Transactional: true, Count: 1, Acks: -1}
	require.Zero(t, ask(batch).(trace.Produce).Code)
	require.Empty(t, b.Settle())
	ask(trace.Time{NowMs: 1001})
	done := b.Settle()
	require.Len(t, done, 2)
	require.False(t, done[0].(trace.Marker).Commit)
	require.Equal(t, trace.Complete{TxnID: "a"}, done[1])
	batch.BaseSequence = 1
	require.Equal(t, trace.InvalidProducerEpoch, ask(batch).(trace.Produce).Code)
}

// A simulation is what its configuration says, which it returns with all that was left out; the same gives the same again.
func TestSimulate(t *testing.T) {
	t.Parallel()
	r, err := validator.Simulate(validator.SimConfig{Seed: 3, Faults: "default"})
	require.NoError(t, err)
	want := validator.DefaultSim()
	want.Seed = 3
	require.Equal(t, want, r.Config)
	require.Positive(t, r.In)
	require.NotEmpty(t, r.Injected)

	again, err := validator.Simulate(validator.SimConfig{Seed: 3, Only: r.Injected})
	require.NoError(t, err)
	require.Equal(t, r.Injected, again.Config.Only)
	require.Equal(t, []int{r.In, r.Out, r.Events, r.Commits, r.Aborts}, []int{again.In, again.Out, again.Events, again.Commits, again.Aborts})

	calm, err := validator.Simulate(validator.SimConfig{Steps: 500, Only: []string{}})
	require.NoError(t, err)
	require.Empty(t, calm.Injected)
	require.NotNil(t, calm.Config.Only)
}

// A broken promise is counted and told, and what happened is written down in three forms.
func TestSimulateFindsPlanted(t *testing.T) {
	t.Parallel()
	r, err := validator.Simulate(validator.SimConfig{Faults: "default", Plant: "stable-offset-ahead"})
	require.NoError(t, err)
	require.Positive(t, r.Torn)
	require.Contains(t, r.Findings[0].String(), "torn transaction: of the transaction of producer")
	var story, page, history bytes.Buffer
	require.NoError(t, r.Explain(&story))
	require.NoError(t, r.WriteHTML(&page))
	require.NoError(t, r.WriteTrace(&history))
	require.Contains(t, story.String(), "In the end: torn transaction")
	require.True(t, strings.HasSuffix(page.String(), "</html>\n"))
	for _, err := range trace.Read(&history) {
		require.NoError(t, err)
	}
}

// What makes no sense is refused before anything is played, by its name.
func TestSimConfigCheck(t *testing.T) {
	t.Parallel()
	require.NoError(t, validator.SimConfig{}.Check())
	require.NoError(t, validator.DefaultSim().Check())
	for want, c := range map[string]validator.SimConfig{
		"twice":      {Mode: "twice"},
		"drop-all":   {Faults: "drop-all=1"},
		"app-a":      {Only: []string{"crash@app-a"}},
		"no-rule":    {Plant: "duplicate-appended,no-rule"},
		"fewer than": {Steps: -1},
	} {
		require.ErrorContains(t, c.Check(), want)
		_, err := validator.Simulate(c)
		require.ErrorContains(t, err, want)
	}
}
