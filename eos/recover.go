package eos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// A session makes at most fenceBudget new clients within fenceWindow for fences that it has caused itself (a transaction
// that timed out). One more, and another instance must have the same transactional id.
const (
	fenceBudget = 3
	fenceWindow = time.Minute
)

// replace discards the client and makes another with the same ids. It tries until it succeeds or ctx ends. If another
// instance has the ids by now, it stops the session: the two would fence each other without end. If t is not nil, it is the
// transaction in which the client has failed.
func (s *Session) replace(ctx context.Context, cause error, t *transaction) *Error {
	s.to(Replacing, cause)
	s.cfg.Logger.Warn("making a new client with the same ids", "transactional_id", s.cfg.TransactionalID, "txn", s.txn, "err", cause)
	last := s.client
	own := []string{last.memberID()}
	last.close()
	if s.cfg.GroupProtocol == ConsumerProtocol {
		// The client may have joined again meanwhile, with an id of its own choice, and only because no other member has the instance id. In the
		// classic protocol it would have pushed that member out, and would have to be told of it.
		own = append(own, last.memberID())
	}
	s.throttles.reconnected()
	if t != nil {
		t.advance(clientClosed)
	}
	s.rewound()
	s.watch.do(func(x *standstill) { clear(x.parts) })
	s.pending, s.unheard, s.reread = false, nil, nil
	fenced := actionFor(cause, actReplay) == actFenced
	joined := errors.Is(cause, kerr.FencedInstanceID) || errors.Is(cause, kerr.UnreleasedInstanceID)
	joinsLater := fenced && !joined || errors.Is(cause, kerr.InvalidTxnState)
	taken, err := s.takenOver(ctx, last, own, joinsLater)
	if err != nil {
		return s.stop("replace", Aborted, err)
	}
	if taken || fenced && !s.allowFence() {
		return s.stop("replace", Aborted, fmt.Errorf("%w (transactional id %s%s): %w", ErrFenced, s.cfg.TransactionalID, s.holder(ctx), cause))
	}
	each := s.retry("make a new client")
	each.First, each.Longest, each.IsFinal = 50*time.Millisecond, 2*time.Second, s.isFinal
	var c *client
	err = each.Until(ctx, func(ctx context.Context) (err error) {
		c, err = s.renew(ctx, cause, t)
		return err
	})
	switch {
	case err == nil:
		s.client = c
		s.authFailedSince = time.Time{}
		s.to(Polling, nil)
		return nil
	case ctx.Err() != nil:
		return s.stop("replace", Aborted, ctx.Err())
	}
	return s.stop("replace", Aborted, err)
}

// isFinal reports whether an error of a question stops the session.
func (s *Session) isFinal(err error) bool { return s.act(err, actReplay) == actStop }

// renew makes the new client after every transaction of the old one is over and its markers are there.
func (s *Session) renew(ctx context.Context, cause error, t *transaction) (*client, error) {
	if t != nil || s.due.any() {
		if err := s.windUp(ctx, cause, t); err != nil {
			return nil, err
		}
	}
	return s.connect(ctx)
}

// windUp makes the coordinator end the old client's transaction, finds out how it ended, and waits for its markers and those
// of the transactions before, or writes them again.
func (s *Session) windUp(ctx context.Context, cause error, t *transaction) error {
	patience := markersPatience
	if open := t != nil && !t.phase.isOver(); !open {
		if t == nil && errors.Is(cause, errMarkers) {
			patience = 0 // they were waited for already
		}
		if s.awaitMarkers(ctx, patience) == nil {
			return nil
		}
		patience = 0
	}
	cl, err := kgo.NewClient(s.connection(kgo.TransactionalID(s.cfg.TransactionalID), kgo.TransactionTimeout(s.cfg.TransactionTimeout))...)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer cl.Close()
	id, epoch, err := s.initProducerID(ctx, cl)
	if err != nil {
		return fmt.Errorf("initialize the producer id: %w", err)
	}
	if t != nil && t.phase.needsOffsets() {
		if err := t.resolve(ctx); err != nil {
			return err
		}
	}
	if s.awaitMarkers(ctx, patience) == nil {
		return nil
	}
	if _, err := s.lookForMarkers(ctx); err != nil {
		return err // without a leader, a partition's marker would be forgotten again
	}
	return s.repeatMarkers(ctx, cl, id, epoch)
}

// allowFence counts a fence that the session has caused itself, and reports whether it is within the budget.
func (s *Session) allowFence() bool {
	now := time.Now()
	kept := s.fences[:0]
	for _, f := range s.fences {
		if now.Sub(f) < fenceWindow {
			kept = append(kept, f)
		}
	}
	s.fences = append(kept, now)
	return len(s.fences) <= fenceBudget
}

// takenOver asks the brokers whether another process has taken the ids of the client last, whose member ids in the group were own:
// whether it has joined the group as this static member, and has a producer id for this transactional id. A fence alone does not prove
// it: a transaction that timed out, or an operator's abort, looks the same. Neither does another member id alone: it may come from a
// JoinGroup of our own whose answer was lost. The other process joins only after it has fenced this one. So if that may be the cause
// (joinsLater), takenOver waits a little for it. (A request that was on its way then is refused with INVALID_TXN_STATE.)
func (s *Session) takenOver(ctx context.Context, last *client, own []string, joinsLater bool) (bool, error) {
	const interval = 100 * time.Millisecond
	patience := time.Now()
	if joinsLater {
		patience = patience.Add(3 * time.Second)
	}
	each := s.retry("describe the group")
	each.First, each.Longest, each.IsFinal = interval, interval, s.isFinal
	for {
		var members []cluster.Member
		err := each.Until(ctx, func(ctx context.Context) (err error) {
			members, err = s.describeGroup(ctx)
			return err
		})
		switch {
		case err != nil && ctx.Err() != nil:
			return false, ctx.Err()
		case err != nil:
			return false, err
		}
		for _, m := range members {
			if m.Instance == s.cfg.InstanceID && isOther(m.ID, own) {
				return s.isProducerElse(ctx, last), nil
			}
		}
		if !time.Now().Before(patience) {
			return false, nil
		}
		if !cluster.Sleep(ctx, interval) {
			return false, ctx.Err()
		}
	}
}

// isOther reports whether a member of the group is not the client that had these ids there; "" means that it had none. A client that
// never had an id cannot tell.
func isOther(member string, own []string) bool {
	own = slices.DeleteFunc(slices.Clone(own), func(id string) bool { return id == "" })
	return len(own) > 0 && !slices.Contains(own, member)
}

// isReplaced reports whether, in the consumer protocol, another instance has replaced this static member, whose id in the group was
// member. There the broker answers a commit of the replaced member with UNKNOWN_MEMBER_ID, as after a rebalance that it has missed; and
// if it joined again, it would remove the other instance from the group. A member of that protocol chooses its ids itself, so an id that
// the client does not know is another instance's. If the brokers cannot be asked, it returns false: the next commit asks again.
func (s *Session) isReplaced(ctx context.Context, member string) bool {
	if s.cfg.GroupProtocol != ConsumerProtocol {
		return false
	}
	before, _ := s.client.gts.Client().GroupMetadata()
	members, err := s.describeGroup(ctx)
	after, _ := s.client.gts.Client().GroupMetadata()
	return err == nil && slices.ContainsFunc(members, func(m cluster.Member) bool {
		return m.Instance == s.cfg.InstanceID && m.ID != member && m.ID != before && m.ID != after
	})
}

// isProducerElse reports whether the transactional id has, or may have, another producer id or epoch than the client last knew. It
// returns true if the coordinator cannot be asked, or if an answer to the client was lost.
func (s *Session) isProducerElse(ctx context.Context, last *client) bool {
	bounded, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	d, err := s.describeTransaction(bounded)
	return err != nil || d.ProducerID != last.producerID || d.ProducerEpoch != last.producerEpoch
}

// holder returns, for an error, which producer has the transactional id now, if the coordinator can be asked.
func (s *Session) holder(ctx context.Context) string {
	bounded, cancel := context.WithTimeout(ctx, firstAsk)
	defer cancel()
	d, err := s.describeTransaction(bounded)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(", which producer id %d epoch %d has now", d.ProducerID, d.ProducerEpoch)
}

// The patience of one question to a coordinator; see cluster.Patience.
const (
	firstAsk   = 2 * time.Second
	askTimeout = 10 * time.Second
)

// groupOffsets are a group's committed offsets, with the metadata that came with them.
type groupOffsets map[offsets.Partition]groupOffset

type groupOffset struct {
	offsets.Position
	tag string
}

// Covers reports whether each partition of want is committed at its offset or a later one.
func (g groupOffsets) Covers(want offsets.Set) bool {
	for p, pos := range want {
		if g[p].Offset < pos.Offset {
			return false
		}
	}
	return true
}

// unstableWait is the longest time between two questions for offsets that are not stable yet.
const unstableWait = 500 * time.Millisecond

// stableOffsets returns the group's committed offsets of the partitions of want, after every transaction with pending
// offsets for them is decided (OffsetFetch with require_stable, KIP-447). A partition without one has offset -1.
func (s *Session) stableOffsets(ctx context.Context, want offsets.Set) (groupOffsets, error) {
	return s.untilOffsets(ctx, s.ask.Stable, want)
}

// askGroup is one of the two questions for a group's offsets: cluster.Client's Committed and Stable.
type askGroup func(ctx context.Context, group string) (cluster.Offsets, error)

// untilOffsets asks until it is answered, ctx ends, or the answer is final.
func (s *Session) untilOffsets(ctx context.Context, ask askGroup, want offsets.Set) (got groupOffsets, err error) {
	each := cluster.Retry{First: 10 * time.Millisecond, Longest: unstableWait, IsFinal: s.isFinal}
	each.Again = func(err error, wait time.Duration) {
		if !errors.Is(err, kerr.UnstableOffsetCommit) || wait == unstableWait { // they are unstable after every transaction
			s.retrying("fetch the group's offsets", err)
		}
	}
	err = each.Until(ctx, func(ctx context.Context) (err error) {
		got, err = s.fetchOffsets(ctx, ask, want)
		return err
	})
	if err != nil && ctx.Err() != nil && !isContext(err) {
		return nil, errors.Join(ctx.Err(), err)
	}
	return got, err
}

// fetchOffsets asks once for the group's offsets of the partitions of want.
func (s *Session) fetchOffsets(ctx context.Context, ask askGroup, want offsets.Set) (groupOffsets, error) {
	answer, err := ask(ctx, s.cfg.Group)
	if err != nil {
		return nil, fmt.Errorf("fetch the offsets of group %s: %w", s.cfg.Group, err)
	}
	got := groupOffsets{}
	for p := range want {
		o, ok := answer[p]
		switch {
		case !ok:
			got[p] = groupOffset{Position: offsets.NewPosition(-1)}
		case o.Err != nil:
			return nil, fmt.Errorf("fetch the offset of %s: %w", p, o.Err)
		default:
			got[p] = groupOffset{Position: o.Position, tag: o.Metadata}
		}
	}
	return got, nil
}
