package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/processor"
)

// Both sides work with these. The timeouts are much shorter than anybody would choose in earnest: the demo has to wait
// for them.
const (
	batchRecords       = 100
	sessionTimeout     = 2 * time.Second
	transactionTimeout = 3 * time.Second
	fetchMaxWait       = 250 * time.Millisecond // a partition that is newly assigned waits for the fetch under way
)

// exactlyOnce is the pipe as an application writes it with this module.
func exactlyOnce(st *stage) *side {
	s := &side{
		stage: st, name: "exactly once", means: "eos-pipe: bookings and offsets are committed in one transaction",
		group: "exactly-once", output: "booked-exactly-once",
		identity: transactionOf,
		// Every answer to one EndTxn: also those to its repetitions, until the session gives the client up.
		lostProduce:  wiretap.Rule{API: kmsg.Produce, Action: wiretap.DropReply},
		lostCommit:   wiretap.Rule{API: kmsg.EndTxn, Commit: new(true), Action: wiretap.DropReply, Count: wiretap.Always},
		beforeKill:   wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.HoldReply},
		beforeFreeze: wiretap.Rule{API: kmsg.EndTxn, Commit: new(true), Action: wiretap.HoldRequest},
	}
	s.run = s.runProcessor
	s.settled = func(ctx context.Context, in *instance) error {
		if err := wait(ctx, in.resolved); err != nil {
			return fmt.Errorf("wait until %s finds out about its commit: %w", in.id, err)
		}
		s.tell("  %s gives the answer up and asks for the group's offsets: it was committed", in.id)
		return nil
	}
	return s
}

// runProcessor is an instance's life.
func (s *side) runProcessor(drain, dead context.Context, in *instance) error {
	p, err := processor.New(
		processor.Config{
			BootstrapServers: s.stage.ListenAddrs(), ApplicationID: s.group, InstanceID: in.id, Logger: s.stage.log,
			Observer: processor.Observer{Session: eos.Observer{Transaction: in.observe}},
			Session: eos.Tuning{
				MaxRecords: batchRecords, SessionTimeout: sessionTimeout, TransactionTimeout: transactionTimeout,
				Client: []kgo.Opt{kgo.Dialer(in.tap.Dial), kgo.FetchMaxWait(fetchMaxWait)},
			},
		},
		processor.Pipe[payment, booking]{
			Source: processor.From(processor.JSON[payment](), payments),
			Handle: processor.Map(book),
			Sink:   processor.To(processor.JSON[booking](), s.output),
		})
	if err != nil {
		return err
	}
	defer context.AfterFunc(dead, p.Abort)()
	if err := p.Run(drain); !errors.Is(err, processor.ErrAborted) {
		return err
	}
	return nil
}

// observe notes that a commit without an answer turned out to be committed.
func (in *instance) observe(t eos.Transaction) {
	if t.Outcome == eos.Committed && t.Err != nil {
		select {
		case in.resolved <- struct{}{}:
		default:
		}
	}
}

// transactionOf identifies a transaction in the requests that belong to it: with KIP-890, each has an epoch of its own.
func transactionOf(req kmsg.Request) string {
	switch r := req.(type) {
	case *kmsg.EndTxnRequest:
		return fmt.Sprintf("%d epoch %d", r.ProducerID, r.ProducerEpoch)
	case *kmsg.TxnOffsetCommitRequest:
		return fmt.Sprintf("%d epoch %d", r.ProducerID, r.ProducerEpoch)
	}
	return ""
}
