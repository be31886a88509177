package eos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/ask"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// A session makes at most this many new clients for fences that were its own doing (a transaction that timed out)
// within this time; one more, and somebody else must hold the same transactional id.
const (
	fenceBudget = 3
	fenceWindow = time.Minute
)

// replace discards the client and makes another with the same ids, as often as it takes, until ctx ends. It refuses,
// and stops the session, when another instance holds the ids by now: to take them back would start a war of fences.
// If t is not nil, it is the transaction in which the client has failed.
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
	if t != nil && t.neverEnded {
		t.decide(Aborted)
	}
	s.forget()
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
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		c, err := s.renew(ctx, cause, t)
		if err == nil {
			s.client = c
			s.refused = time.Time{}
			s.to(Polling, nil)
			return nil
		}
		if ctx.Err() != nil {
			return s.stop("replace", Aborted, ctx.Err())
		}
		if act := s.act(err, actReplay); act == actStop {
			return s.stop("replace", Aborted, err)
		}
		s.retrying("make a new client", err)
		if !ask.Sleep(ctx, wait) {
			return s.stop("replace", Aborted, ctx.Err())
		}
	}
}

// renew makes the new client, after all that was begun with the old one is over and its markers are there.
func (s *Session) renew(ctx context.Context, cause error, t *transaction) (*client, error) {
	if t != nil || s.due.any() {
		if err := s.windUp(ctx, cause, t); err != nil {
			return nil, err
		}
	}
	return s.connect(ctx)
}

// windUp has the coordinator end the old client's transaction, finds out how it ended, and sees to its markers and those
// of the transactions before.
func (s *Session) windUp(ctx context.Context, cause error, t *transaction) error {
	patience := markersPatience
	if open := t != nil && !t.ended; !open {
		if t == nil && errors.Is(cause, errMarkers) {
			patience = 0 // they have been waited for
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
	if t != nil && t.decided == Unknown && !t.resolved {
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

// allowFence counts fences of the session's own doing against the budget.
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

// takenOver asks the brokers whether another process has taken the ids of the client last, which was a member of the group under its
// own ids: whether it has joined the group as this static member, and has had a producer id for this transactional id. A fence alone
// does not say so: a transaction that timed out, or an operator's abort, looks the same. Nor does another member id alone: it may
// come of a JoinGroup of our own whose answer was lost. The other one joins only after it has fenced us, so where that may
// be the cause (joinsLater) we wait a little for it. (A request that was under way then is refused with INVALID_TXN_STATE.)
func (s *Session) takenOver(ctx context.Context, last *client, own []string, joinsLater bool) (bool, error) {
	patience := time.Now()
	if joinsLater {
		patience = patience.Add(3 * time.Second)
	}
	for {
		members, err := s.describeGroup(ctx)
		if err == nil {
			for _, m := range members {
				if m.instance == s.cfg.InstanceID && isOther(m.member, own) {
					return s.isProducerElse(ctx, last), nil
				}
			}
			if !time.Now().Before(patience) {
				return false, nil
			}
		} else if s.act(err, actReplay) == actStop {
			return false, err
		} else {
			s.retrying("describe the group", err)
		}
		if !ask.Sleep(ctx, 100*time.Millisecond) {
			return false, ctx.Err()
		}
	}
}

// isOther reports whether a member of the group is none of a client's, which had these ids, "" where it had none. A client that never had
// one does not know.
func isOther(member string, own []string) bool {
	own = slices.DeleteFunc(slices.Clone(own), func(id string) bool { return id == "" })
	return len(own) > 0 && !slices.Contains(own, member)
}

// isReplaced says whether another instance has taken the place of this static member, which was in the group under this id, in the consumer
// protocol. There a commit of the one that is replaced is answered with UNKNOWN_MEMBER_ID, as after a rebalance that it has missed; and
// to join again would take the other one out of the group. A member of that protocol chooses its ids itself, so an id that the client
// does not know is another instance's. Where it cannot be asked, it says no: the next commit asks again.
func (s *Session) isReplaced(ctx context.Context, member string) bool {
	if s.cfg.GroupProtocol != ConsumerProtocol {
		return false
	}
	before, _ := s.client.gts.Client().GroupMetadata()
	members, err := s.describeGroup(ctx)
	after, _ := s.client.gts.Client().GroupMetadata()
	return err == nil && slices.ContainsFunc(members, func(m groupMember) bool {
		return m.instance == s.cfg.InstanceID && m.member != member && m.member != before && m.member != after
	})
}

// isProducerElse says whether the transactional id has another producer id or epoch than the client last knew, or may have: where
// that cannot be asked, or an answer to the client was lost, it says yes.
func (s *Session) isProducerElse(ctx context.Context, last *client) bool {
	bounded, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	d, err := s.describeTransaction(bounded)
	return err != nil || d.ProducerID != last.producerID || d.ProducerEpoch != last.producerEpoch
}

// holder says which producer has the transactional id now, if the coordinator tells.
func (s *Session) holder(ctx context.Context) string {
	bounded, cancel := context.WithTimeout(ctx, firstAsk)
	defer cancel()
	d, err := s.describeTransaction(bounded)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(", which producer id %d epoch %d has now", d.ProducerID, d.ProducerEpoch)
}

// A question to a coordinator is given up after firstAsk, the next one after twice that, and so on up to askTimeout, until one is
// answered: a broker that has just died must not cost long, and one that is far away must get the time that it needs. A client goes
// on asking a coordinator that is gone until its metadata is new; so after an error it is refreshed.
const (
	firstAsk   = 2 * time.Second
	askTimeout = 10 * time.Second
)

// asking returns a context for one question, and what to call with its error when it is over.
func (s *Session) asking(ctx context.Context) (context.Context, func(error)) {
	allowed := max(firstAsk, time.Duration(s.askAllowed.Load()))
	bounded, cancel := context.WithTimeout(ctx, allowed)
	return bounded, func(err error) {
		switch {
		case err == nil:
			s.askAllowed.Store(0)
		case bounded.Err() != nil && ctx.Err() == nil:
			s.askAllowed.Store(int64(min(2*allowed, askTimeout)))
		}
		cancel()
	}
}

// groupOffsets are a group's committed offsets, with the metadata that came with them.
type groupOffsets map[offsets.Partition]groupOffset

type groupOffset struct {
	offsets.Position
	mark string
}

// Covers says whether each partition of want is committed at or past its offset.
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
	return s.askForOffsets(kadm.RequireStable(ctx), want)
}

// askForOffsets asks until it is answered, ctx ends, or the answer is final.
func (s *Session) askForOffsets(ctx context.Context, want offsets.Set) (groupOffsets, error) {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, unstableWait) {
		got, err := s.fetchOffsets(ctx, want)
		if err == nil || ctx.Err() != nil || s.act(err, actReplay) == actStop {
			return got, err
		}
		if !errors.Is(err, kerr.UnstableOffsetCommit) || wait == unstableWait { // unstable they are after every transaction
			s.retrying("fetch the group's offsets", err)
		}
		if !ask.Sleep(ctx, wait) {
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

// fetchOffsets asks once for the group's committed offsets; with kadm.RequireStable in ctx, for stable ones.
func (s *Session) fetchOffsets(ctx context.Context, want offsets.Set) (groupOffsets, error) {
	bounded, asked := s.asking(ctx)
	resp, err := s.adm.FetchOffsets(bounded, s.cfg.Group)
	asked(err)
	if err != nil {
		s.plain.ForceMetadataRefresh()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // a group that does not exist has committed nothing
		return nil, fmt.Errorf("fetch the offsets of group %s: %w", s.cfg.Group, err)
	}
	got := groupOffsets{}
	for p := range want {
		o, ok := resp.Lookup(p.Topic, p.Number)
		switch {
		case !ok:
			got[p] = groupOffset{Position: offsets.NewPosition(-1)}
		case o.Err != nil:
			return nil, fmt.Errorf("fetch the offset of %s: %w", p, o.Err)
		default:
			got[p] = groupOffset{Position: offsets.Position{Offset: o.At, LeaderEpoch: o.LeaderEpoch}, mark: o.Metadata}
		}
	}
	return got, nil
}
