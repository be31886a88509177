package proc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/batches"
)

// This file asks, when a reader was given aborted records, or committed ones were kept from it, whose fault that is. A
// read_committed reader leaves out what the broker's answer lists as aborted, which the broker takes from an index beside the log.
// The index must say what the log's markers say.

// abortedTransaction is an entry of such a list.
type abortedTransaction struct {
	producer int64
	first    int64
}

// Unlisted compares, for each replica of each output partition, its list with the markers of its log. It logs where they differ, and
// returns in how many places.
func (p *Pipe) Unlisted() (total int) {
	p.T.Helper()
	ctx := p.T.Context()
	cl := p.Cluster.Client(p.T)
	adm := kadm.NewClient(cl)
	ends, err := p.Listed(ctx, adm.ListEndOffsets, p.To)
	topics, terr := adm.ListTopics(ctx, p.To...)
	if err := errors.Join(err, terr); err != nil {
		p.T.Logf("the lists of aborted transactions are not known: %v", err)
		return 0
	}
	for at, end := range ends.Sorted() {
		detail := topics[at.Topic].Partitions[at.Number]
		for _, replica := range detail.Replicas {
			r := &rawReader{cl: cl, adm: adm, at: at, end: end.Offset, id: topics[at.Topic].ID, leader: replica}
			faults, err := r.abortedFaults(ctx)
			if err != nil {
				p.T.Logf("the list of aborted transactions of %v on broker %d is not known: %v", at, replica, err)
			}
			total += len(faults)
			for _, fault := range faults[:min(len(faults), 20)] {
				p.T.Logf("broker %d (the leader is %d), aborted transactions of %v: %s", replica, detail.Leader, at, fault)
			}
		}
	}
	return total
}

// listing is one answer of a replica.
type listing struct {
	from, next int64
	aborted    map[abortedTransaction]bool
}

// abortedFaults compares the lists of one replica with the markers of its log: each answer, as large as franz-go asks for, must list every aborted
// transaction whose records it may hold, and nothing else may be listed.
func (r *rawReader) abortedFaults(ctx context.Context) (faults []string, err error) {
	r.most = 1 << 20
	var listings []listing
	aborted := map[abortedTransaction]int64{} // with the offset of its marker
	open := map[int64]int64{}                 // where the transaction of a producer begins
	for next := int64(0); next < r.end; {
		got, err := r.ask(ctx, next, kgo.ReadCommitted())
		if err != nil {
			return nil, err
		}
		l := listing{from: next, aborted: map[abortedTransaction]bool{}}
		for _, one := range got.AbortedTransactions {
			l.aborted[abortedTransaction{one.ProducerID, one.FirstOffset}] = true
		}
		if next, err = replay(got, next, open, aborted); err != nil {
			return nil, err
		}
		if l.next = next; next == l.from {
			return nil, errors.Join(fmt.Errorf("nothing comes at @%d", next), ctx.Err())
		}
		listings = append(listings, l)
	}
	for _, l := range listings {
		for txn, marker := range aborted {
			if txn.first < l.next && marker >= l.from && !l.aborted[txn] {
				faults = append(faults, fmt.Sprintf("the answer from @%d to @%d does not list the transaction of producer %d from @%d, aborted at @%d",
					l.from, l.next-1, txn.producer, txn.first, marker))
			}
		}
		for txn := range l.aborted {
			if _, ok := aborted[txn]; !ok {
				faults = append(faults, fmt.Sprintf("the answer from @%d to @%d lists a transaction of producer %d from @%d, which no marker aborts",
					l.from, l.next-1, txn.producer, txn.first))
			}
		}
	}
	slices.Sort(faults)
	return faults, nil
}

// replay goes through the batches of an answer, and returns where the next is to begin.
func replay(got kmsg.FetchResponseTopicPartition, next int64, open map[int64]int64, aborted map[abortedTransaction]int64) (int64, error) {
	for b, err := range batches.All(got.RecordBatches) {
		switch {
		case err != nil:
			return next, err
		case b.LastOffset < next:
			continue
		case !b.Control && b.Transactional:
			if _, ok := open[b.ProducerID]; !ok {
				open[b.ProducerID] = b.BaseOffset
			}
		case b.Control:
			m, err := b.Marker()
			if err != nil {
				return next, err
			}
			if first, ok := open[b.ProducerID]; ok && !m.Commit {
				aborted[abortedTransaction{b.ProducerID, first}] = b.BaseOffset
			}
			delete(open, b.ProducerID)
		}
		next = b.LastOffset + 1
	}
	return next, nil
}
