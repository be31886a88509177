package eos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// This file finds where the group continues, and where a partition begins for which it has committed nothing yet.

// startOffsets is called by kgo with the group's offsets of partitions just assigned, before anything of them is
// fetched. A partition without a committed offset gets one now. Otherwise an abort before its first commit would rewind
// to the log's start wherever the partition began, and it could not be told later where the group started.
func (c *client) startOffsets(ctx context.Context, fetched map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	if err := c.s.checkAssigned(ctx, fetched); err != nil {
		if errors.Is(err, ErrTopicChanged) {
			c.discard(err) // the session stops
		}
		return nil, err
	}
	missing := offsets.Set{}
	var as membership
	as.member, as.generation = c.gts.Client().GroupMetadata()
	for topic, parts := range fetched {
		for number, o := range parts {
			c.members.assigned(offsets.Partition{Topic: topic, Number: number}, as)
			if o.EpochOffset().Offset < 0 {
				missing[offsets.Partition{Topic: topic, Number: number}] = offsets.NewPosition(-1)
			}
		}
	}
	if len(missing) > 0 {
		if err := c.start(ctx, missing, as); err != nil {
			return nil, err
		}
		for p, pos := range missing {
			fetched[p.Topic][p.Number] = kgo.NewOffset().At(pos.Offset)
		}
	}
	c.has.fetched(c.gts.Client(), fetched, missing)
	c.watchFrom(fetched, missing)
	return fetched, nil
}

// start finds out where partitions begin, and commits that.
func (c *client) start(ctx context.Context, missing offsets.Set, as membership) error {
	if err := c.s.resolveStarts(ctx, missing); err != nil {
		return err
	}
	if err := c.commitStarts(ctx, missing, as); err != nil {
		return err
	}
	c.s.cfg.Logger.Info("committed where the group starts", "group", c.s.cfg.Group, "start", c.s.cfg.Start.String(), "offsets", missing.String())
	return nil
}

// watchFrom tells the watchdog where partitions just assigned begin. kgo knows no committed offset for those in started.
func (c *client) watchFrom(fetched map[string]map[int32]kgo.Offset, started offsets.Set) {
	for topic, parts := range fetched {
		for number, o := range parts {
			p := offsets.Partition{Topic: topic, Number: number}
			_, isNew := started[p]
			c.s.watch.do(func(x *standstill) { x.assigned(p, o.EpochOffset().Offset, !isNew) })
		}
	}
}

// errStart is the cause when a client is discarded because it is not known whether the group's start was committed.
var errStart = fmt.Errorf("%w: the commit of where the group starts was not answered; it is looked up again", errDiscarded)

// startTag is the metadata of offsets that say where the group starts; those of a transaction carry its own, see newTag.
const startTag = "eos-pipe start"

// commitStarts commits starts as the member that found them missing (while the group has members, only a member may commit) and in
// its generation, so that no other member has committed more meanwhile.
//
// The request is sent once. If it were sent again and the first one was only delayed, the broker would accept the late one, as it is
// by the same member in the same generation, and reset the group to before what was committed since. So if the request is not
// answered, the client is discarded: with the next client this static member has another member id, and the group refuses requests
// under the old one. A rebalance does not end the wait for the answer; askTimeout does.
func (c *client) commitStarts(ctx context.Context, starts offsets.Set, as membership) error {
	req := c.s.startsRequest(starts)
	req.MemberID, req.Generation = as.member, as.generation
	bounded, cancel := context.WithTimeout(c.life, askTimeout)
	defer cancel()
	isSent := false
	each := c.s.retry("commit where the group starts")
	each.IsFinal = func(err error) bool { return isSent || cluster.IsFinal(err) || ctx.Err() != nil }
	err := each.Until(bounded, func(bounded context.Context) (err error) {
		isSent, err = c.sendStarts(bounded, req)
		return err
	})
	switch {
	case err == nil:
		return nil
	case isSent:
		err = fmt.Errorf("%w: %w", errStart, err)
		c.discard(err)
		return err
	}
	return fmt.Errorf("commit start offsets %s: %w", starts, err)
}

// sendStarts sends the request once to the group's coordinator. isSent reports that it was sent, or may have been, and was not
// answered.
func (c *client) sendStarts(ctx context.Context, req *kmsg.OffsetCommitRequest) (isSent bool, err error) {
	coordinator, err := c.s.ask.Coordinator(ctx, req.Group)
	if err != nil {
		return false, err
	}
	answer, err := c.gts.Client().Broker(int(coordinator)).Request(ctx, req)
	if err != nil {
		return !isNotSent(err), err
	}
	for _, t := range answer.(*kmsg.OffsetCommitResponse).Topics {
		for _, p := range t.Partitions {
			err = errors.Join(err, kerr.ErrorForCode(p.ErrorCode))
		}
	}
	return false, err
}

// isNotSent reports whether a request without an answer was never sent: there was no connection to send it on.
func isNotSent(err error) bool {
	dial, ok := errors.AsType[*net.OpError](err)
	if ok && dial.Op == "dial" {
		return true
	}
	_, ok = errors.AsType[*kgo.ErrFirstReadEOF](err)
	return ok
}

// startsRequest returns the request that commits starts, without its member id and generation.
func (s *Session) startsRequest(starts offsets.Set) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.InstanceID = s.cfg.Group, &s.cfg.InstanceID
	for _, name := range topicsOf(starts) {
		known, _ := s.inputs.get(name)
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic, t.TopicID = name, known.id // by its id from version 10 on
		for p, pos := range starts {
			if p.Topic == name {
				part := kmsg.NewOffsetCommitRequestTopicPartition()
				part.Partition, part.Offset, part.LeaderEpoch, part.Metadata = p.Number, pos.Offset, pos.LeaderEpoch, new(startTag+s.inputs.tagSuffix(name))
				t.Partitions = append(t.Partitions, part)
			}
		}
		req.Topics = append(req.Topics, t)
	}
	return req
}

// topicsOf returns the names of the topics of set, sorted.
func topicsOf(set offsets.Set) []string {
	var names []string
	for p := range set {
		names = append(names, p.Topic)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// offsetTag matches the metadata that sessions write beside a committed offset. Its submatch is the topic's id, if there is one.
var offsetTag = regexp.MustCompile(`^(?:` + startTag + `|.+/[0-9]+/[0-9]+/[0-9]+)(?:/([A-Za-z0-9_-]{22}))?$`)

// checkCommitted looks at what the group has committed before this session joins it. With StartNone a partition without an
// offset is refused. Offsets not committed by a session are logged: they were set by hand and decide where processing starts.
func (s *Session) checkCommitted(ctx context.Context) error {
	want := offsets.Set{}
	for topic, in := range s.inputs.all() {
		for number := range in.partitions {
			want[offsets.Partition{Topic: topic, Number: number}] = offsets.NewPosition(-1)
		}
	}
	look := s.fetchOffsets // ask once: a warning is not worth retrying for
	if s.cfg.Start == StartNone {
		look = s.untilOffsets
	}
	got, err := look(ctx, s.ask.Committed, want)
	if changed := s.refuseOtherTopics(got); changed != nil {
		return changed
	}
	s.sayForeign(got)
	if s.cfg.Start == StartNone {
		return errors.Join(err, s.refuseMissing(got))
	}
	return nil
}

// refuseMissing returns an error that names the partitions without an offset, if there are any.
func (s *Session) refuseMissing(got groupOffsets) error {
	var missing []string
	for p, o := range got {
		if o.Offset < 0 {
			missing = append(missing, p.String())
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("%w: group %s has none for %s", ErrNoOffset, s.cfg.Group, strings.Join(missing, ", "))
}

// sayForeign logs a warning about offsets that no session has committed.
func (s *Session) sayForeign(got groupOffsets) {
	foreign := offsets.Set{}
	for p, o := range got {
		if o.Offset >= 0 && !offsetTag.MatchString(o.tag) {
			foreign[p] = o.Position
		}
	}
	if len(foreign) > 0 {
		s.cfg.Logger.Warn("the group's offsets were set by hand or by another program; continuing from them",
			"group", s.cfg.Group, "transactional_id", s.cfg.TransactionalID, "offsets", foreign.String())
	}
}

// resolveStarts fills in where each partition of missing begins, as Config.Start says. A partition that was added to
// its topic after Open begins at its first record in any case.
func (s *Session) resolveStarts(ctx context.Context, missing offsets.Set) error {
	starts, err := s.ask.Starts(ctx, topicsOf(missing)...)
	if err := errors.Join(err, starts.Err()); err != nil {
		return fmt.Errorf("list start offsets: %w", err)
	}
	ends := starts
	if s.cfg.Start == StartLatest {
		ends, err = s.ask.Readable(ctx, topicsOf(missing)...)
		if err := errors.Join(err, ends.Err()); err != nil {
			return fmt.Errorf("list last stable offsets: %w", err)
		}
	}
	for p := range missing {
		from := ends
		if known, _ := s.inputs.get(p.Topic); p.Number >= known.partitions {
			from = starts
		}
		o, ok := from[p]
		if !ok {
			return fmt.Errorf("%s is assigned but not listed yet", p) // kgo joins again
		}
		missing[p] = offsets.NewPosition(o.Offset)
	}
	return nil
}
