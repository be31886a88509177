package isolation_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/isolation"
)

// Each partition waits for its own markers, and what is left out is told with its partition.
func TestReader(t *testing.T) {
	t.Parallel()
	var told []string
	r := isolation.Reader{Unlisted: func(topic string, partition int32, a isolation.Aborted) {
		told = append(told, fmt.Sprintf("%s-%d %+v", topic, partition, a))
	}}
	fetched := func(first, second string) kgo.Fetches {
		return kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: "in", Partitions: []kgo.FetchPartition{
			{Partition: 0, Records: parse(t, first), LastStableOffset: 100}, {Partition: 1, Records: parse(t, second), LastStableOffset: 100},
		}}}}}
	}
	require.Equal(t, []int64{0, 5}, offsetsOf(r.Records(fetched("0 -\n1 p1", "5 -\n6 p1\n7 p2"))))
	require.Equal(t, []int64{1, 2}, offsetsOf(r.Records(fetched("2 p1:commit", "8 p2:commit"))))
	require.Equal(t, []int64{7, 8, 9}, offsetsOf(r.Records(fetched("", "9 p1:abort"))))
	require.Equal(t, []string{"in-1 {ProducerID:1 First:6 Last:6 Records:1}"}, told)
}

// A transaction that is too large to wait for is taken on the broker's word.
func TestReaderHoldsNoMore(t *testing.T) {
	t.Parallel()
	var r isolation.Reader
	records := parse(t, "0 p1")
	records[0].Value = make([]byte, 65<<20)
	fetches := kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: "in", Partitions: []kgo.FetchPartition{{Records: records, LastStableOffset: 100}}}}}}
	require.Len(t, r.Records(fetches), 1)
}
