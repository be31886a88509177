package eos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// inDoubt finds out what became of a transaction when End returned an error. The error may hide a commit whose answer was
// lost. If the session kept this client, it would produce every record again, so it discards the client. The coordinator
// knows whether it has decided. If it has not, the new client's producer id makes it abort, or finish what it has begun to
// decide, and then the group's offsets show which it was.
func (t *transaction) inDoubt(ctx context.Context, cause error) error {
	s := t.s
	t.cause = cause
	if s.act(cause, actReplace) == actStop {
		return s.stop("commit", t.outcomeNow(ctx), cause)
	}
	t.askCoordinator(ctx)
	return t.conclude(ctx, cause)
}

// conclude makes a new client and returns how the transaction has ended.
func (t *transaction) conclude(ctx context.Context, cause error) error {
	s := t.s
	err := s.replace(ctx, cause, t)
	switch {
	case t.phase.outcome() == Committed: // if there is no new client, the next call returns that error
		s.cfg.Logger.Info("the answer to a commit was lost; the transaction is committed", "transactional_id", s.cfg.TransactionalID, "txn", s.txn, "err", cause)
		return nil
	case err == nil:
		return &Error{Op: "commit", Outcome: t.phase.outcome(), Next: PollAgain, Err: cause}
	case t.phase.outcome() == Unknown && errors.Is(err, ErrFenced):
		err.Outcome = t.outcomeNow(ctx)
	default:
		err.Outcome = t.phase.outcome()
	}
	err.Op = "commit"
	return err
}

// notCommitted handles an end that the client has turned into an abort. The client has rewound to the offsets that it remembers. It
// treats UNKNOWN_SERVER_ERROR as an abort, too, though the broker may have committed. So the session asks the brokers here as well.
func (t *transaction) notCommitted(ctx context.Context) error {
	s := t.s
	t.cause = errNotCommitted
	s.to(Resolving, t.cause)
	bounded, cancel := context.WithTimeout(ctx, s.cfg.TransactionTimeout)
	defer cancel()
	stable, err := s.stableOffsets(bounded, t.batch.next)
	if err == nil && !stable.Covers(t.batch.next) {
		t.advance(offsetsAborted)
		_ = s.client.noteEpoch(bounded) // without the epoch, a fence is treated as another instance's
		if s.isReplaced(bounded, t.member) {
			return s.stop("commit", Aborted, fmt.Errorf("%w, or with the same instance id (%s): %w", ErrFenced, s.cfg.InstanceID, kerr.UnknownMemberID))
		}
		s.client.rebalanced.Store(false)
		return &Error{Op: "commit", Outcome: Aborted, Next: PollAgain, Err: errNotCommitted}
	}
	return t.conclude(ctx, errors.Join(errNotCommitted, err))
}

// askCoordinator asks the coordinator how the transaction has ended, if it has: with transaction.version 2 every
// transaction has an epoch of its own, and the coordinator is at the next epoch after it.
func (t *transaction) askCoordinator(ctx context.Context) {
	s := t.s
	if !s.epochs {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.TransactionTimeout)
	defer cancel()
	d, err := s.describeTransaction(ctx)
	if err != nil || d.ProducerID != t.producerID || d.ProducerEpoch != t.epoch+1 {
		return
	}
	if outcome, decided := outcomeOf(d.State); decided {
		t.advance(coordinatorSays(outcome))
	}
}

// outcomeOf reads the outcome of a transaction from the state of its transactional id.
func outcomeOf(state string) (outcome Outcome, decided bool) {
	switch state {
	case "PrepareCommit", "CompleteCommit":
		return Committed, true
	case "PrepareAbort", "CompleteAbort":
		return Aborted, true
	}
	return Unknown, false
}

// describeTransaction asks the coordinator for the state of the transactional id, again and again while it does not
// answer. Brokers before 3.0 cannot say it.
func (s *Session) describeTransaction(ctx context.Context) (d kadm.DescribedTransaction, err error) {
	each := s.retry("describe the transaction")
	each.IsFinal = func(err error) bool { return s.isFinal(err) || errors.Is(err, kerr.TransactionalIDNotFound) }
	err = each.Until(ctx, func(ctx context.Context) (err error) {
		d, err = s.ask.Transaction(ctx, s.cfg.TransactionalID)
		return err
	})
	return d, err
}

// resolve asks the group's offsets how the transaction ended, after the coordinator has decided it.
func (t *transaction) resolve(ctx context.Context) error {
	t.s.to(Resolving, t.cause)
	stable, err := t.s.stableOffsets(ctx, t.batch.next)
	if err != nil {
		return err
	}
	t.advance(offsetsSay(t.outcomeIn(stable)))
	return nil
}

// outcomeIn reads from the group's offsets what became of the transaction, which commits all or nothing. The transaction's
// offsets carry its tag: it is committed if all of them are there. It is aborted if one offset is lower, or equal under
// another tag. Otherwise they are offsets of another member that continued from there: that member may have begun after
// this transaction, or have processed the same records after this transaction was aborted. The records are processed once,
// but it is not known by which member.
func (t *transaction) outcomeIn(stable groupOffsets) Outcome {
	outcome := Committed
	for p, want := range t.batch.next {
		switch at := stable[p]; {
		case at.Offset < want.Offset, at.Offset == want.Offset && at.tag != t.tagFor(p.Topic):
			return Aborted
		case at.Offset > want.Offset:
			outcome = Unknown
		}
	}
	return outcome
}

// outcomeNow returns what became of the transaction of a session that stops, without taking the transactional id back.
func (t *transaction) outcomeNow(ctx context.Context) Outcome {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	stable, err := t.s.stableOffsets(bounded, t.batch.next)
	if err != nil {
		return Unknown
	}
	return t.outcomeIn(stable)
}
