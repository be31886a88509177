package eos

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// inheritTimeout bounds what Open asks on behalf of a predecessor that may have died together with a broker.
const inheritTimeout = 5 * time.Second

// inheritMarkers notes the markers that the last transaction of the predecessor lacks (see markers.go): if it is decided
// and yet open in an output partition, the coordinator has forgotten that partition. It needs READ on the output topics
// and transaction.version 2; without, nothing is noted, and what hangs is for an operator to find
// (kafka-transactions.sh find-hanging).
func (s *Session) inheritMarkers(ctx context.Context) {
	if !s.epochs || len(s.cfg.Outputs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, inheritTimeout)
	defer cancel()
	last, err := s.describeTransactionOnce(ctx)
	if err != nil {
		return // most often there is no predecessor
	}
	for last.State == "PrepareCommit" || last.State == "PrepareAbort" {
		if !cluster.Sleep(ctx, 20*time.Millisecond) {
			return
		}
		if last, err = s.describeTransactionOnce(ctx); err != nil {
			return
		}
	}
	outcome, decided := outcomeOf(last.State)
	if !decided {
		return
	}
	outputs := s.hangingOutputs(ctx, last)
	if len(outputs) == 0 {
		return
	}
	if inputs := s.unstableInputs(ctx); outcome == Committed {
		s.due.committed(outputs, inputs)
	} else {
		s.due.aborted(outputs, inputs)
	}
}

// hangingOutputs returns the output partitions in which a transaction that is complete is still open. Its records carry
// the epoch before that of its markers.
func (s *Session) hangingOutputs(ctx context.Context, complete kadm.DescribedTransaction) map[offsets.Partition]int64 {
	hanging := map[offsets.Partition]int64{}
	topics := kadm.TopicsSet{}
	for _, topic := range s.cfg.Outputs {
		topics.Add(topic)
	}
	producers, _ := s.adm.DescribeProducers(ctx, topics) // of what could be asked
	producers.EachProducer(func(p kadm.DescribedProducer) {
		if p.ProducerID == complete.ProducerID && p.ProducerEpoch == complete.ProducerEpoch-1 && p.CurrentTxnStartOffset >= 0 {
			hanging[offsets.Partition{Topic: p.Topic, Number: p.Partition}] = unknownOffset
		}
	})
	return hanging
}

// unstableInputs returns the input partitions whose offsets in the group wait for a transaction to end, maybe for the one
// that hangs. What that would commit is not known.
func (s *Session) unstableInputs(ctx context.Context) offsets.Set {
	unstable := offsets.Set{}
	resp, err := s.adm.FetchOffsets(kadm.RequireStable(ctx), s.cfg.Group)
	if err != nil {
		return nil
	}
	resp.Each(func(o kadm.OffsetResponse) {
		if errors.Is(o.Err, kerr.UnstableOffsetCommit) {
			unstable[offsets.Partition{Topic: o.Topic, Number: o.Partition}] = offsets.NewPosition(unknownOffset)
		}
	})
	return unstable
}
