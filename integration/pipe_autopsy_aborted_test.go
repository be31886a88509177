package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/batches"
)

// This file asks, when a reader was given aborted records, or committed ones were kept from it, whose fault that is. A
// read_committed reader leaves out what the broker's answer lists as aborted, which the broker takes from an index beside the log.
// The index must say what the log's markers say.

// abortedTransaction is an entry of such a list.
type abortedTransaction struct {
	producer int64
	first    int64
}

// unlisted compares, for each replica of each output partition, its list with the markers of its log. It logs where they differ, and
// returns in how many places.
func (p *pipe) unlisted() (total int) {
	p.t.Helper()
	ctx := p.t.Context()
	cl := p.cluster.Client(p.t)
	adm := kadm.NewClient(cl)
	ends, err := p.listed(ctx, adm.ListEndOffsets, p.to)
	topics, terr := adm.ListTopics(ctx, p.to...)
	if err := errors.Join(err, terr); err != nil {
		p.t.Logf("the lists of aborted transactions are not known: %v", err)
		return 0
	}
	for at, end := range ends.Sorted() {
		detail := topics[at.Topic].Partitions[at.Number]
		for _, replica := range detail.Replicas {
			r := &rawReader{cl: cl, adm: adm, at: at, end: end.Offset, id: topics[at.Topic].ID, leader: replica}
			faults, err := r.abortedFaults(ctx)
			if err != nil {
				p.t.Logf("the list of aborted transactions of %v on broker %d is not known: %v", at, replica, err)
			}
			total += len(faults)
			for _, fault := range faults[:min(len(faults), 20)] {
				p.t.Logf("broker %d (the leader is %d), aborted transactions of %v: %s", replica, detail.Leader, at, fault)
			}
		}
	}
	return total
}

// abortedFaults compares the lists of one replica with the markers of its log.
func (r *rawReader) abortedFaults(ctx context.Context) (faults []string, err error) {
	listed := map[abortedTransaction]bool{}
	aborted := map[abortedTransaction]string{}
	open := map[int64]int64{} // where the transaction of a producer begins
	var answers []string
	for next := int64(0); next < r.end; {
		got, err := r.ask(ctx, next, kgo.ReadCommitted())
		if err != nil {
			return nil, err
		}
		for _, one := range got.AbortedTransactions {
			listed[abortedTransaction{one.ProducerID, one.FirstOffset}] = true
		}
		before := next
		if next, err = replay(got, next, open, aborted); err != nil {
			return nil, err
		}
		if next == before {
			return nil, errors.Join(fmt.Errorf("nothing comes at @%d", next), ctx.Err())
		}
		answers = append(answers, fmt.Sprint(next))
	}
	for txn, where := range aborted {
		if !listed[txn] {
			faults = append(faults, fmt.Sprintf("not listed: the transaction of producer %d from @%d, aborted at %s; the answers ended at %s",
				txn.producer, txn.first, where, strings.Join(answers, ", ")))
		}
	}
	for txn := range listed {
		if _, ok := aborted[txn]; !ok {
			faults = append(faults, fmt.Sprintf("listed, and not aborted by a marker: producer %d from @%d", txn.producer, txn.first))
		}
	}
	slices.Sort(faults)
	return faults, nil
}

// replay goes through the batches of an answer, and returns where the next is to begin.
func replay(got kmsg.FetchResponseTopicPartition, next int64, open map[int64]int64, aborted map[abortedTransaction]string) (int64, error) {
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
				aborted[abortedTransaction{b.ProducerID, first}] = fmt.Sprintf("@%d, epoch %d", b.BaseOffset, b.Epoch)
			}
			delete(open, b.ProducerID)
		}
		next = b.LastOffset + 1
	}
	return next, nil
}
