package eos

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// This file keeps the input topics, and checks that the group's offsets are of these and not of earlier topics with the same names: an offset
// means nothing in another topic. So the offsets that a session commits carry the topic's id, in their tag.

// inputs are the input topics of a session. Its client's goroutines use them too.
type inputs struct {
	mu     sync.Mutex
	topics map[string]input
}

type input struct {
	partitions int32        // at Open; 0 for a topic that was found later
	id         kadm.TopicID // all zero: the brokers give none (before 2.8)
}

func (in *inputs) get(topic string) (input, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	known, ok := in.topics[topic]
	return known, ok
}

func (in *inputs) all() map[string]input {
	in.mu.Lock()
	defer in.mu.Unlock()
	return maps.Clone(in.topics)
}

func (in *inputs) add(topic string, found input) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.topics == nil {
		in.topics = map[string]input{}
	}
	in.topics[topic] = found
}

// tagSuffix is the end of the tags of the topic's offsets: its id as Kafka's tools print it, or nothing if it has none.
func (in *inputs) tagSuffix(topic string) string {
	known, _ := in.get(topic)
	if known.id == (kadm.TopicID{}) {
		return ""
	}
	return "/" + idText(known.id)
}

func idText(id kadm.TopicID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// checkAssigned returns an error that wraps ErrTopicChanged if the topic of a partition just assigned is not the one that the session knows,
// or not the one that the group's offsets belong to. It adds topics that the session does not know yet.
func (s *Session) checkAssigned(ctx context.Context, fetched map[string]map[int32]kgo.Offset) error {
	if len(fetched) == 0 {
		return nil
	}
	want, err := s.knowTopics(ctx, fetched)
	if err != nil || len(want) == 0 {
		return err
	}
	got, err := s.fetchOffsets(ctx, s.ask.Committed, want)
	if err != nil {
		return err // kgo joins again
	}
	return s.refuseOtherTopics(got)
}

// knowTopics asks for the ids of the topics, and returns which of the partitions have a committed offset.
func (s *Session) knowTopics(ctx context.Context, fetched map[string]map[int32]kgo.Offset) (offsets.Set, error) {
	topics, err := s.listTopics(ctx, slices.Collect(maps.Keys(fetched))) // a broker may not know of a new one yet
	if err := errors.Join(err, topics.Error()); err != nil {
		return nil, fmt.Errorf("ask for the ids of the topics: %w", err)
	}
	committed := offsets.Set{}
	for topic, parts := range fetched {
		now := topics[topic].ID
		switch known, ok := s.inputs.get(topic); {
		case !ok || known.id == (kadm.TopicID{}):
			s.inputs.add(topic, input{partitions: known.partitions, id: now})
		case known.id != now && now != (kadm.TopicID{}):
			return nil, fmt.Errorf("%w: %s had the id %s when the session began, and has %s now", ErrTopicChanged, topic, idText(known.id), idText(now))
		}
		for number, o := range parts {
			if at := o.EpochOffset().Offset; at >= 0 {
				committed[offsets.Partition{Topic: topic, Number: number}] = offsets.NewPosition(at)
			}
		}
	}
	return committed, nil
}

// refuseOtherTopics returns an error that names the offsets of topics with other ids. It accepts offsets whose tag has no id: older
// sessions, other programs and Kafka's tools write such.
func (s *Session) refuseOtherTopics(got groupOffsets) error {
	var others []string
	for p, o := range got {
		known, _ := s.inputs.get(p.Topic)
		marked := offsetTag.FindStringSubmatch(o.tag)
		if o.Offset >= 0 && marked != nil && marked[1] != "" && known.id != (kadm.TopicID{}) && marked[1] != idText(known.id) {
			others = append(others, fmt.Sprintf("%s=%d of the topic with id %s, where the id is %s now", p, o.Offset, marked[1], idText(known.id)))
		}
	}
	if len(others) == 0 {
		return nil
	}
	slices.Sort(others)
	return fmt.Errorf("%w: group %s has committed %s", ErrTopicChanged, s.cfg.Group, strings.Join(others, ", "))
}
