package eostest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/trace"
)

// step is an event with the steps at which it was sent and answered.
type step struct {
	sent, done int64
	line       string
}

// steps makes items, each of a connection of its own.
func steps(t *testing.T, lines ...step) []item {
	var items []item
	for i, l := range lines {
		e, err := trace.Parse(l.line)
		require.NoError(t, err)
		items = append(items, item{event: e, sent: l.sent, done: l.done, conn: int64(i)})
	}
	return items
}

// A batch whose answer came behind that of the request by which its producer was fenced was appended before it, if the two overlap. If
// it was sent behind that answer, nothing explains it.
func TestOrderOfOverlapping(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		sent int64
		want int
	}{{"overlaps", 4, 0}, {"is sent after it", 7, 2}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			items := steps(t,
				step{1, 2, "init v=5 txn=x timeout_ms=1000 expected=-1/-1 -> NONE producer=7/0"},
				step{3, 5, "init v=5 txn=x timeout_ms=1000 expected=-1/-1 -> NONE producer=7/1"},
				step{c.sent, 8, "produce v=12 txn=x to=t-0 producer=7/0 transactional=true seq=0 count=1 time_ms=1 acks=-1 -> INVALID_PRODUCER_EPOCH offset=-1"},
				step{9, 10, "produce v=12 txn=x to=t-0 producer=7/1 transactional=true seq=0 count=1 time_ms=1 acks=-1 -> NONE offset=0"},
			)
			_, v := arrange(items, config{})
			require.Empty(t, v.findings, "refused is right in both orders")

			items[1].line(t, "init v=5 txn=x timeout_ms=1000 expected=-1/-1 -> CONCURRENT_TRANSACTIONS producer=-1/-1")
			items[2].line(t, "produce v=12 txn=x to=t-0 producer=7/0 transactional=true seq=0 count=1 time_ms=1 acks=-1 -> NONE offset=0")
			_, v = arrange(items[:3], config{})
			require.Len(t, v.findings, c.want)

			items[2].conn = items[1].conn
			_, v = arrange(items[:3], config{})
			require.Len(t, v.findings, 2, "on one connection nothing overtakes")
		})
	}
}

// A batch was appended, then its transaction was aborted by another who takes over, and told to come again; but that answer came first. It
// could also come of the transaction before, which has just ended, so that only the next answer is not explained.
func TestOrderOfEarlierOnes(t *testing.T) {
	t.Parallel()
	items := steps(t,
		step{1, 2, "init v=5 txn=x timeout_ms=1000 expected=-1/-1 -> NONE producer=7/0"},
		step{3, 4, "produce v=12 txn=x to=t-0 producer=7/0 transactional=true seq=0 count=1 time_ms=1 acks=-1 -> NONE offset=0"},
		step{5, 6, "end v=5 txn=x producer=7/0 commit=true -> NONE next=7/1"},
		step{8, 9, "init v=5 txn=x timeout_ms=1000 expected=-1/-1 -> CONCURRENT_TRANSACTIONS producer=-1/-1"},
		step{7, 10, "produce v=12 txn=x to=t-0 producer=7/1 transactional=true seq=0 count=1 time_ms=1 acks=-1 -> NONE offset=2"},
		step{11, 12, "end v=5 txn=x producer=7/1 commit=true -> INVALID_TXN_STATE next=-1/-1"},
	)
	require.Len(t, judge(items, config{}).findings, 1)
	ordered, v := arrange(items, config{})
	require.Empty(t, v.findings)
	require.Equal(t, items[4], ordered[3])
}

// The same, and the answers to both requests of the one who takes over came before those of the batches.
func TestOrderOfLaterOnes(t *testing.T) {
	t.Parallel()
	items := steps(t,
		step{1, 2, "init v=5 txn=x timeout_ms=1000 expected=-1/-1 -> NONE producer=7/0"},
		step{3, 4, "produce v=12 txn=x to=t-0 producer=7/0 transactional=true seq=0 count=1 time_ms=1 acks=-1 -> NONE offset=0"},
		step{5, 6, "end v=5 txn=x producer=7/0 commit=true -> NONE next=7/1"},
		step{9, 10, "init v=5 txn=x timeout_ms=1000 expected=-1/-1 -> CONCURRENT_TRANSACTIONS producer=-1/-1"},
		step{11, 12, "init v=5 txn=x timeout_ms=1000 expected=-1/-1 -> NONE producer=7/3"},
		step{7, 13, "produce v=12 txn=x to=t-0 producer=7/1 transactional=true seq=0 count=1 time_ms=1 acks=-1 -> NONE offset=2"},
		step{8, 14, "produce v=12 txn=x to=t-1 producer=7/1 transactional=true seq=0 count=1 time_ms=1 acks=-1 -> NONE offset=0"},
	)
	items[6].conn = items[5].conn
	ordered, v := arrange(items, config{})
	require.Empty(t, v.findings)
	require.Equal(t, []item{items[5], items[6], items[3], items[4]}, ordered[3:])
}

// A transaction that its coordinator has aborted for its time is known by the time that has passed: the producer that begins then gets the
// epoch behind the abort's.
func TestTimeoutIsSeen(t *testing.T) {
	t.Parallel()
	for passed, want := range map[int64]int{900: 1, 3000: 0} {
		items := steps(t,
			step{1, 2, "init v=5 txn=x timeout_ms=2000 expected=-1/-1 -> NONE producer=7/0"},
			step{3, 4, "produce v=12 txn=x to=t-0 producer=7/0 transactional=true seq=0 count=1 time_ms=1 acks=-1 -> NONE offset=0"},
			step{5, 6, "init v=5 txn=x timeout_ms=2000 expected=-1/-1 -> NONE producer=7/2"},
		)
		items[0].timeMs, items[1].timeMs, items[2].timeMs = 1000, 1500, 1500+passed
		_, v := arrange(items, config{})
		require.Len(t, v.findings, want, "after %d ms", passed)
	}
}

// A batch was sent, and its partition added to the transaction; then another took the id over and aborted that; then the batch was refused
// by its leader. Only the first half explains why the other's producer gets the epoch behind the abort's.
func TestHalfOfARefusedBatch(t *testing.T) {
	t.Parallel()
	for _, second := range []string{
		"produce v=12 txn=x to=t-0 producer=7/1 transactional=true seq=0 count=1 time_ms=1 acks=-1 -> INVALID_PRODUCER_EPOCH offset=-1",
		"offset-commit v=5 txn=x producer=7/1 group=g generation=1 member=m offsets=in-0:5 -> INVALID_PRODUCER_EPOCH",
	} {
		w := Watch(t)
		for _, s := range []step{
			{1, 2, "init v=5 txn=x timeout_ms=1000 expected=-1/-1 -> NONE producer=7/0"},
			{3, 4, "produce v=12 txn=x to=t-0 producer=7/0 transactional=true seq=0 count=1 time_ms=1 acks=-1 -> NONE offset=0"},
			{5, 6, "end v=5 txn=x producer=7/0 commit=true -> NONE next=7/1"},
			{8, 9, "init v=5 txn=x timeout_ms=1000 expected=-1/-1 -> CONCURRENT_TRANSACTIONS producer=-1/-1"},
			{7, 12, second},
			{13, 14, "init v=5 txn=x timeout_ms=1000 expected=-1/-1 -> NONE producer=7/3"},
		} {
			e, err := trace.Parse(s.line)
			require.NoError(t, err)
			w.seen = append(w.seen, &exchange{sent: s.sent, done: s.done, conn: s.sent, events: []trace.Event{e}})
		}
		items, v := arrange(w.items(), w.config)
		require.Empty(t, v.findings)
		require.Len(t, items, 7)
	}
}

func (i *item) line(t *testing.T, line string) {
	e, err := trace.Parse(line)
	require.NoError(t, err)
	i.event = e
}
