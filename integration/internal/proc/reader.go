package proc

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// NewReadings returns an empty reading of each partition of the set.
func NewReadings(set offsets.Set) map[offsets.Partition]*checker.Reading {
	readings := map[offsets.Partition]*checker.Reading{}
	for at := range set {
		readings[at] = checker.NewReading(at)
	}
	return readings
}

var printSeed = maphash.MakeSeed()

// Fingerprint tells whether two outputs are the same; index is which of its input's outputs it is. nil and empty differ.
func Fingerprint(index int, r *kgo.Record) uint64 {
	var h maphash.Hash
	h.SetSeed(printSeed)
	part := func(b []byte) {
		n := len(b)
		if b == nil {
			n = -1
		}
		maphash.WriteComparable(&h, n)
		h.Write(b)
	}
	maphash.WriteComparable(&h, index)
	maphash.WriteComparable(&h, r.Partition)
	maphash.WriteComparable(&h, r.Timestamp.UnixMilli())
	part([]byte(r.Topic))
	part(r.Key)
	part(r.Value)
	maphash.WriteComparable(&h, len(r.Headers))
	for _, header := range r.Headers {
		part([]byte(header.Key))
		part(header.Value)
	}
	return h.Sum64()
}

// RequireNothingOpen requires that no transaction of the pipe is open: none is Ongoing, and those that are decided
// become complete, so that the last stable offset of the output is its end.
func (p *Pipe) RequireNothingOpen() {
	p.T.Helper()
	p.Await("no transaction is open", 10*time.Second, func(ctx context.Context) (bool, error) {
		ongoing, ending, err := p.Open(ctx)
		require.Empty(p.T, ongoing, "transactional ids with an open transaction")
		return err == nil && len(ending) == 0, fmt.Errorf("still ending: %v; %w", ending, err)
	})
}

// AwaitNothingOpen waits until the brokers have aborted what a dead process left open.
func (p *Pipe) AwaitNothingOpen(within time.Duration) {
	p.T.Helper()
	p.Await("no transaction is open", within, func(ctx context.Context) (bool, error) {
		ongoing, ending, err := p.Open(ctx)
		return err == nil && len(ongoing)+len(ending) == 0, err
	})
}

// Open returns which of the pipe's transactional ids have an open transaction, and where one is just being ended: ids and
// output partitions.
func (p *Pipe) Open(ctx context.Context) (ongoing, ending []string, err error) {
	listed, err := p.Adm.ListTransactions(ctx, nil, nil)
	for _, txn := range listed {
		if !strings.HasPrefix(txn.TxnID, p.Group+"-") {
			continue
		}
		switch txn.State {
		case "Ongoing":
			ongoing = append(ongoing, txn.TxnID)
		case "PrepareCommit", "PrepareAbort", "PrepareEpochFence":
			ending = append(ending, txn.TxnID)
		}
	}
	stable, serr := p.Listed(ctx, p.Adm.ListCommittedOffsets, p.To)
	ends, eerr := p.Listed(ctx, p.Adm.ListEndOffsets, p.To)
	for at, end := range ends {
		if stable[at].Offset != end.Offset {
			ending = append(ending, at.String())
		}
	}
	producers, perr := p.Adm.DescribeProducers(ctx, TopicsSet(ends))
	for _, topic := range producers {
		for _, partition := range topic.Partitions {
			for _, producer := range partition.ActiveProducers {
				if producer.CurrentTxnStartOffset >= 0 {
					ending = append(ending, fmt.Sprintf("producer %d in %s-%d", producer.ProducerID, topic.Topic, partition.Partition))
				}
			}
		}
	}
	return ongoing, ending, errors.Join(err, serr, eerr, perr)
}

// TopicsSet returns the set's partitions in the form that kadm takes.
func TopicsSet(set offsets.Set) kadm.TopicsSet {
	topics := kadm.TopicsSet{}
	for at := range set {
		topics.Add(at.Topic, at.Number)
	}
	return topics
}
