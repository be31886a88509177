package eos

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// inheritTimeout bounds what Open asks on behalf of a predecessor that may have died together with a broker.
const inheritTimeout = 5 * time.Second

// inheritMarkers notes the markers that the last transaction of the predecessor lacks (see markers.go): if it is decided
// and yet open in an output partition, the coordinator has forgotten that partition. It needs READ on the output topics
// and transaction.version 2. Without them it notes nothing, and an operator must find what hangs
// (kafka-transactions.sh find-hanging).
func (s *Session) inheritMarkers(ctx context.Context) {
	if !s.epochs || len(s.cfg.Outputs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, inheritTimeout)
	defer cancel()
	last, err := s.ask.Transaction(ctx, s.cfg.TransactionalID)
	if err != nil {
		return // most often there is no predecessor
	}
	for last.State == "PrepareCommit" || last.State == "PrepareAbort" {
		if !cluster.Sleep(ctx, 20*time.Millisecond) {
			return
		}
		if last, err = s.ask.Transaction(ctx, s.cfg.TransactionalID); err != nil {
			return
		}
	}
	outcome, decided := outcomeOf(last.State)
	if !decided {
		return
	}
	outputs := map[offsets.Partition]int64{}
	for _, p := range s.ask.Hanging(ctx, s.cfg.Outputs, last) {
		outputs[p] = unknownOffset
	}
	if len(outputs) == 0 {
		return
	}
	if inputs := s.unstableInputs(ctx); outcome == Committed {
		s.due.committed(outputs, inputs)
	} else {
		s.due.aborted(outputs, inputs)
	}
}

// unstableInputs returns the input partitions whose offsets in the group wait for a transaction to end, maybe for the one
// that hangs. It is not known which offsets that transaction would commit.
func (s *Session) unstableInputs(ctx context.Context) offsets.Set {
	unstable := offsets.Set{}
	var answer cluster.Offsets
	err := s.retry("fetch the group's offsets").Until(ctx, func(ctx context.Context) (err error) {
		answer, err = s.ask.Stable(ctx, s.cfg.Group)
		return err
	})
	if err != nil {
		return nil
	}
	for p, o := range answer {
		if errors.Is(o.Err, kerr.UnstableOffsetCommit) {
			unstable[p] = offsets.NewPosition(unknownOffset)
		}
	}
	return unstable
}
