package eos

import (
	"fmt"
	"sync"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// A member that the group has given up (its heartbeats or its JoinGroup did not arrive in time) joins again as a new member. Others have
// had its partitions meanwhile. franz-go gives them up when a heartbeat tells it so, but not when JoinGroup does (UNKNOWN_MEMBER_ID): it
// goes on reading where it stands, and what comes of that is committed under the new member id and generation. The broker
// takes it, as it does not know who owns what; so the records are processed twice, and the group may be taken back (seen
// on Kafka 4.3.1, TestSessionGivenUpByTheGroup).
//
// So it is remembered as which member each partition was assigned, and offsets of it are committed as no other one.

// errGivenUp is the cause when a client is discarded because the group had given it up, and it has partitions from before.
var errGivenUp = fmt.Errorf("%w: the group had given this member up, and another may have had its partitions; they are assigned and read anew", errDiscarded)

// memberships says as which member (its member id) the client was assigned each partition. It may be used by many goroutines.
type memberships struct {
	mu sync.Mutex
	as map[offsets.Partition]string
}

// assigned notes a partition before anything of it is fetched.
func (m *memberships) assigned(p offsets.Partition, member string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.as == nil {
		m.as = map[offsets.Partition]string{}
	}
	m.as[p] = member
}

// check returns an error if a partition of set was assigned to another member than this one.
func (m *memberships) check(set offsets.Set, member string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range set {
		if m.as[p] != member {
			return fmt.Errorf("%w (%s was assigned to member %q, which is now %q)", errGivenUp, p, m.as[p], member)
		}
	}
	return nil
}
