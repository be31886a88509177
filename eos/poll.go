package eos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/internal/isolation"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Batch is what one Poll hands out, and what one transaction processes.
type Batch struct {
	// Records are the input records, those of one partition in their order. They belong to the caller, who may change
	// them and hand them to Commit as outputs: that saves a good part of the work. Records may be empty: the batch then
	// only passes over control records, and must be committed like any other.
	Records []*kgo.Record
	// Bytes is the size of the records' keys and values.
	Bytes int

	id   uint64
	from offsets.Set // the position of the first record of each partition
	next offsets.Set // the position after the last record of each partition
}

// Offsets returns, for each partition of the batch, the position after its last record: what a Commit of the batch commits.
func (b Batch) Offsets() offsets.Set { return b.next.Clone() }

// gathering is a batch that a poll is still filling.
type gathering struct {
	Batch
	limit  int  // how many records it may have
	weight int  // Bytes, and the memory that the headers take
	isFull bool // some of the input was not decompressed because the InputBuffer is full
}

// Poll waits for records and hands out a batch of them, bounded by Config.MaxRecords, MaxBytes and MaxAge. No
// transaction is open while it waits, nor while the caller works on the batch.
//
// Records of a transaction are handed out when the marker that ends it has been fetched, and never if the marker says abort: the
// brokers' lists of aborted transactions may be incomplete (see internal/isolation).
//
// A batch that was not committed comes again: Poll first rewinds to the committed offsets. While a batch is out, the group waits
// with rebalancing, up to the larger of session and transaction timeout.
//
// Poll returns ctx.Err() when ctx ends, and the session stays as it is. Only if the session is making a new client just then does
// it stop, with Reopen. Any other error is an *Error that says whether to continue. Records that are gone from the log
// (LostOffsetsError) or damaged in it (UnreadableError) are never passed over.
func (s *Session) Poll(ctx context.Context) (Batch, error) {
	return s.PollRecords(ctx, s.cfg.MaxRecords)
}

// PollRecords is Poll for at most limit records. A limit below 1 or above Config.MaxRecords means Config.MaxRecords. Use it to
// retry a batch that was too large.
func (s *Session) PollRecords(ctx context.Context, limit int) (Batch, error) {
	if limit < 1 {
		limit = s.cfg.MaxRecords
	}
	if err := s.enter("poll", nil); err != nil {
		return Batch{}, err
	}
	defer s.busy.Store(false)
	if err := s.rewindPending(ctx); err != nil {
		return Batch{}, err
	}
	for {
		if err := s.hear(ctx); err != nil {
			return Batch{}, err
		}
		if err := s.readAgain(ctx); err != nil {
			return Batch{}, err
		}
		s.client.gts.AllowRebalance()
		s.fetch.adjust()
		s.awaitProduce(ctx)
		if why := s.client.standsStill.Load(); why != nil {
			s.client.discard(*why)
		}
		b, err := s.gather(ctx, s.paced(limit))
		if why := s.client.discarded(); why != nil && ctx.Err() == nil && !isDataLoss(err) {
			err = why
		}
		if failed, only := unreadable(err); failed != nil {
			s.reread = failed[0]
			if only {
				b, err = s.readable(ctx, b, failed)
			}
		}
		if err == nil && s.client.rebalanced.Load() {
			err = s.rewind(ctx) // records from before and after the rebalance are read again, in a transaction that can commit
			b = gathering{}
		}
		if err == nil && len(b.next) == 0 {
			s.awaitBuffer(ctx, b)
			continue
		}
		if err != nil {
			if err := s.pollFailed(ctx, err); err != nil {
				return Batch{}, err
			}
			continue
		}
		s.bufferFullSince, s.failing = time.Time{}, 0
		s.polled++
		b.id, s.pending = s.polled, true
		s.to(Preparing, nil)
		return b.Batch, nil
	}
}

// paced returns how many records a batch may have when the caller wants at most limit.
func (s *Session) paced(limit int) int {
	if s.pace > 0 {
		limit = min(limit, int(s.pace))
	}
	return min(limit, s.cfg.MaxRecords)
}

// awaitProduce waits while the brokers throttle what is produced. No rebalance waits for it, and no transaction is open.
func (s *Session) awaitProduce(ctx context.Context) {
	ctx, unbind := s.client.bound(ctx)
	defer unbind()
	if left := s.throttles.produceLeft(); left > 0 {
		cluster.Sleep(ctx, left)
	}
}

// hear handles the error that the client returned to the last Poll, whose context had ended: the client reports most errors once.
func (s *Session) hear(ctx context.Context) error {
	err := s.unheard
	if err == nil {
		return nil
	}
	s.unheard = nil
	return s.pollFailed(ctx, err)
}

// rewindPending rewinds the client if a batch was handed out and not committed.
func (s *Session) rewindPending(ctx context.Context) error {
	if !s.pending {
		return nil
	}
	s.pending = false
	if err := s.rewind(ctx); err != nil {
		if err := s.pollFailed(ctx, err); err != nil {
			return err
		}
	}
	s.to(Polling, nil)
	return nil
}

// rewind seeks the client to the committed offsets and clears its note that a rebalance happened. No transaction is open, so
// nothing is sent. The end of ctx does not stop it: the client would continue after the batch.
func (s *Session) rewind(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	s.client.rebalanced.Store(false)
	_, err := s.client.gts.End(bounded, kgo.TryAbort)
	s.rewound()
	return err
}

// gather polls until the batch is full, or it is time to commit it: Config.CommitInterval after the last transaction, and
// Config.MaxAge after its first record. It returns at once when a rebalance of the group waits for it.
func (s *Session) gather(ctx context.Context, limit int) (gathering, error) {
	b := gathering{Batch: Batch{from: offsets.Set{}, next: offsets.Set{}}, limit: limit}
	ctx, unbind := s.client.bound(ctx)
	defer unbind()
	if err := s.take(ctx, &b); err != nil {
		return b, err
	}
	due := s.lastEnd.Add(s.cfg.CommitInterval)
	if aged := time.Now().Add(s.cfg.MaxAge); aged.After(due) {
		due = aged
	}
	waiting, cancel := context.WithDeadline(ctx, due)
	defer cancel()
	s.client.hurry.Store(&cancel)
	for len(b.next) > 0 && s.remaining(&b) > 0 && !b.isFull {
		before := len(b.Records)
		poll := waiting
		if waiting.Err() != nil {
			poll = nil // take only what the client has already
		}
		if err := s.take(poll, &b); err != nil && !isContext(err) {
			return b, err
		}
		if poll == nil && len(b.Records) == before {
			break
		}
	}
	return b, nil
}

// narrowRecords bounds a batch whose outputs are flushed in parts (see narrow).
const narrowRecords = 2000

// remaining returns how many more records b may take without exceeding its bounds.
func (s *Session) remaining(b *gathering) int {
	limit := b.limit
	if s.flushEvery > 0 {
		limit = min(limit, narrowRecords)
	}
	n := limit - len(b.Records)
	left := s.cfg.MaxBytes - b.weight
	if left <= 0 {
		return 0
	}
	if len(b.Records) == 0 {
		return min(n, 500) // of unknown size
	}
	size := b.weight/len(b.Records) + 1
	return max(min(n, left/size), min(n, 1))
}

// take fills b with held records that are decided by now; if there are none, it polls the client once. A nil ctx takes what is
// there already and does not wait.
func (s *Session) take(ctx context.Context, b *gathering) error {
	if some, err := s.handOut(b); some || err != nil {
		return err
	}
	limit := s.remaining(b)
	s.watch.asks(s.fetch.asked())
	fetches := s.client.gts.PollRecords(ctx, limit)
	s.watch.gets(fetches.NumRecords() < limit)
	var failed, ended error
	for _, f := range fetches {
		for _, t := range f.Topics {
			for i := range t.Partitions {
				switch err := s.takePartition(t.Topic, &t.Partitions[i], b); {
				case t.Topic == "" && isContext(err):
					ended = err // it tells nothing, and must not hide an error that does
				case err != nil:
					failed = errors.Join(failed, err)
				}
			}
		}
	}
	s.trustTooMuch()
	if _, err := s.handOut(b); err != nil {
		failed = errors.Join(failed, err)
	}
	if failed == nil {
		return ended
	}
	return failed
}

// takePartition takes what was fetched of one partition.
func (s *Session) takePartition(topic string, f *kgo.FetchPartition, b *gathering) error {
	if len(f.Records) > 0 {
		p := offsets.Partition{Topic: topic, Number: f.Partition}
		delete(s.troubles, p)
		var headers int64
		for _, r := range f.Records {
			if len(r.Headers) == 0 {
				continue
			}
			headers += isolation.HeadersBytes(r.Headers)
			if len(r.Headers) == 1 { // a placeholder for a batch has one header
				if err := s.standsFor(p, r); err != nil {
					return err
				}
			}
		}
		s.fetch.headers(headers)
		s.watch.do(func(x *standstill) { x.came(p, f.Records[len(f.Records)-1].Offset+1) })
		s.hold(p, f)
	}
	if f.Err != nil {
		s.watch.do(func(x *standstill) { x.excuse(offsets.Partition{Topic: topic, Number: f.Partition}) })
	}
	switch {
	case errors.Is(f.Err, errBufferFull):
		b.isFull = true
	case f.Err != nil:
		return &fetchError{partition: offsets.Partition{Topic: topic, Number: f.Partition}, fetched: f, err: f.Err}
	}
	return nil
}

// bufferPatience is how long a session waits for capacity in a full InputBuffer before it continues without: the application keeps
// records that it was handed. heldPatience is how long it waits before it concludes that it holds too many records itself.
const (
	bufferPatience = 5 * time.Second
	heldPatience   = 500 * time.Millisecond
)

// awaitBuffer waits a moment if no record came because the InputBuffer is full: other sessions use it, or the application keeps
// records.
func (s *Session) awaitBuffer(ctx context.Context, b gathering) {
	if !b.isFull {
		return
	}
	if s.bufferFullSince.IsZero() {
		s.bufferFullSince = time.Now()
	}
	waited := time.Since(s.bufferFullSince)
	if waited >= heldPatience && s.trust() {
		s.bufferFullSince = time.Time{}
		return
	}
	if waited < bufferPatience {
		s.cfg.InputBuffer.await(ctx, 100*time.Millisecond)
		return
	}
	s.cfg.Logger.Warn("the input buffer is full, and no memory of it is released; continuing without it: does a handler keep the records that it is given?",
		"transactional_id", s.cfg.TransactionalID, "used", s.cfg.InputBuffer.Used())
	s.cfg.InputBuffer.force()
	s.bufferFullSince = time.Time{}
}

// partitionPause is how long a session waits before it makes a new client for an error of a partition, after n such errors in a
// row: the error may last, and each new client joins the group.
func partitionPause(n int) time.Duration {
	return min(100*time.Millisecond<<min(n, 6), 5*time.Second)
}

// errOrder should never be seen: records came out of their order.
var errOrder = errors.New("records were fetched out of order")

// fetchError is an error that came instead of records.
type fetchError struct {
	partition offsets.Partition
	fetched   *kgo.FetchPartition
	err       error
}

func (e *fetchError) Error() string {
	if e.partition.Topic == "" {
		return e.err.Error()
	}
	return fmt.Sprintf("fetch of %s: %v", e.partition, e.err)
}

func (e *fetchError) Unwrap() error { return e.err }

// pollFailed decides on an error of a poll: nil means that it is dealt with, and Poll continues.
func (s *Session) pollFailed(ctx context.Context, err error) error {
	s.client.gts.AllowRebalance()
	switch {
	case ctx.Err() != nil:
		s.pending = s.pending || s.tracker.Pending() > 0 // records gathered meanwhile are read again
		if !isContext(err) {
			s.unheard = err
		}
		return ctx.Err()
	case errors.Is(err, kerr.OffsetOutOfRange):
		return s.stop("poll", Aborted, s.lostOffsets(ctx, err))
	case isDataLoss(err):
		return s.stop("poll", Aborted, dataLoss(err))
	case isUnreadable(err):
		return s.stop("poll", Aborted, err)
	}
	if errors.Is(err, kerr.GroupIDNotFound) {
		err = s.otherGroup(ctx, err)
	}
	act := s.act(err, actReplay)
	if failed, ok := errors.AsType[*fetchError](err); ok && failed.partition.Topic != "" && (act == actReplay || act == actReplace) {
		act = actReplace // kgo does not continue with every partition whose error it has returned
		if !cluster.Sleep(ctx, partitionPause(s.failing)) {
			return s.pollFailed(ctx, err)
		}
		s.failing++
	}
	if errors.Is(err, errDiscarded) || errors.Is(err, errOrder) || errors.Is(err, kgo.ErrClientClosed) {
		act = actReplace
	}
	switch act {
	case actStop, actRejected:
		return s.stop("poll", Aborted, err)
	case actReplace, actFenced:
		if failed := s.replace(ctx, err, nil); failed != nil {
			return failed
		}
		return nil
	case actReplay, actAgain:
	}
	s.retrying("read", err)
	if err := s.rewind(ctx); err != nil { // records that came along with the error are read again
		return s.pollFailed(ctx, err)
	}
	return nil
}

func isDataLoss(err error) bool {
	_, ok := errors.AsType[*kgo.ErrDataLoss](err)
	return ok
}

// dataLoss returns the offsets that kgo found lost in a truncated log.
func dataLoss(err error) error {
	lost, _ := errors.AsType[*kgo.ErrDataLoss](err)
	return &LostOffsetsError{
		Partition: offsets.Partition{Topic: lost.Topic, Number: lost.Partition},
		From:      lost.ConsumedTo, To: lost.ResetTo,
	}
}

// lostOffsets finds out which offsets are gone: from the group's committed offset to the log's start.
func (s *Session) lostOffsets(ctx context.Context, err error) error {
	failed, ok := errors.AsType[*fetchError](err)
	if !ok {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	p := failed.partition
	committed, cerr := s.stableOffsets(ctx, offsets.Set{p: offsets.NewPosition(0)})
	starts, serr := s.ask.Starts(ctx, p.Topic)
	start, ok := starts[p]
	if cerr != nil || serr != nil || !ok || start.Err != nil {
		return errors.Join(err, cerr, serr)
	}
	lost := &LostOffsetsError{Partition: p, From: committed[p].Offset, To: start.Offset}
	if lost.To <= lost.From { // past the end: the log was truncated
		if ends, err := s.ask.Ends(ctx, p.Topic); err == nil {
			if end, ok := ends[p]; ok {
				lost.To = end.Offset
			}
		}
	}
	return lost
}
