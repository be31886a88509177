package eos

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// errNotCommitted is the cause when the client ended a transaction with an abort though a commit was wanted.
var errNotCommitted = errors.New("the group rebalanced, or a coordinator moved, while the transaction was open")

// errBegin is the cause when the client refuses to begin a transaction: its producer id has failed for good.
var errBegin = errors.New("no transaction can be begun")

// errOffsets is the cause when the offsets of a transaction are refused before they are sent.
var errOffsets = errors.New("offsets refused")

// errTooOld is the cause when a transaction was aborted before the broker would have done it.
var errTooOld = errors.New("the transaction came close to its timeout")

// Commit runs one transaction: it produces outs, and commits them together with the offsets after b. It returns nil
// if and only if the transaction is committed. b must be the batch of the last Poll, and can be committed once. Any other
// batch is refused with ErrMisuse and the Outcome NotAttempted: the call does nothing, and the batch stays what it was.
//
// A record whose destination does not exist is refused, and so is one whose timestamp the client cannot write: see RejectedError,
// DestinationError and TimestampError. A record with a key goes to the partition that Kafka's clients choose by default (murmur2). A
// record without a key goes to Record.Partition modulo the number of partitions; for a topic of Config.Placed it goes to
// Record.Partition.
//
// On an error no read_committed reader will ever see an output of b, unless the error's Outcome says otherwise: Poll returns the
// records again. If an answer is lost, Commit does not guess. It makes a new client with the same ids, which ends the transaction one
// way or the other, and asks the group's offsets which.
//
// If ctx ends before the commit is sent, the transaction is aborted. For the answer to a commit that was sent, Commit waits two
// seconds after the end of ctx; then the Outcome is Unknown, and the next Open with the same ids resolves it.
func (s *Session) Commit(ctx context.Context, b Batch, outs iter.Seq[*kgo.Record]) error {
	if err := s.enter("commit", &b); err != nil {
		return err
	}
	defer s.busy.Store(false)
	if !s.isOut(b) {
		return &Error{Op: "commit", Outcome: NotAttempted, Next: PollAgain, Err: fmt.Errorf("%w: %s", ErrMisuse, s.whyNotOut(b))}
	}
	s.txn++
	t := &transaction{s: s, batch: b, outputs: map[offsets.Partition]int64{}}
	err := t.run(ctx, outs)
	t.setPace()
	if err != nil {
		s.rewound()
	}
	s.pending = false
	s.lastEnd = time.Now()
	t.report(err)
	if s.stopped == nil && s.state != Polling {
		s.to(Polling, nil)
	}
	return err
}

// whyNotOut says why a batch cannot be committed.
func (s *Session) whyNotOut(b Batch) string {
	switch b.id {
	case 0:
		return "this batch was not handed out by Poll"
	case s.polled:
		return "this batch was committed, or tried, before, or was given back"
	default:
		return "this is not the batch that was polled last"
	}
}

// transaction is one Commit under way.
type transaction struct {
	s     *Session
	batch Batch

	producerID     int64
	epoch          int16
	tag            string      // see newTag
	member         string      // the member id that its offsets were sent with
	commits        offsets.Set // the offsets to commit, from the tracker
	began, flushed time.Time
	cause          error       // why it was not committed at once
	phase          phase       // see advance
	slowed         atomic.Bool // its produces were throttled
	sent, bytes    int64       // records handed to the client, and their keys and values

	mu       sync.Mutex
	acked    int64
	failed   error                       // the first produce that failed
	rejected int                         // how many records were refused for their content, not for their destination
	outputs  map[offsets.Partition]int64 // last offset of each partition that records were produced to; see dueMarkers
	at       offsets.Partition           // where the newest confirmed record is; its offset is not in outputs yet
	last     int64
}

// run goes through the states of a transaction from left to right; every branch of it is here.
func (t *transaction) run(ctx context.Context, outs iter.Seq[*kgo.Record]) error {
	s := t.s
	t.began = time.Now()
	s.to(InTxn, nil)
	if why := s.client.discarded(); why != nil {
		return t.abort(ctx, why)
	}
	if s.client.rebalanced.Load() {
		return t.abort(ctx, errNotCommitted) // the end would abort it as well
	}
	if err := t.identify(ctx); err != nil {
		return t.abort(ctx, err)
	}
	if err := t.finish(); err != nil {
		return t.abort(ctx, err)
	}
	if err := s.client.gts.Begin(); err != nil {
		return t.abort(ctx, fmt.Errorf("%w: %w", errBegin, err))
	}
	// The broker aborts a transaction at its timeout; we stop before that. The records have a context of our own: if the
	// caller's were cancelled, kgo would fail records that the broker may have.
	alive, unbind := s.client.bound(context.WithoutCancel(ctx))
	defer unbind()
	alive, giveUp := context.WithCancelCause(alive)
	defer giveUp(nil)
	defer s.throttles.during(func(d time.Duration) { t.throttled(d, giveUp) })()
	own, cancel := context.WithTimeout(alive, s.cfg.TransactionTimeout*9/10)
	defer cancel()
	if err := t.produce(ctx, own, outs); err != nil {
		return t.abort(ctx, err)
	}
	s.to(Flushing, nil)
	if err := t.flush(ctx, own); err != nil {
		return t.abort(ctx, err)
	}
	t.flushed = time.Now()
	s.to(Committing, nil)
	committed, err := t.end(ctx)
	switch {
	case err != nil:
		return t.inDoubt(ctx, err)
	case !committed:
		return t.notCommitted(ctx)
	}
	t.advance(coordinatorCommitted)
	s.client.distrust(s.held)
	s.watch.do(func(x *standstill) { x.committed(t.commits) })
	if s.epochs {
		s.client.producerEpoch++
	}
	return nil
}

// identify notes the producer epoch that the transaction will have.
func (t *transaction) identify(ctx context.Context) error {
	c := t.s.client
	if err := c.noteEpoch(ctx); err != nil {
		return fmt.Errorf("%w: %w", errBegin, err)
	}
	t.producerID, t.epoch = c.producerID, c.producerEpoch
	t.tag = t.newTag()
	return nil
}

// advance takes the transaction to its phase after e. When its outcome becomes certain, the markers that it needs are due.
func (t *transaction) advance(e event) {
	before := t.phase
	t.phase = before.after(e)
	if before.outcome() == Unknown && t.phase.outcome() != Unknown {
		t.expectMarkers(before == phaseEnding)
	}
}

// expectMarkers notes which markers are due after the transaction, whose outcome is certain. offsetsSent says that its
// offsets may have been sent.
func (t *transaction) expectMarkers(offsetsSent bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note()
	switch t.phase.outcome() {
	case Committed:
		t.s.due.committed(t.outputs, t.batch.next)
	case Aborted:
		var inputs offsets.Set
		if offsetsSent {
			inputs = t.batch.next
		}
		t.s.due.aborted(t.outputs, inputs)
	case Unknown, NotAttempted:
	}
}

// finish notes that the whole batch is processed, and takes the offsets to commit from the tracker.
func (t *transaction) finish() error {
	for p, from := range t.batch.from {
		if err := t.s.tracker.Done(p, from.Offset, t.batch.next[p].Offset-1); err != nil {
			return err
		}
	}
	t.commits = offsets.Set{}
	done := t.s.tracker.Positions()
	for p := range t.batch.next {
		t.commits[p] = done[p]
	}
	return nil
}

// produce hands outs to the client. It stops at the first record that is refused, and when the transaction gets too old.
func (t *transaction) produce(ctx, own context.Context, outs iter.Seq[*kgo.Record]) error {
	cl := t.s.client.gts.Client()
	sinceFlush := 0
	for r := range outs {
		if err := t.s.CheckOutput(r.Topic, r.Timestamp); err != nil {
			return &RejectedError{r, err}
		}
		t.sent++
		t.bytes += int64(len(r.Key) + len(r.Value))
		cl.Produce(own, r, t.promise)
		if sinceFlush += len(r.Key) + len(r.Value) + 1; t.s.flushEvery > 0 && sinceFlush >= t.s.flushEvery {
			if err := t.flush(ctx, own); err != nil {
				return err
			}
			sinceFlush = 0
		}
		if t.sent%256 != 0 {
			continue
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case own.Err() != nil:
			return fmt.Errorf("%w: %w", errTooOld, context.Cause(own))
		}
	}
	return nil
}

// promise takes the answer for one record. The client's goroutines call it.
func (t *transaction) promise(r *kgo.Record, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := offsets.Partition{Topic: r.Topic, Number: r.Partition}
	if err == nil {
		if at != t.at {
			t.note()
			t.at = at
		}
		t.last = r.Offset
		t.acked++
		return
	}
	t.note()
	t.outputs[at] = unknownOffset
	if refused := t.s.counts.mismatch(r.Topic); refused != nil {
		err = refused
	}
	if rejected := t.s.rejected(r, err); rejected != nil {
		err = rejected
		if !isMisdirected(err) {
			t.rejected++
		}
	}
	if t.failed == nil || isMisdirected(err) && isDestination(t.failed) {
		// Before transaction.version 2 the client fails all records when one topic cannot be added to the transaction. The record
		// for that topic is blamed: if that is wrong, the next attempt fails without it.
		if !isRejected(err) { // a RejectedError names the topic itself
			err = fmt.Errorf("topic %s: %w", r.Topic, err)
		}
		t.failed = err
	}
}

// note moves the last confirmed offset into outputs. The caller holds mu.
func (t *transaction) note() {
	if t.at.Topic != "" && t.outputs[t.at] != unknownOffset {
		t.outputs[t.at] = t.last
	}
	t.at = offsets.Partition{}
}

// flush waits for the answers to all that was produced. nil means that every record is in the log.
func (t *transaction) flush(ctx, own context.Context) error {
	bounded, cancel := context.WithCancel(own)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	err := t.s.client.gts.Client().Flush(bounded)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.s.client.discarded() != nil:
		return t.s.client.discarded()
	case t.failed != nil && own.Err() == nil:
		return fmt.Errorf("%w: %w", ErrProduce, t.failed)
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil || t.failed != nil:
		return fmt.Errorf("%w: %w", errTooOld, cmp.Or(context.Cause(own), t.failed, err))
	case t.acked != t.sent:
		return fmt.Errorf("%w: %d of %d are confirmed", ErrProduce, t.acked, t.sent)
	}
	return nil
}

// errThrottled is the cause when a transaction is aborted because the brokers throttle it for too long.
var errThrottled = errors.New("the brokers throttle what is produced")

// throttled is called while the transaction produces, when a broker makes the client wait before it produces more. If the wait is long,
// the transaction is given up throttledGrace later: the records that are not confirmed by then are the ones that wait.
func (t *transaction) throttled(d time.Duration, giveUp context.CancelCauseFunc) {
	t.slowed.Store(true)
	if d > t.s.throttles.longest() {
		time.AfterFunc(throttledGrace, func() { giveUp(fmt.Errorf("%w for %v", errThrottled, d)) })
	}
}

// throttledGrace is how long other brokers may take to answer after one has throttled the client.
const throttledGrace = time.Second

// setPace decides how large the next batch may be.
func (t *transaction) setPace() {
	s := t.s
	went := paced{records: len(t.batch.Records), throttle: s.throttles.produceLeft(), late: errors.Is(t.cause, errTooOld)}
	switch { // smaller batches help only against these two
	case went.late:
		went.produced = time.Since(t.began)
	case t.slowed.Load():
		went.produced = t.flushed.Sub(t.began)
	}
	before := s.pace
	s.pace = s.pace.next(went, s.throttles.longest()/2, s.cfg.MaxRecords)
	if went.late {
		s.cfg.Logger.Warn("the transaction could not be produced in time; the session aborts it, nothing is lost, and the next batches are smaller",
			"transactional_id", s.cfg.TransactionalID, "txn", s.txn, "in", went.records, "max_records", int(s.pace), "err", t.cause)
	} else if s.pace != before {
		s.cfg.Logger.Debug("the batch size changes because of the time that batches take", "transactional_id", s.cfg.TransactionalID, "max_records", int(s.pace))
	}
}

// end sends the offsets and EndTxn(commit). If it gave up early, it would be unknown whether the transaction is committed, so its
// context ends with the transaction timeout, or endGrace after the caller's.
//
// A member that the group has given up (a process that was stopped for long) would wait here for all of that time: the client sends a
// heartbeat before EndTxn, but its group loop has found UNKNOWN_MEMBER_ID and waits until rebalances are allowed, which would be after
// the end. So end allows rebalances when it takes long. The client then aborts the transaction, as it does for every rebalance that it
// learns of before EndTxn is sent; a rebalance that comes later waits for the end.
func (t *transaction) end(caller context.Context) (committed bool, err error) {
	s := t.s
	t.advance(endSent)
	alive, unbind := s.client.bound(context.Background())
	defer unbind()
	ctx, cancel := s.graceful(caller, alive)
	defer cancel()
	defer time.AfterFunc(min(time.Second, s.cfg.SessionTimeout/3), s.client.gts.AllowRebalance).Stop()
	return s.client.gts.End(kgo.PreTxnCommitFnContext(ctx, t.checkOffsets), kgo.TryCommit)
}

// graceful returns a context for the end of a transaction: it ends with parent, with the transaction timeout, or endGrace after the
// caller's.
func (s *Session) graceful(caller, parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(parent, s.cfg.TransactionTimeout)
	unbind := context.AfterFunc(caller, func() { time.AfterFunc(endGrace, cancel) })
	return ctx, func() { unbind(); cancel() }
}

// endGrace is how long Commit waits for the answer to a commit that was sent after the caller's context has ended.
const endGrace = 2 * time.Second

// newTag returns the metadata for the offsets of this transaction: it tells them from another member's.
func (t *transaction) newTag() string {
	name := t.s.cfg.TransactionalID
	if len(name) > longName { // brokers take 4096 bytes by default (offset.metadata.max.bytes)
		name = fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
	}
	return fmt.Sprintf("%s/%d/%d/%d", name, t.producerID, t.epoch, t.s.txn)
}

const longName = 1000

// tagFor returns the metadata of the transaction's offsets of topic: its tag, and the topic's id.
func (t *transaction) tagFor(topic string) string { return t.tag + t.s.inputs.tagSuffix(topic) }

// checkOffsets makes the client commit the offsets of the batch, with the transaction's tag. By itself the client would commit all that
// it has handed out. The two differ by the held records only; any other difference is a bug, also a batch that was cut short, and then
// nothing is committed. Nothing is committed either if another member may have owned a partition of the batch meanwhile.
func (t *transaction) checkOffsets(req *kmsg.TxnOffsetCommitRequest) error {
	if err := t.rewriteOffsets(req); err != nil {
		return err
	}
	t.member = req.MemberID
	return t.s.client.members.check(t.commits, membership{req.MemberID, req.Generation})
}

// abort ends a transaction whose EndTxn(commit) was never sent: its outcome is certain.
func (t *transaction) abort(ctx context.Context, cause error) error {
	s := t.s
	t.cause = cause
	s.to(Aborting, cause)
	act := s.act(cause, actReplay)
	if act == actFenced || errors.Is(cause, errDiscarded) || errors.Is(cause, errThrottled) { // an abort would wait on the throttled connection, too
		return t.replaceAborted(ctx, cause)
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	_, err := s.client.gts.End(bounded, kgo.TryAbort)
	if err == nil {
		t.advance(coordinatorAborted)
		_ = s.client.noteEpoch(bounded) // without the epoch, a fence is treated as another instance's
	}
	if met, ok := errors.AsType[*PartitionsChangedError](cause); ok {
		if ok, cause = s.confirm(ctx, met); ok {
			act = actStop
		}
		t.cause = cause
	}
	if s.isThere(ctx, cause) {
		cause = fmt.Errorf("%w (%v)", errOldMetadata, cause) //nolint:errorlint // the record is not to blame
		t.cause = cause
	}
	switch {
	case act == actStop:
		return s.stop("commit", Aborted, cause)
	case err != nil || act == actReplace || errors.Is(cause, errBegin) || errors.Is(cause, errTooOld):
		return t.replaceAborted(ctx, errors.Join(cause, err))
	case !s.epochs && t.hasFailed():
		// A produce that failed may be in the log nevertheless: written by a first try whose answer was lost, and refused when it was sent
		// again. The client gives its sequence numbers to the next batch (franz-go 1.22.2). The broker treats that batch as a copy of the
		// first one, which is aborted by now, and confirms it: it would be lost. So the next transaction gets another epoch.
		if err := t.newClient(ctx, cause); err != nil {
			return err
		}
	}
	switch {
	case t.rejected > 1:
		s.narrow()
		return &Error{Op: "commit", Outcome: Aborted, Next: PollAgain, Err: fmt.Errorf("%w: %w", ErrProduce, errRefusedTogether)}
	case isRejected(cause):
		return &Error{Op: "commit", Outcome: Aborted, Next: Stop, Err: cause}
	}
	s.client.rebalanced.Store(false)
	return &Error{Op: "commit", Outcome: Aborted, Next: PollAgain, Err: cause}
}

// errRefusedTogether is the cause when the broker refused a batch of several records: each of them, or only all together,
// may be too large, or one of them wrong.
var errRefusedTogether = errors.New("records were refused together; they are tried again in smaller groups")

// narrow makes the session flush after fewer bytes, from one transaction to the next, until a record that is refused is refused alone
// and can be named, or all records that were refused together pass. The limit stays for the life of the session, as the topic's
// max.message.bytes does.
func (s *Session) narrow() {
	if s.flushEvery == 0 {
		s.flushEvery = 1 << 20
	}
	s.flushEvery = max(s.flushEvery/8, 1)
	s.cfg.Logger.Warn("the broker refused records together; producing in smaller groups: is max.message.bytes of the output topic smaller than a batch?",
		"transactional_id", s.cfg.TransactionalID, "group_bytes", s.flushEvery)
}

// abortTimeout bounds an abort. If the transaction is not aborted by then, the next producer id aborts it.
const abortTimeout = 5 * time.Second

// hasFailed says whether a produce of this transaction has failed.
func (t *transaction) hasFailed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed != nil
}

func isRejected(err error) bool {
	_, ok := errors.AsType[*RejectedError](err)
	return ok
}

// newClient makes a new client after an abort.
func (t *transaction) newClient(ctx context.Context, cause error) error {
	if err := t.s.replace(ctx, cause, t); err != nil {
		err.Op, err.Outcome = "commit", Aborted
		return err
	}
	return nil
}

// replaceAborted makes a new client after an abort that may not have reached the broker. The outcome is Aborted even if that
// fails.
func (t *transaction) replaceAborted(ctx context.Context, cause error) error {
	t.advance(clientAbandoned)
	if err := t.newClient(ctx, cause); err != nil {
		return err
	}
	return &Error{Op: "commit", Outcome: Aborted, Next: PollAgain, Err: explain(cause)}
}

// report tells the Observer how the transaction ended.
func (t *transaction) report(err error) {
	if t.s.cfg.Observer.Transaction == nil {
		return
	}
	now := time.Now()
	if t.flushed.IsZero() {
		t.flushed = now
	}
	outcome := Committed
	if e, ok := errors.AsType[*Error](err); ok {
		outcome = e.Outcome
	}
	t.s.cfg.Observer.Transaction(Transaction{
		TransactionalID: t.s.cfg.TransactionalID, Txn: t.s.txn, Outcome: outcome, Err: t.cause,
		In: len(t.batch.Records), Out: int(t.sent), Bytes: t.batch.Bytes, OutBytes: int(t.bytes), Offsets: t.batch.Offsets(),
		Flush: t.flushed.Sub(t.began), End: now.Sub(t.flushed),
	})
}
