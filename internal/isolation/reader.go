package isolation

import "github.com/twmb/franz-go/pkg/kgo"

// Reader does for a client of several partitions what a Queue does for one. The client reads read_committed and keeps control records. The zero
// value is ready; it belongs to one goroutine at a time.
type Reader struct {
	// Unlisted is told of records that are left out. Optional.
	Unlisted func(topic string, partition int32, a Aborted)

	queues map[partition]*Queue
}

type partition struct {
	topic  string
	number int32
}

// mostHeld is how many bytes of a partition wait for the end of their transaction; then the broker is trusted.
const mostHeld = 64 << 20

// Records returns all that is stable by now of what was fetched and was not returned yet, markers included, those of a partition in their order.
func (r *Reader) Records(fetches kgo.Fetches) (records []*kgo.Record) {
	if r.queues == nil {
		r.queues = map[partition]*Queue{}
	}
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		at := partition{f.Topic, f.Partition}
		q := r.queues[at]
		if q == nil {
			q = &Queue{}
			r.queues[at] = q
		}
		for _, a := range q.Push(f.Records, f.LastStableOffset) {
			if r.Unlisted != nil {
				r.Unlisted(f.Topic, f.Partition, a)
			}
		}
		if q.Bytes() > mostHeld {
			q.Trust()
		}
		records = append(records, q.Take(q.Len())...)
	})
	return records
}
