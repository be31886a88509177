package eos

import (
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// A group that a member does not hear from for a while goes on without it, and others get its partitions. When it comes back,
// franz-go gives them up if a heartbeat tells it so, but not if it learns of it by JoinGroup: because it was given up
// (UNKNOWN_MEMBER_ID), and joins again as a new member; or because a generation has passed without it, in which a static member keeps its
// member id. It goes on reading where it stands, and with the cooperative protocol what comes of that is committed
// under the new member id and generation. The broker takes it, as it does not know who owns what. So records that others
// have processed meanwhile would be processed again (seen on Kafka 4.3.1, TestSessionGivenUpByTheGroup, TestSessionMissesAGeneration).
//
// So it is remembered as which member, in which generation, the client was assigned each partition, and which generations it has joined since
// without a gap: in those, nobody gets a partition before it has given it up. Offsets of others are not committed.

// errGivenUp is the cause when a client is discarded because the group had gone on without it, and it has partitions from before.
var errGivenUp = fmt.Errorf("%w: the group had gone on without this member, and another may have had its partitions; they are assigned and read anew", errDiscarded)

// membership is one member in one generation of its group.
type membership struct {
	member     string
	generation int32
}

// memberships are those of one client. They may be used by many goroutines.
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

// gone notes that a partition is taken away. (kgo does not always tell: not after others, until the next end. It aborts the transaction anyway.)
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

// joinsAgain notes the generation that the client has, before it asks to join the next one: no generation is passed over here.
func (m *memberships) joinsAgain(generation int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.joined(generation)
}

// check returns an error if others may have had a partition of set since it was assigned, in the eyes of the client that is this member now.
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
			// The brokers have a partition given up before another member gets it, and an epoch is not a rebalance: each change makes one.
			kept = as.generation <= now.generation
		}
		if as.member != now.member || !kept {
			return fmt.Errorf("%w (%s was assigned to member %q in generation %d; now it is %q in generation %d)",
				errGivenUp, p, as.member, as.generation, now.member, now.generation)
		}
	}
	return nil
}

// countingBalancer tells the client's memberships of every generation that it has joined, also where the assignment failed: kgo
// asks the balancer for its part of each JoinGroup.
type countingBalancer struct {
	kgo.GroupBalancer
	c *client
}

// counting returns the balancers of another client with the same options, which count.
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

// ParseSyncAssignment implements kgo.GroupBalancer: the group has answered a SyncGroup, so a rebalance is over. The Observer is told
// here and not by kgo's OnPartitionsAssigned, which is not called for what was there before, and holds up the session where it is set.
func (b countingBalancer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	assigned, err := b.GroupBalancer.ParseSyncAssignment(assignment)
	if err == nil {
		b.c.tellAssigned(slices.Collect(eachPartition(assigned)))
	}
	return assigned, err
}

// eachPartition goes through partitions as kgo names them.
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
