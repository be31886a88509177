package audit

import (
	"context"
	"fmt"
	"slices"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// This file finds what the pipe reads, and how far its group has come there.

// matchInputs adds the topics that match FromPattern to those that the pipe reads. If the group has committed nothing
// of a topic, the pipe has not found it yet, or not read it: there is nothing to compare.
func (a *auditor) matchInputs(ctx context.Context) error {
	if a.FromPattern == "" {
		return nil
	}
	all, err := a.brokers.topics(ctx)
	if err != nil {
		return err
	}
	pipe := eos.Config{TopicPattern: a.FromPattern, Outputs: []string{a.To, a.DeadLetterTopic}}
	matching, err := pipe.Inputs(cluster.Readable(all))
	if err != nil {
		return err
	}
	committed, err := a.brokers.committed(ctx, a.Group)
	if err != nil {
		return err
	}
	from := slices.Clone(a.From)
	for _, topic := range matching {
		if hasTopic(committed, topic) && !slices.Contains(from, topic) {
			from = append(from, topic)
		}
	}
	if len(from) == 0 {
		return fmt.Errorf("group %s has committed nothing of a topic that matches %q: there is nothing to compare",
			a.Group, a.FromPattern)
	}
	a.From, a.judge.From = from, from
	return nil
}

func hasTopic(set offsets.Set, topic string) bool {
	for p := range set {
		if p.Topic == topic {
			return true
		}
	}
	return false
}

// committed returns what the group has committed of the input, after every transaction that may change it has ended. It
// is never beyond what a read_committed reader can read.
func (a *auditor) committed(ctx context.Context) (offsets.Set, error) {
	all, err := a.brokers.committed(ctx, a.Group)
	if err != nil {
		return nil, err
	}
	set := offsets.Set{}
	for _, topic := range a.From {
		ends, err := a.brokers.list(ctx, topic, a.brokers.client.Readable)
		if err != nil {
			return nil, err
		}
		known := false
		for p, end := range ends {
			if at, ok := all[p]; ok {
				known = true
				set[p] = offsets.NewPosition(min(at.Offset, end.Offset))
			}
		}
		if !known {
			return nil, fmt.Errorf("group %s has committed nothing of topic %s: there is nothing to compare", a.Group, topic)
		}
	}
	return set, nil
}
