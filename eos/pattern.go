package eos

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
)

// This file finds the topics that match Config.TopicPattern: those that are there at Open, and those that are created later.
//
// It does not use kgo.ConsumeRegex: with that option the client joins the group when it is made, before it has a producer id (see connect),
// and a record for a matching topic could not be refused before the client has seen the topic.

// compilePattern returns the expression that a topic's whole name must match, as Kafka's own consumers match it.
func compilePattern(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	if _, err := regexp.Compile(pattern); err != nil { // "a)(b" would be one within the brackets
		return nil, fmt.Errorf("topic pattern %q: %w", pattern, err)
	}
	return regexp.Compile(`^(?:` + pattern + `)$`)
}

// Inputs returns the topics that a session with this configuration would read, sorted: Topics, and of the named topics those
// that match TopicPattern and are not among Outputs. topics are the names of the cluster's topics, without those internal to
// Kafka. The error says what is wrong with TopicPattern. It asks no broker, and any goroutine may call it.
func (c Config) Inputs(topics []string) ([]string, error) {
	pattern, err := compilePattern(c.TopicPattern)
	if err != nil {
		return nil, err
	}
	inputs := slices.Clone(c.Topics)
	for _, topic := range topics {
		if isMatch(pattern, topic) && !slices.Contains(c.Outputs, topic) && !slices.Contains(inputs, topic) {
			inputs = append(inputs, topic)
		}
	}
	slices.Sort(inputs)
	return inputs, nil
}

func isMatch(pattern *regexp.Regexp, topic string) bool {
	return pattern != nil && pattern.MatchString(topic)
}

// matchTopics notes, at Open, the topics that match the pattern.
func (s *Session) matchTopics(ctx context.Context) error {
	if s.pattern == nil {
		return nil
	}
	all, found, err := s.listMatches(ctx)
	if err != nil {
		return err
	}
	for _, name := range found {
		s.inputs.add(name, input{partitions: int32(len(all[name].Partitions)), id: all[name].ID})
	}
	if len(found) == 0 {
		return fmt.Errorf("%w: none that this client may see matches the pattern %q, which is for the whole name", ErrNoTopic, s.cfg.TopicPattern)
	}
	var own []string
	for _, name := range s.cfg.Outputs {
		if isMatch(s.pattern, name) {
			own = append(own, name)
		}
	}
	s.cfg.Logger.Info("topics match the pattern", "pattern", s.cfg.TopicPattern, "topics", found, "not_read", own, "transactional_id", s.cfg.TransactionalID)
	return nil
}

// listMatches asks for all topics, and returns them with the names of those that the session is to read.
func (s *Session) listMatches(ctx context.Context) (all kadm.TopicDetails, found []string, err error) {
	if all, err = s.ask.Topics(ctx); err != nil {
		return nil, nil, fmt.Errorf("ask for all topics: %w", err)
	}
	found, err = s.cfg.Inputs(cluster.Usable(all))
	return all, found, err
}

// patternInterval is how often the session looks for new topics, and for new partitions of its topics, unless the user's kgo.MetadataMaxAge
// is shorter.
const patternInterval = 30 * time.Second

// watchTopics makes the client read new topics that match the pattern, until the client is closed. Other members find them by themselves:
// until then the group assigns them none of these. It logs which topics are gone.
func (c *client) watchTopics() {
	interval := patternInterval
	if age, ok := c.gts.Client().OptValue(kgo.MetadataMaxAge).(time.Duration); ok {
		interval = min(interval, age)
	}
	gone := map[string]bool{}
	for cluster.Sleep(c.life, interval) {
		all, found, err := c.s.listMatches(c.life)
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				c.s.cfg.Logger.Warn("cannot look for new topics; the session tries again", "pattern", c.s.cfg.TopicPattern, "err", err)
			}
			continue
		}
		c.s.sayGone(all, gone)
		if added := c.s.addFound(all, found); len(added) > 0 {
			c.gts.Client().AddConsumeTopics(added...)
		}
	}
}

// addFound adds to the inputs those of found that are new, and returns them.
func (s *Session) addFound(all kadm.TopicDetails, found []string) (added []string) {
	for _, name := range found {
		if _, known := s.inputs.get(name); !known {
			s.inputs.add(name, input{id: all[name].ID})
			added = append(added, name)
		}
	}
	if len(added) > 0 {
		s.cfg.Logger.Info("new topics match the pattern; the session reads them from their first record", "pattern", s.cfg.TopicPattern, "topics", added,
			"transactional_id", s.cfg.TransactionalID)
	}
	return added
}

// sayGone logs a warning, once, about inputs that no longer exist. said holds those that it has logged.
func (s *Session) sayGone(all kadm.TopicDetails, said map[string]bool) {
	var gone []string
	for name := range s.inputs.all() {
		if !all.Has(name) && !said[name] {
			said[name] = true
			gone = append(gone, name)
		}
	}
	if len(gone) > 0 {
		slices.Sort(gone)
		s.cfg.Logger.Warn("input topics were deleted; records of them that were not processed are lost, and the session continues with the others. A topic that is created again is another topic, and stops the session",
			"topics", gone, "transactional_id", s.cfg.TransactionalID)
	}
}
