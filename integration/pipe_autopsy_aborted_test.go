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

// abortedAutopsy logs, for each replica of each output partition, where its list says otherwise than the markers of its log.
func (p *pipe) abortedAutopsy() {
	ctx := p.t.Context()
	ends, err := p.listed(ctx, p.adm.ListEndOffsets, p.to)
	if err != nil {
		p.t.Logf("autopsy: %v", err)
		return
	}
	cl := p.cluster.Client(p.t)
	adm := kadm.NewClient(cl)
	topics, err := adm.ListTopics(ctx, p.to...)
	if err != nil {
		p.t.Logf("autopsy: %v", err)
		return
	}
	for at, end := range ends.Sorted() {
		detail := topics[at.Topic].Partitions[at.Number]
		for _, replica := range detail.Replicas {
			r := &rawReader{cl: cl, adm: adm, at: at, end: end.Offset, id: topics[at.Topic].ID, leader: replica}
			faults, err := r.abortedFaults(ctx)
			role := "follower"
			if replica == detail.Leader {
				role = "leader"
			}
			p.t.Logf("aborted lists of %v, broker %d (%s): %d faults, %v", at, replica, role, len(faults), err)
			for _, fault := range faults[:min(len(faults), 20)] {
				p.t.Logf("  %s", fault)
			}
		}
	}
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
