package trace_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/eos-pipe/eos-pipe/trace"
)

// samples shows every kind of event as its line, with and without a reply.
var samples = []struct {
	event trace.Event
	line  string
}{
	{
		trace.InitProducerID{Client: "a", Version: 5, TxnID: trace.Some("billing"), TimeoutMs: 60000, Expected: trace.NoProducer, Producer: trace.Producer{ID: 7}},
		`init client=a v=5 txn=billing timeout_ms=60000 expected=-1/-1 -> NONE producer=7/0`,
	},
	{
		trace.InitProducerID{Version: 5, TxnID: trace.Some(""), Expected: trace.NoProducer, Code: trace.NoReply},
		`init v=5 txn="" timeout_ms=0 expected=-1/-1 -> ?`,
	},
	{
		trace.Produce{
			Client: "a b", Version: 12, TxnID: trace.Some("x=\"y\""), Partition: trace.Partition{Topic: "orders-eu", Number: 3}, Producer: trace.Producer{ID: 7, Epoch: 1},
			Transactional: true, BaseSequence: 4, Count: 2, TimeMs: 1000, Digest: 0xbeef, Acks: -1, BaseOffset: 12,
		},
		`produce client="a b" v=12 txn="x=\"y\"" to=orders-eu-3 producer=7/1 transactional=true seq=4 count=2 time_ms=1000 digest=beef acks=-1 -> NONE offset=12`,
	},
	{
		trace.Produce{Version: 11, Partition: trace.Partition{Topic: "t"}, Producer: trace.Producer{ID: 7}, Code: trace.OutOfOrderSequenceNumber, BaseOffset: -1},
		`produce v=11 to=t-0 producer=7/0 transactional=false seq=0 count=0 time_ms=0 acks=0 -> OUT_OF_ORDER_SEQUENCE_NUMBER offset=-1`,
	},
	{
		trace.AddPartitions{Version: 3, TxnID: "A", Partitions: []trace.Partition{{Topic: "t"}, {Topic: "t", Number: 9}}, Codes: []trace.Code{trace.OperationNotAttempted, trace.UnknownTopicOrPartition}},
		`add-partitions v=3 txn=A producer=0/0 partitions=t-0,t-9 -> OPERATION_NOT_ATTEMPTED,UNKNOWN_TOPIC_OR_PARTITION`,
	},
	{trace.AddPartitions{TxnID: "A", Partitions: []trace.Partition{}}, `add-partitions v=0 txn=A producer=0/0 partitions=[] -> ?`},
	{trace.AddOffsets{TxnID: "A", Group: "g", Code: 999}, `add-offsets v=0 txn=A producer=0/0 group=g -> 999`},
	{
		trace.OffsetCommit{
			Version: 5, TxnID: trace.Some("A"), Group: "g", Generation: -1, Instance: trace.Some("i1"),
			Offsets: []trace.PartitionOffset{{Partition: trace.Partition{Topic: "t"}, Offset: 42}}, Codes: []trace.Code{trace.None},
		},
		`offset-commit v=5 txn=A producer=0/0 group=g generation=-1 member="" instance=i1 offsets=t-0:42 -> NONE`,
	},
	{trace.OffsetFetch{Version: 7, Group: "g", Partition: trace.Partition{Topic: "t"}, IsStable: true, Code: trace.UnstableOffsetCommit, Offset: -1}, `offset-fetch v=7 group=g of=t-0 stable=true -> UNSTABLE_OFFSET_COMMIT offset=-1`},
	{trace.EndTxn{Version: 5, TxnID: "A", Producer: trace.Producer{ID: 1}, Commit: true, Next: trace.Producer{ID: 1, Epoch: 1}}, `end v=5 txn=A producer=1/0 commit=true -> NONE next=1/1`},
	{trace.Marker{Partition: trace.Partition{Topic: "t"}, Producer: trace.Producer{ID: 1, Epoch: 1}, Protocol: 2, Offset: 3}, `marker to=t-0 producer=1/1 commit=false coordinator=0 protocol=2 -> NONE offset=3`},
	{trace.Complete{TxnID: "A"}, `complete txn=A`},
	{trace.Drop{TxnID: "A", Partition: trace.Partition{Topic: "t"}}, `drop txn=A from=t-0`},
	{
		trace.Fetch{Partition: trace.Partition{Topic: "t"}, ReadCommitted: true, HighWatermark: 5, LastStableOffset: 1, Aborted: []trace.Aborted{{ProducerID: 7, FirstOffset: 2}}, Delivered: []int64{0, 4}, Next: 5},
		`fetch of=t-0 from=0 committed=true -> NONE hw=5 lso=1 aborted=7@2 delivered=0,4 next=5`,
	},
	{trace.Log{Partition: trace.Partition{Topic: "t"}, StartOffset: 5, IsCompacted: true}, `log of=t-0 start=5 compacted=true`},
	{trace.Time{NowMs: 1000}, `time now_ms=1000`},
	{trace.Restart{Partition: trace.Partition{Topic: "t"}}, `restart of=t-0`},
	{trace.Reload{}, `reload`},
}

// The text of every kind, as a reader of a trace sees it.
func TestLines(t *testing.T) {
	t.Parallel()
	for _, s := range samples {
		require.Equal(t, s.line, s.event.String())
		read, err := trace.Parse(s.line)
		require.NoError(t, err, s.line)
		require.Equal(t, s.event, read)
	}
}

// Fields may stand in any order on their side of the arrow.
func TestParseTakesAnyOrder(t *testing.T) {
	t.Parallel()
	e, err := trace.Parse("  end  commit=true producer=1/0 txn=A v=5  -> next=1/1  NONE ")
	require.NoError(t, err)
	require.Equal(t, `end v=5 txn=A producer=1/0 commit=true -> NONE next=1/1`, e.String())
}

// A line that is not an event is refused, and the error says what is wrong with it.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		``:                                       `no kind of event is called ""`,
		`commit txn=A`:                           `no kind of event is called "commit"`,
		`complete`:                               `txn is missing`,
		`complete txn=A x=1`:                     `"x=1" is not a field here, or is given twice`,
		`complete txn=A txn=A`:                   `"txn=A" is not a field here, or is given twice`,
		`complete txn="A`:                        `txn: the quote does not end`,
		`time now_ms=x`:                          `now_ms: strconv.ParseInt`,
		`restart of=t`:                           `of: partition "t": write <topic>-<number>`,
		`restart of=t-01`:                        `no whole number behind the last dash`,
		`end v=5 txn=A producer=1/0 commit=true`: `no reply`,
		`end v=5 txn=A producer=1/0 commit=true -> NONE`:                                  `next is missing`,
		`end v=5 txn=A producer=1/0 commit=true -> ? next=1/1`:                            `"next=1/1" is not a field here`,
		`end v=5 txn=A producer=1/0 commit=true -> NOTHING next=1/1`:                      `error code "NOTHING"`,
		`end v=70000 txn=A producer=1/0 commit=true -> ?`:                                 `v: 70000 is out of range`,
		`end v=5 txn=A producer=1 commit=true -> ?`:                                       `producer: producer "1": write <id>/<epoch>`,
		`marker to=t-0 producer=1/1 commit=no coordinator=0 protocol=2 -> NONE offset=30`: `commit: strconv.ParseBool`,
	} {
		_, err := trace.Parse(line)
		require.ErrorContains(t, err, want, line)
	}
}

// A trace is read line by line; comments and empty lines are passed over, and an error says where it is.
func TestRead(t *testing.T) {
	t.Parallel()
	var got []string
	for e, err := range trace.Read(strings.NewReader("# a comment\n\ntime now_ms=5\n  complete txn=A\nnonsense\nreload\n")) {
		if err != nil {
			require.ErrorContains(t, err, "line 5:")
			break
		}
		got = append(got, e.String())
	}
	require.Equal(t, []string{"time now_ms=5", "complete txn=A"}, got)
}

// Names of codes are Kafka's, each once; a number that is not listed is its own name.
func TestCodes(t *testing.T) {
	t.Parallel()
	for code := trace.Code(-2); code < 200; code++ {
		read, err := trace.ParseCode(code.String())
		require.NoError(t, err)
		require.Equal(t, code, read)
	}
	require.Equal(t, "OUT_OF_ORDER_SEQUENCE_NUMBER", trace.Code(45).String())
	require.Equal(t, "199", trace.Code(199).String())
}

// parse ∘ format is the identity on events with any strings and numbers. A failure prints the seed that repeats it.
func TestParseFormatIdentity(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t)
		line := e.String()
		require.NotContains(t, line, "\n")
		read, err := trace.Parse(line)
		require.NoError(t, err, line)
		require.Equal(t, e, read)
	})
}

// format ∘ parse leaves the text of any line that can be read as it would be written: what was read and written once does
// not change any more.
func FuzzParse(f *testing.F) {
	for _, s := range samples {
		f.Add(s.line)
	}
	f.Add(`complete txn="\xff\n"`)
	f.Add(`end v=5 txn=-> producer=1/0 commit=1 -> -32768`)
	f.Fuzz(func(t *testing.T, text string) {
		e, err := trace.Parse(text)
		if err != nil {
			return
		}
		again, err := trace.Parse(e.String())
		require.NoError(t, err, "%q was read, its own form %q was not", text, e)
		require.Equal(t, e, again)
	})
}
