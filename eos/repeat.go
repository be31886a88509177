package eos

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// repeatMarkers writes the due markers again, by transactions without records. cl has the producer id, so every transaction of
// the producer is over; every leader has just answered.
func (s *Session) repeatMarkers(ctx context.Context, cl *kgo.Client, id int64, epoch int16) error {
	due := s.due.snapshot()
	for _, verdict := range []bool{true, false} {
		e := emptyTransaction{s: s, cl: cl, producerID: id, epoch: epoch, inputs: len(due.inputs) > 0 && due.commit == verdict}
		for p, end := range due.outputs {
			if end.commit == verdict {
				e.outputs = append(e.outputs, p)
			}
		}
		if len(e.outputs) == 0 && !e.inputs {
			continue
		}
		if err := e.run(ctx, verdict); err != nil {
			return fmt.Errorf("write markers again: %w", err)
		}
		id, epoch = e.producerID, e.epoch
		s.due.written(e.outputs, e.inputs)
		s.cfg.Logger.Warn("the brokers had completed a transaction without all of its markers; the session has rewritten them, nothing is lost or doubled",
			"transactional_id", s.cfg.TransactionalID, "commit", verdict, "partitions", fmt.Sprint(e.outputs), "offsets", e.inputs)
	}
	return nil
}

// emptyTransaction is a transaction without records: it only writes markers.
type emptyTransaction struct {
	s          *Session
	cl         *kgo.Client
	producerID int64
	epoch      int16
	outputs    []offsets.Partition // partitions that get a marker
	inputs     bool                // whether the group's offsets get a marker
}

// run runs the transaction and sets producer id and epoch for the next one. Once a partition has been added, the transaction
// must get its end: if it stayed open, the next producer id would abort it, together with the records that hang. So run tries
// every step again until it is answered, for endGrace longer than the caller's context.
func (e *emptyTransaction) run(caller context.Context, commit bool) error {
	ctx, cancel := e.s.graceful(caller, context.Background())
	defer cancel()
	if len(e.outputs) > 0 {
		if err := e.retry(ctx, "add partitions", e.addPartitions); err != nil {
			return err
		}
	}
	var failed error
	if e.inputs {
		failed = e.retry(ctx, "add the group's offsets", e.addOffsets)
	}
	return errors.Join(failed, e.retry(ctx, "end", func(ctx context.Context) error { return e.end(ctx, commit) }))
}

func (e *emptyTransaction) retry(ctx context.Context, what string, step func(context.Context) error) error {
	each := e.s.retry(what + " to write markers again")
	each.IsFinal = func(err error) bool {
		ke, ok := errors.AsType[*kerr.Error](err)
		return ok && !ke.Retriable && ke != kerr.ConcurrentTransactions
	}
	if err := each.Until(ctx, step); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (e *emptyTransaction) addPartitions(ctx context.Context) error {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = e.s.cfg.TransactionalID, e.producerID, e.epoch
	at := map[string]int{}
	for _, p := range e.outputs {
		i, ok := at[p.Topic]
		if !ok {
			i = len(req.Topics)
			at[p.Topic] = i
			topic := kmsg.NewAddPartitionsToTxnRequestTopic()
			topic.Topic = p.Topic
			req.Topics = append(req.Topics, topic)
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p.Number)
	}
	resp, err := req.RequestWith(ctx, e.cl)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("%s-%d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return nil
}

func (e *emptyTransaction) addOffsets(ctx context.Context) error {
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = e.s.cfg.TransactionalID, e.producerID, e.epoch, e.s.cfg.Group
	resp, err := req.RequestWith(ctx, e.cl)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// end ends the transaction. If it is sent again after its answer was lost, the broker gives the same answer.
func (e *emptyTransaction) end(ctx context.Context, commit bool) error {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = e.s.cfg.TransactionalID, e.producerID, e.epoch, commit
	resp, err := req.RequestWith(ctx, e.cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err == nil && resp.Version >= 5 {
		e.producerID, e.epoch = resp.ProducerID, resp.ProducerEpoch
	}
	return err
}
