package isolation_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/isolation"
)

// The files in testdata fetch, and take what is stable. What is fetched is written as "<offset> <what>" for each record, where what is
// "-" (of no transaction), a producer ("p1"), or how its marker ends its transaction ("p1:commit", "p1:abort").
// `go test ./internal/isolation -run TestQueue -rewrite` writes the answers anew; review them as a change.
func TestQueue(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var q isolation.Queue
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			switch d.Cmd {
			case "push": // lso=<the last stable offset of the answer>
				lso := 0
				d.ScanArgs(t, "lso", &lso)
				for _, a := range q.Push(parse(t, d.Input), int64(lso)) {
					fmt.Fprintf(&out, "p%d was aborted: %d records from %d to %d are left out\n", a.ProducerID, a.Records, a.First, a.Last)
				}
			case "take": // n=<at most>
				n := 0
				d.ScanArgs(t, "n", &n)
				fmt.Fprintln(&out, "taken:", offsetsOf(q.Take(n)))
			case "trust":
				q.Trust()
			default:
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			first := "none"
			if r := q.First(); r != nil {
				first = strconv.FormatInt(r.Offset, 10)
			}
			fmt.Fprintf(&out, "%d of %d are stable; first %s, end %d\n", q.Decided(), q.Len(), first, q.End())
			require.InDelta(t, int64(q.Len())*isolation.RecordBytes, q.Bytes(), float64(4*q.Len()), "markers have a key of 4 bytes")
			return out.String()
		})
	})
}

func parse(t *testing.T, text string) (records []*kgo.Record) {
	t.Helper()
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		offset, err := strconv.ParseInt(words[0], 10, 64)
		require.NoError(t, err)
		r := &kgo.Record{Offset: offset, ProducerID: -1}
		if words[1] != "-" {
			producer, end, control := strings.Cut(words[1], ":")
			_, err := fmt.Sscanf(producer, "p%d", &r.ProducerID)
			require.NoError(t, err)
			r.Attrs = kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Transactional: true, Control: control})
			if control {
				r.Key = []byte{0, 0, 0, map[string]byte{"abort": 0, "commit": 1, "other": 7}[end]}
			}
		}
		records = append(records, r)
	}
	return records
}

func offsetsOf(records []*kgo.Record) (all []int64) {
	for _, r := range records {
		all = append(all, r.Offset)
	}
	return all
}

// What is taken is not kept by what stays, and what stays is not changed by who has what was taken.
func TestQueueLetsGo(t *testing.T) {
	t.Parallel()
	var q isolation.Queue
	fetched := parse(t, "0 -\n1 -\n2 p1\n3 -")
	q.Push(fetched, 10)
	taken := q.Take(10)
	require.Equal(t, []int64{0, 1}, offsetsOf(taken))
	require.Equal(t, []*kgo.Record{nil, nil}, fetched[:2])
	_ = append(taken, nil, nil)
	clear(taken)
	q.Push(parse(t, "4 p1:commit"), 10)
	require.Equal(t, []int64{2, 3, 4}, offsetsOf(q.Take(10)))
}

// A queue that is at rest costs nothing for each record: what is fetched is what is taken.
func TestQueueDoesNotCopy(t *testing.T) {
	fetched := parse(t, "0 p1\n1 p1\n2 p1:commit")
	var q isolation.Queue
	q.Push(fetched, 3)
	q.Take(3)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		q.Push(fetched, 3)
		if n := len(q.Take(3)); n != 3 {
			t.Errorf("%d records are taken", n)
		}
	}), 0.0)
}
