package eos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// This file chooses the partitions of outputs, and checks that their number does not change. When partitions are added, keys move: the
// records of one key would be in two partitions, and no reader could tell their order.

// PartitionsChangedError is the cause when partitions were added to an output topic while the session ran. The transaction that met them was
// aborted: no record has been written by the new number. The session does not check it if Config.Client sets a partitioner.
type PartitionsChangedError struct {
	Topic    string
	Was, Now int // how many partitions the topic had when the session began, and has
}

// Error returns what would have happened to the order of records.
func (e *PartitionsChangedError) Error() string {
	return fmt.Sprintf("output topic %s had %d partitions when the session began and has %d now: records of a key would go to another partition "+
		"than those before them, and lose their order; nothing has been written since to the partitions that they would go to", e.Topic, e.Was, e.Now)
}

// partitioner sends a record with a key where every Kafka client by default sends it (murmur2 of the key), and one
// without a key to the partition of Record.Partition, modulo the number of partitions: so records of an input partition keep
// their order. If the number is not the expected one, it returns no partition, and the client fails the record. A record for a
// topic of Config.Placed goes to Record.Partition, or to no partition if that does not exist.
type partitioner struct{ counts *partitionCounts }

// ForTopic implements kgo.Partitioner.
func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return topicPartitioner{kgo.StickyKeyPartitioner(nil).ForTopic(topic), p.counts.of(topic)}
}

type topicPartitioner struct {
	keyed kgo.TopicPartitioner
	count *partitionCount
}

// RequiresConsistency returns true: a record waits for its partition rather than going to another one.
func (topicPartitioner) RequiresConsistency(*kgo.Record) bool { return true }

// Partition implements kgo.TopicPartitioner.
func (p topicPartitioner) Partition(r *kgo.Record, n int) int {
	switch {
	case !p.count.admits(n):
		return -1
	case p.count.placed:
		return p.count.place(r.Partition, n)
	case r.Key != nil:
		return p.keyed.Partition(r, n)
	}
	return int(uint32(r.Partition)) % n
}

// partitionCounts are how many partitions each output topic has. The session and its clients' goroutines use them at once.
type partitionCounts struct {
	mu     sync.Mutex
	topics map[string]*partitionCount
}

func (c *partitionCounts) of(topic string) *partitionCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.topics == nil {
		c.topics = map[string]*partitionCount{}
	}
	if c.topics[topic] == nil {
		c.topics[topic] = &partitionCount{}
	}
	return c.topics[topic]
}

// expectPartitions notes how many partitions the outputs have at Open. Those of topics that are only named by records are noted with
// the first record.
func (s *Session) expectPartitions(found kadm.TopicDetails) {
	for _, topic := range s.cfg.Outputs {
		s.counts.of(topic).expect(len(found[topic].Partitions), found[topic].ID)
	}
	for _, topic := range s.cfg.Unordered {
		s.counts.of(topic).anyNumber = true
	}
	for _, topic := range s.cfg.Placed {
		count := s.counts.of(topic)
		count.anyNumber, count.placed = true, true
	}
}

// partitionCount is how many partitions a topic has. Many goroutines use it at once; anyNumber, placed and id are set before they do.
type partitionCount struct {
	anyNumber bool
	placed    bool         // a record goes to Record.Partition
	id        kadm.TopicID // all zero: not known

	mu       sync.Mutex
	expected int       // 0: not known yet
	at       time.Time // when the session asked for it
	used     bool      // records went to their partition by this number
	met      int       // another number that the client had for a record; 0: none
}

func (c *partitionCount) expect(n int, id kadm.TopicID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expected, c.at, c.id = n, time.Now(), id
}

// oldCountFor is the longest time for which a broker may return the old number of partitions after some were added. So a number from Open
// that no record has used yet is replaced by a larger one that the client learns of within this time.
const oldCountFor = 5 * time.Second

// admits reports whether a record may go to its partition by n. The first record fixes the number.
func (c *partitionCount) admits(n int) bool {
	if c.anyNumber {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expected == 0 || n > c.expected && !c.used && time.Since(c.at) < oldCountFor {
		c.expected = n
	}
	if n != c.expected {
		c.met = n
		return false
	}
	c.used = true
	return true
}

// place returns where a placed record goes, of n partitions: -1 if it cannot go there.
func (c *partitionCount) place(partition int32, n int) int {
	if 0 <= partition && int(partition) < n {
		return int(partition)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expected = n
	return -1
}

// misses reports whether place has refused that partition, and how many partitions there were.
func (c *partitionCount) misses(partition int32) (n int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.expected, c.placed && c.expected > 0 && (partition < 0 || int(partition) >= c.expected)
}

// other returns the expected number and the other one that was met; 0: none was.
func (c *partitionCount) other() (expected, met int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.expected, c.met
}

func (c *partitionCount) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.met = 0
}

// mismatch returns why the partitioner has refused a record for topic, or nil if it has not.
func (c *partitionCounts) mismatch(topic string) error {
	if was, now := c.of(topic).other(); now > 0 {
		return &PartitionsChangedError{Topic: topic, Was: was, Now: now}
	}
	return nil
}

// errOldMetadata is the cause when a broker returned another number of partitions than the others.
var errOldMetadata = errors.New("the brokers do not agree how many partitions an output topic has; the session asks them again")

// confirm asks the brokers whether a topic's partitions have really changed, and returns the cause of the abort. stop is false if they have
// not, or if it is not known: the client's metadata is old, or newer than that of the broker that was asked. Then the batch comes again.
func (s *Session) confirm(ctx context.Context, met *PartitionsChangedError) (stop bool, cause error) {
	count := s.counts.of(met.Topic)
	count.forget()
	s.client.gts.Client().ForceMetadataRefresh()
	bounded, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	now, err := s.ask.TopicNow(bounded, met.Topic)
	switch {
	case err != nil || now.ErrorCode != 0 || len(now.Partitions) == met.Was:
		return false, fmt.Errorf("%w (%s: %d or %d)", errOldMetadata, met.Topic, met.Was, met.Now)
	case count.id != (kadm.TopicID{}) && count.id != now.TopicID:
		return true, fmt.Errorf("%w: %s", ErrTopicChanged, met.Topic)
	}
	return true, &PartitionsChangedError{Topic: met.Topic, Was: met.Was, Now: len(now.Partitions)}
}
