package eos

import (
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// When a member is silent for a while, the group continues without it, and other members get its partitions. When the member comes
// back, franz-go gives the partitions up if a heartbeat tells it to, but not if it learns of it by JoinGroup: because the group has
// given it up (UNKNOWN_MEMBER_ID), and it joins again as a new member; or because a generation has passed without it, in which a
// static member keeps its member id. franz-go then continues to read from its position, and with the cooperative protocol the result
// is committed under the new member id and generation. The broker accepts it, as it does not know which member owns which partition.
// So records that others have processed meanwhile would be processed again (seen on Kafka 4.3.1, TestSessionGivenUpByTheGroup,
// TestSessionMissesAGeneration).
//
// So memberships remembers as which member, in which generation, the client was assigned each partition, and which generations it
// has joined since without a gap: in those, no other member gets a partition before this one has given it up. Offsets of partitions
// that another member may have owned are not committed.

// errGivenUp is the cause when a client is discarded because the group had continued without it, and it has partitions from before.
var errGivenUp = fmt.Errorf("%w: the group had continued without this member, and another may have had its partitions; they are assigned and read again", errDiscarded)

// membership is one member in one generation of its group.
type membership struct {
	member     string
	generation int32
}

// memberships are those of one client. Many goroutines may use them at once.
type memberships struct {
	consumer    bool // the protocol is the consumer protocol
	mu          sync.Mutex
	first, last int32 // the client has joined all generations from first to last
	as          map[offsets.Partition]membership
}

// assigned notes as which member a partition was assigned, before anything of it is fetched.
func (m *memberships) assigned(p offsets.Partition, as membership) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.joined(as.generation)
	if m.as == nil {
		m.as = map[offsets.Partition]membership{}
	}
	m.as[p] = as
}

// gone notes that a partition is taken away. (Once some are taken away, kgo does not report others until the next end. It aborts the
// transaction anyway.)
func (m *memberships) gone(p offsets.Partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.as, p)
}

// joined notes a generation that the client has joined. The caller holds mu.
func (m *memberships) joined(generation int32) {
	if generation != m.last && generation != m.last+1 {
		m.first = generation
	}
	m.last = generation
}

// joinsAgain notes the generation that the client has, before it asks to join the next one: no generation is skipped between them.
func (m *memberships) joinsAgain(generation int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.joined(generation)
}

// check returns an error if another member may have owned a partition of set since it was assigned; now is the client's current
// membership.
func (m *memberships) check(set offsets.Set, now membership) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.joined(now.generation)
	for p := range set {
		as, has := m.as[p]
		if !has {
			return fmt.Errorf("%w (%s was taken away)", errGivenUp, p)
		}
		kept := as.generation >= m.first && as.generation <= m.last
		if m.consumer {
			// A member must give a partition up before the brokers assign it to another one. Epochs may be skipped: each change of the
			// group makes one, not only a rebalance.
			kept = as.generation <= now.generation
		}
		if as.member != now.member || !kept {
			return fmt.Errorf("%w (%s was assigned to member %q in generation %d; now it is %q in generation %d)",
				errGivenUp, p, as.member, as.generation, now.member, now.generation)
		}
	}
	return nil
}

// countingBalancer reports every generation that the client has joined to its memberships, also if the assignment failed: kgo asks
// the balancer for its part of each JoinGroup.
type countingBalancer struct {
	kgo.GroupBalancer
	c *client
}

// counting returns the balancers of another client with the same options, as countingBalancers.
func (c *client) counting(other *kgo.Client) []kgo.GroupBalancer {
	chosen, _ := other.OptValue(kgo.Balancers).([]kgo.GroupBalancer)
	counting := make([]kgo.GroupBalancer, len(chosen))
	for i, b := range chosen {
		counting[i] = countingBalancer{b, c}
	}
	return counting
}

// JoinGroupMetadata implements kgo.GroupBalancer.
func (b countingBalancer) JoinGroupMetadata(interests []string, assignment map[string][]int32, generation int32) []byte {
	b.c.members.joinsAgain(generation)
	return b.GroupBalancer.JoinGroupMetadata(interests, assignment, generation)
}

// ParseSyncAssignment implements kgo.GroupBalancer: the group has answered a SyncGroup, so a rebalance is over. The Observer is called
// from here and not from kgo's OnPartitionsAssigned, which is not called for partitions that were there before, and delays the
// session if it is set.
func (b countingBalancer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	assigned, err := b.GroupBalancer.ParseSyncAssignment(assignment)
	if err == nil {
		b.c.tellAssigned(slices.Collect(eachPartition(assigned)))
	}
	return assigned, err
}

// eachPartition iterates over partitions as kgo names them.
func eachPartition(topics map[string][]int32) iter.Seq[offsets.Partition] {
	return func(yield func(offsets.Partition) bool) {
		for topic, numbers := range topics {
			for _, n := range numbers {
				if !yield(offsets.Partition{Topic: topic, Number: n}) {
					return
				}
			}
		}
	}
}

// tellAssigned is called when the group has answered, with all that it has assigned.
func (c *client) tellAssigned(partitions []offsets.Partition) {
	c.stopWaiting()
	if c.s.cfg.Observer.Assigned == nil {
		return
	}
	slices.SortFunc(partitions, offsets.Partition.Compare)
	c.s.cfg.Observer.Assigned(Assignment{TransactionalID: c.s.cfg.TransactionalID, Partitions: partitions})
}
