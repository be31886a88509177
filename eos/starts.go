package eos

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// This file says where the group goes on, and where a partition begins for which it has committed nothing yet.

// startOffsets is called by kgo with the group's offsets of partitions just assigned, before anything of them is
// fetched. A partition without a committed offset gets one now: otherwise an abort before its first commit would go
// back to the log's start wherever it began, and nobody could tell later where the group started.
func (c *client) startOffsets(ctx context.Context, fetched map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	missing := offsets.Set{}
	for topic, parts := range fetched {
		for number, o := range parts {
			if o.EpochOffset().Offset < 0 {
				missing[offsets.Partition{Topic: topic, Number: number}] = offsets.NewPosition(-1)
			}
		}
	}
	if len(missing) == 0 {
		return fetched, nil
	}
	if err := c.s.resolveStarts(ctx, missing); err != nil {
		return nil, err
	}
	if err := c.commitStarts(ctx, missing); err != nil {
		return nil, err
	}
	c.s.cfg.Logger.Info("committed where the group starts", "group", c.s.cfg.Group, "start", c.s.cfg.Start.String(), "offsets", missing.String())
	for p, pos := range missing {
		fetched[p.Topic][p.Number] = kgo.NewOffset().At(pos.Offset)
	}
	return fetched, nil
}

// commitStarts commits starts as this member of the group: only a member may while the group has any.
func (c *client) commitStarts(ctx context.Context, starts offsets.Set) error {
	var failed error
	ctx = kgo.PreCommitFnContext(ctx, markStarts)
	c.gts.Client().CommitOffsetsSync(ctx, toEpochOffsets(starts), func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		failed = err
		if err != nil || resp == nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				failed = errors.Join(failed, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	})
	if failed != nil {
		return fmt.Errorf("commit start offsets %s: %w", starts, failed)
	}
	return nil
}

// startMark is the metadata of offsets that say where the group starts; those of a transaction carry its own, see tag.
const startMark = "eos-pipe start"

// markStarts marks the offsets of commitStarts.
func markStarts(req *kmsg.OffsetCommitRequest) error {
	for i := range req.Topics {
		for k := range req.Topics[i].Partitions {
			req.Topics[i].Partitions[k].Metadata = new(startMark)
		}
	}
	return nil
}

// mark is the form of what sessions write to the metadata of a committed offset.
var mark = regexp.MustCompile(`^(` + startMark + `|.+/[0-9]+/[0-9]+/[0-9]+)$`)

// checkCommitted looks at what the group has committed before this session joins it. With StartNone a partition without an
// offset is refused. Offsets that no session has committed are said: somebody has set them, and with them what is processed.
func (s *Session) checkCommitted(ctx context.Context) error {
	want := offsets.Set{}
	for topic, n := range s.partitions {
		for number := range n {
			want[offsets.Partition{Topic: topic, Number: number}] = offsets.NewPosition(-1)
		}
	}
	ask := s.fetchOffsets // once: what is said is not worth a wait
	if s.cfg.Start == StartNone {
		ask = s.askForOffsets
	}
	got, err := ask(ctx, want)
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

// sayForeign warns of offsets that no session has committed.
func (s *Session) sayForeign(got groupOffsets) {
	foreign := offsets.Set{}
	for p, o := range got {
		if o.Offset >= 0 && !mark.MatchString(o.mark) {
			foreign[p] = o.Position
		}
	}
	if len(foreign) > 0 {
		s.cfg.Logger.Warn("the group's offsets were set by hand or by another program; going on from them",
			"group", s.cfg.Group, "transactional_id", s.cfg.TransactionalID, "offsets", foreign.String())
	}
}

// resolveStarts fills in where each partition of missing begins, as Config.Start says. A partition that was added to
// its topic after Open begins at its first record in any case.
func (s *Session) resolveStarts(ctx context.Context, missing offsets.Set) error {
	starts, err := s.adm.ListStartOffsets(ctx, s.cfg.Topics...)
	if err := errors.Join(err, starts.Error()); err != nil {
		return fmt.Errorf("list start offsets: %w", err)
	}
	ends := starts
	if s.cfg.Start == StartLatest {
		ends, err = s.adm.ListCommittedOffsets(ctx, s.cfg.Topics...)
		if err := errors.Join(err, ends.Error()); err != nil {
			return fmt.Errorf("list last stable offsets: %w", err)
		}
	}
	for p := range missing {
		from := ends
		if p.Number >= s.partitions[p.Topic] {
			from = starts
		}
		o, ok := from.Lookup(p.Topic, p.Number)
		if !ok {
			return fmt.Errorf("%s is assigned but not listed yet", p) // kgo joins again
		}
		missing[p] = offsets.NewPosition(o.Offset)
	}
	return nil
}

// toEpochOffsets returns set as kgo wants it.
func toEpochOffsets(set offsets.Set) map[string]map[int32]kgo.EpochOffset {
	m := make(map[string]map[int32]kgo.EpochOffset)
	for p, pos := range set {
		if m[p.Topic] == nil {
			m[p.Topic] = make(map[int32]kgo.EpochOffset)
		}
		m[p.Topic][p.Number] = kgo.EpochOffset{Offset: pos.Offset, Epoch: pos.LeaderEpoch}
	}
	return m
}
