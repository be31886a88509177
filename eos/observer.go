package eos

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// State is what a session is doing. The edges between states are drawn in the package's documentation.
type State int

// The states of a session.
const (
	Starting   State = iota // a client is made, the producer id initialized, the predecessor fenced
	Polling                 // no transaction is open; Poll waits for records
	Preparing               // a batch is with the caller; no transaction is open
	InTxn                   // records are being produced
	Flushing                // all records are handed to the client; their answers are awaited
	Committing              // offsets are sent and EndTxn(commit) may have been
	Aborting                // the transaction is being aborted; EndTxn(commit) was never sent
	Replacing               // the client is discarded and a new one with the same ids fences it
	Resolving               // the group's stable offsets are asked for, to learn what became of the transaction
	Stopped                 // the session is closed, fenced or failed for good
)

// String returns the state's name, and "State(n)" for a value that is none of the constants.
func (s State) String() string {
	return nameOf("State", int(s), "starting", "polling", "preparing", "in_txn", "flushing",
		"committing", "aborting", "replacing", "resolving", "stopped")
}

// Transition is one edge of the state machine.
type Transition struct {
	From, To        State
	TransactionalID string
	ProducerID      int64 // -1 while there is none
	ProducerEpoch   int16
	Txn             uint64 // counts the transactions of this session from 1; 0 before the first
	Err             error  // why, if it was for a failure
}

// Transaction is one transaction that has ended.
type Transaction struct {
	TransactionalID string
	Txn             uint64
	Outcome         Outcome
	Err             error       // why it was not committed at once; nil for a plain commit
	In, Out         int         // records polled and produced
	Bytes, OutBytes int         // bytes of the keys and values polled and produced
	Offsets         offsets.Set // what was, or would have been, committed
	Flush, End      time.Duration
}

// Assignment is what the group has assigned to a session in a rebalance: all partitions that it has from now on, sorted. There may be
// none.
type Assignment struct {
	TransactionalID string
	Partitions      []offsets.Partition
}

// Observer receives what a session does. Every field may be nil. The session calls Transition and Transaction on the goroutine that
// called it; its client calls Assigned on a goroutine of its own after each rebalance of the group, perhaps at the same time. The session
// waits for them: they must return soon and must not call the session. After the client is replaced, the session has no partitions until
// the group assigns them again.
type Observer struct {
	Transition  func(Transition)
	Transaction func(Transaction)
	Assigned    func(Assignment)
}

// With returns an observer that calls o, then next.
func (o Observer) With(next Observer) Observer {
	return Observer{
		Transition: both(o.Transition, next.Transition), Transaction: both(o.Transaction, next.Transaction),
		Assigned: both(o.Assigned, next.Assigned),
	}
}

func both[T any](first, second func(T)) func(T) {
	switch {
	case first == nil:
		return second
	case second == nil:
		return first
	}
	return func(v T) { first(v); second(v) }
}

// SlogObserver returns an Observer that writes every edge at level debug, every transaction that was not committed at
// once at level warn and the others at level debug.
func SlogObserver(log *slog.Logger) Observer {
	return Observer{
		Transition: func(t Transition) {
			log.Debug("state", "from", t.From.String(), "to", t.To.String(), "transactional_id", t.TransactionalID,
				"producer", t.ProducerID, "epoch", t.ProducerEpoch, "txn", t.Txn, "err", t.Err)
		},
		Transaction: func(t Transaction) {
			level := slog.LevelDebug
			if t.Err != nil {
				level = slog.LevelWarn
			}
			if !log.Enabled(context.Background(), level) {
				return
			}
			log.Log(context.Background(), level, "transaction "+t.Outcome.String(), "transactional_id", t.TransactionalID, "txn", t.Txn, "in", t.In, "out", t.Out,
				"offsets", t.Offsets.String(), "flush", t.Flush, "end", t.End, "err", t.Err)
		},
		Assigned: func(a Assignment) {
			log.Debug("assigned by the group", "transactional_id", a.TransactionalID, "partitions", fmt.Sprint(a.Partitions))
		},
	}
}
