package eos

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// repeatMarkers writes the due markers again, by transactions without records. cl has the producer id, so all that the
// producer had begun is over; every leader has just answered.
func (s *Session) repeatMarkers(ctx context.Context, cl *kgo.Client, id int64, epoch int16) error {
	outputs, inputs, commit := s.due.snapshot()
	for _, verdict := range []bool{true, false} {
		e := emptyTransaction{cl: cl, transactionalID: s.cfg.TransactionalID, producerID: id, epoch: epoch}
		for p, end := range outputs {
			if end.commit == verdict {
				e.outputs = append(e.outputs, p)
			}
		}
		if len(inputs) > 0 && commit == verdict {
			e.group = s.cfg.Group
		}
		if len(e.outputs) == 0 && e.group == "" {
			continue
		}
		if err := e.run(ctx, verdict); err != nil {
			return fmt.Errorf("write markers again: %w", err)
		}
		id, epoch = e.producerID, e.epoch
		s.due.written(e.outputs, e.group != "")
		s.cfg.Logger.Warn("the brokers had completed a transaction without all of its markers; they are written again, nothing is lost or doubled",
			"transactional_id", s.cfg.TransactionalID, "commit", verdict, "partitions", fmt.Sprint(e.outputs), "group", e.group)
	}
	return nil
}

// emptyTransaction is a transaction without records: it only writes markers to the partitions, and to the group's offsets.
type emptyTransaction struct {
	cl              *kgo.Client
	transactionalID string
	producerID      int64
	epoch           int16
	outputs         []offsets.Partition
	group           string // empty: not the group's offsets
}

// run ends the transaction. It leaves producer id and epoch as the broker says they are afterwards.
func (e *emptyTransaction) run(ctx context.Context, commit bool) error {
	if len(e.outputs) > 0 {
		if err := e.addPartitions(ctx); err != nil {
			return err
		}
	}
	if e.group != "" {
		req := kmsg.NewPtrAddOffsetsToTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = e.transactionalID, e.producerID, e.epoch, e.group
		resp, err := req.RequestWith(ctx, e.cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err != nil {
			return fmt.Errorf("add the group's offsets: %w", err)
		}
	}
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = e.transactionalID, e.producerID, e.epoch, commit
	resp, err := req.RequestWith(ctx, e.cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("end: %w", err)
	}
	if resp.Version >= 5 {
		e.producerID, e.epoch = resp.ProducerID, resp.ProducerEpoch
	}
	return nil
}

func (e *emptyTransaction) addPartitions(ctx context.Context) error {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = e.transactionalID, e.producerID, e.epoch
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
		return fmt.Errorf("add partitions: %w", err)
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("add partition %s-%d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return nil
}
