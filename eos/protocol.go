package eos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// GroupProtocol is how a session is a member of its group: Kafka's group.protocol. One group may have members of both, so a group
// can be moved from one to the other by restarting its members one after the other.
type GroupProtocol int

const (
	// ClassicProtocol lets a member assign the partitions. A rebalance waits until the batch that is out is committed.
	ClassicProtocol GroupProtocol = iota
	// ConsumerProtocol lets the brokers assign the partitions (KIP-848). A member that comes or goes does not stop the others, and the
	// session timeout is the brokers' (group.consumer.session.timeout.ms). It needs Kafka 4.0. A rebalance does not wait: if a
	// partition of a batch is taken away, its new owner polls those records again.
	ConsumerProtocol
)

// String returns the name as Kafka's group.protocol spells it.
func (p GroupProtocol) String() string {
	switch p {
	case ClassicProtocol:
		return "classic"
	case ConsumerProtocol:
		return "consumer"
	default:
		return fmt.Sprintf("GroupProtocol(%d)", int(p))
	}
}

// protocol returns the options of the group protocol. c is the client they are for.
func (s *Session) protocol(c *client) []kgo.Opt {
	if s.cfg.GroupProtocol == ConsumerProtocol {
		return []kgo.Opt{
			kgo.ServerSideBalancer(),
			kgo.Balancers(assignor(s.plain)),
			kgo.OnPartitionsAssigned(c.has.assigned),
			kgo.OnPartitionsCallbackBlocked(c.blocked),
		}
	}
	return []kgo.Opt{
		kgo.SessionTimeout(s.cfg.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, s.cfg.SessionTimeout/3)),
		kgo.Balancers(c.counting(s.plain)...), // kgo's default, cooperative-sticky, or the user's
	}
}

// assignor returns the balancer by which kgo names the brokers' assignor: range if the user's first balancer is range, uniform if it
// is a sticky one. It returns nil if the brokers know no such assignor: kgo would then silently use the classic protocol.
func assignor(cl *kgo.Client) kgo.GroupBalancer {
	switch chosen, _ := cl.OptValue(kgo.Balancers).([]kgo.GroupBalancer); chosen[0].ProtocolName() {
	case "range":
		return kgo.RangeBalancer()
	case "sticky", "cooperative-sticky":
		return kgo.CooperativeStickyBalancer()
	}
	return nil
}

// checkProtocol refuses brokers that do not know the consumer protocol: kgo would silently use the classic one.
func (s *Session) checkProtocol(broker kadm.BrokerApiVersions) error {
	if s.cfg.GroupProtocol != ConsumerProtocol {
		return nil
	}
	if v, known := broker.KeyMaxVersion(kmsg.ConsumerGroupHeartbeat.Int16()); !known || v < 1 {
		return fmt.Errorf("%w: broker %d does not know the consumer group protocol (KIP-848, Kafka 4.0, group.version 1)", ErrUnsupported, broker.NodeID)
	}
	return nil
}

// describeGroup returns the static members of the group.
func (s *Session) describeGroup(ctx context.Context) ([]cluster.Member, error) {
	return s.ask.Members(ctx, s.cfg.Group, s.consumers)
}

// otherGroup finds out what GROUP_ID_NOT_FOUND means to a member that joins or sends a heartbeat. Either its group is gone, and is
// created again when the member joins; or a share group, or a group of Kafka Streams, has the id, and the error is ErrOtherGroup.
func (s *Session) otherGroup(ctx context.Context, err error) error {
	if other, _ := s.ask.OtherType(ctx, s.cfg.Group); other != "" {
		return fmt.Errorf("%w: %s is a %s group: %w", ErrOtherGroup, s.cfg.Group, other, err)
	}
	return err // also if the brokers could not be asked: the error comes again with the next try to join
}

// evict removes the member with this session's instance id from the group: a predecessor that has died, or is fenced. In the classic
// protocol a member that joins replaces it. In the consumer protocol the new member is refused (UNRELEASED_INSTANCE_ID) until the
// predecessor's session ends. The predecessor's partitions stay assigned to the instance id.
func (s *Session) evict(ctx context.Context) error {
	return s.retry("take the predecessor out of the group").Until(ctx, s.evictOnce)
}

func (s *Session) evictOnce(ctx context.Context) error {
	members, err := s.describeGroup(ctx)
	if err != nil {
		return fmt.Errorf("describe the group: %w", err)
	}
	for _, m := range members {
		if m.Instance != s.cfg.InstanceID {
			continue
		}
		bounded, asked := s.ask.Bound(ctx)
		err := s.ask.Leave(bounded, s.cfg.Group, m, true)
		asked(err)
		if err != nil {
			return fmt.Errorf("take the predecessor out of the group: %w", err)
		}
	}
	return nil
}

// holdings are the partitions that a client of the consumer protocol has, for the Observer. The client has a partition while kgo has
// an offset of it: one that it has fetched or committed (CommittedOffsets), or one that it was set to and would commit
// (UncommittedOffsets). kgo does not count the offsets that startOffsets puts where none was committed among the committed ones, so
// it is set to them.
type holdings struct {
	c      *client
	mu     sync.Mutex
	told   map[offsets.Partition]bool
	starts map[offsets.Partition]int64 // what kgo was set to
}

// assigned is called by kgo after each change with the added partitions, before their offsets are fetched. kgo does not always
// report removed partitions, so they are inferred from its committed offsets.
func (h *holdings) assigned(_ context.Context, cl *kgo.Client, added map[string][]int32) {
	has := map[offsets.Partition]bool{}
	for _, known := range []map[string]map[int32]kgo.EpochOffset{cl.CommittedOffsets(), cl.UncommittedOffsets()} {
		for topic, partitions := range known {
			for number := range partitions {
				has[offsets.Partition{Topic: topic, Number: number}] = true
			}
		}
	}
	for p := range eachPartition(added) {
		has[p] = true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = has
	h.c.tellAssigned(slices.Collect(maps.Keys(has)))
}

// fetched notes the partitions whose offsets kgo has fetched, and where those start that had none. When a change of the assignment
// interrupts the fetch of offsets, kgo repeats the fetch without calling assigned.
func (h *holdings) fetched(cl *kgo.Client, fetched map[string]map[int32]kgo.Offset, started offsets.Set) {
	if h.c.s.cfg.GroupProtocol != ConsumerProtocol {
		return
	}
	h.note(fetched, started)
	at := map[string]map[int32]kgo.EpochOffset{}
	for p, pos := range started {
		if at[p.Topic] == nil {
			at[p.Topic] = map[int32]kgo.EpochOffset{}
		}
		at[p.Topic][p.Number] = kgo.EpochOffset{Epoch: -1, Offset: pos.Offset}
	}
	cl.SetOffsets(at)
}

func (h *holdings) note(fetched map[string]map[int32]kgo.Offset, started offsets.Set) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.told == nil {
		h.told = map[offsets.Partition]bool{}
	}
	if h.starts == nil {
		h.starts = map[offsets.Partition]int64{}
	}
	before := len(h.told)
	for topic, partitions := range fetched {
		for number := range partitions {
			p := offsets.Partition{Topic: topic, Number: number}
			h.told[p] = true
			delete(h.starts, p)
		}
	}
	for p, pos := range started {
		h.starts[p] = pos.Offset
	}
	if len(h.told) > before {
		h.c.tellAssigned(slices.Collect(maps.Keys(h.told)))
	}
}

// startsAt says whether kgo was set to this offset of a partition, and would commit it.
func (h *holdings) startsAt(p offsets.Partition, offset int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, set := h.starts[p]
	return set && at == offset
}
