package processor

import (
	"sync/atomic"

	"github.com/eos-pipe/eos-pipe/eos"
)

// Observer is told what a processor does. Every field may be nil. Several goroutines may call the functions at
// once: those of the lanes call Batch, and Lane when a lane ends; Run's caller calls Lane when a lane starts; Session is
// called as eos.Observer says, and Progress by a goroutine of its own. Each call holds its caller up, so the functions
// must return soon. With combines observers; a Counter and package monitor's Monitor are made of one.
type Observer struct {
	// Session is told of the states, transactions and assignments of the lanes' sessions; see eos.Observer.
	Session eos.Observer
	// Lane is told when a lane starts and when it ends for good. Every lane's start is reported before any lane does
	// anything.
	Lane func(LaneEvent)
	// Batch is told of each batch after its Commit: what was committed, or why not.
	Batch func(BatchEvent)
	// Progress is told from time to time how far the group has come. It is called with Config.UntilEnd only, by one
	// goroutine.
	Progress func(Progress)
}

// LaneEvent says that a lane has started or ended.
type LaneEvent struct {
	Lane            int    // counted from 0
	TransactionalID string // of its sessions
	Ended           bool   // for good: no other session is opened
	Err             error  // why it ended; nil: it has drained
}

// BatchEvent is a batch whose Commit has returned. A batch that Abort ends is not reported.
type BatchEvent struct {
	Lane            int    // counted from 0
	TransactionalID string // of its sessions
	Err             error  // why the batch was not committed: its records come again, or the lane stops; nil: it was

	In          int            // input records
	Out         int            // records produced, dead letters included
	Skipped     int            // input records that were left out
	DeadLetters int            // input records that became dead letters
	Retries     int            // handler calls that repeated an earlier one
	GivenUp     []*RecordError // one for each record that was left out or became a dead letter
}

// Progress is how far the group has come with the input that existed when Run began, in offsets.
type Progress struct{ Done, Total int64 }

// With returns an observer that tells o, then next.
func (o Observer) With(next Observer) Observer {
	return Observer{
		Session: o.Session.With(next.Session), Lane: both(o.Lane, next.Lane),
		Batch: both(o.Batch, next.Batch), Progress: both(o.Progress, next.Progress),
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

// Stats are the counts of a Counter. Records of batches that were not committed are not in them.
type Stats struct {
	In           int64 `json:"in"`           // input records
	Out          int64 `json:"out"`          // records produced, dead letters included
	Skipped      int64 `json:"skipped"`      // input records that were left out
	DeadLetters  int64 `json:"dead_letters"` // input records that went to the dead-letter topic
	Transactions int64 `json:"transactions"` // committed transactions
	Aborted      int64 `json:"aborted"`      // transactions that were aborted, and whose input was processed again
	Retries      int64 `json:"retries"`      // calls of the handler that repeated one, in batches that are committed
}

// Counter is an Observer that counts. The zero value is ready, and its methods may be called at any time by any
// goroutine:
//
//	var count processor.Counter
//	cfg.Observer = cfg.Observer.With(count.Observer())
type Counter struct {
	in, out, skipped, deadLetters, transactions, aborted, retries atomic.Int64
}

// Observer returns the observer that adds to c.
func (c *Counter) Observer() Observer { return Observer{Batch: c.batch} }

func (c *Counter) batch(e BatchEvent) {
	if e.Err != nil {
		c.aborted.Add(1)
		return
	}
	c.in.Add(int64(e.In))
	c.out.Add(int64(e.Out))
	c.skipped.Add(int64(e.Skipped))
	c.deadLetters.Add(int64(e.DeadLetters))
	c.retries.Add(int64(e.Retries))
	c.transactions.Add(1)
}

// Stats returns the counts so far.
func (c *Counter) Stats() Stats {
	return Stats{
		In: c.in.Load(), Out: c.out.Load(), Skipped: c.skipped.Load(), DeadLetters: c.deadLetters.Load(),
		Transactions: c.transactions.Load(), Aborted: c.aborted.Load(), Retries: c.retries.Load(),
	}
}
