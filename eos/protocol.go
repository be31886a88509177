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

// GroupProtocol is how a session is a member of its group: Kafka's group.protocol. Members with either may be in one group, so a
// group can be moved from one to the other by restarting its members one after the other.
type GroupProtocol int

const (
	// ClassicProtocol has a member assign the partitions. A rebalance waits until the batch that is out is committed.
	ClassicProtocol GroupProtocol = iota
	// ConsumerProtocol has the brokers assign them (KIP-848): one member's coming or going does not stop the others, and the session
	// timeout is the brokers' (group.consumer.session.timeout.ms). It needs Kafka 4.0. A rebalance does not wait: a batch of which a
	// partition is taken away is polled again by its new owner.
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

// assignor returns what kgo takes for the name of the brokers' assignor: range if the user's first balancer is that, else uniform; nil
// where the brokers know no such assignor, and kgo would go back to the classic protocol without a word.
func assignor(cl *kgo.Client) kgo.GroupBalancer {
	switch chosen, _ := cl.OptValue(kgo.Balancers).([]kgo.GroupBalancer); chosen[0].ProtocolName() {
	case "range":
		return kgo.RangeBalancer()
	case "sticky", "cooperative-sticky":
		return kgo.CooperativeStickyBalancer()
	}
	return nil
}

// checkProtocol refuses brokers that do not know the consumer protocol: kgo would go back to the classic one without a word.
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

// otherGroup finds out what GROUP_ID_NOT_FOUND means to a member that joins or sends a heartbeat: that its group is gone, which is made again when
// it joins; or that a share group, or a group of Kafka Streams, has the id, for which the error then is ErrOtherGroup.
func (s *Session) otherGroup(ctx context.Context, err error) error {
	if other, _ := s.ask.OtherType(ctx, s.cfg.Group); other != "" {
		return fmt.Errorf("%w: %s is a %s group: %w", ErrOtherGroup, s.cfg.Group, other, err)
	}
	return err // also where it could not be asked: it comes again with the next try to join
}

// evict takes out of the group whoever is in it under this session's instance id: a predecessor that has died, or is fenced. In the classic
// protocol a member that joins does that by itself; in the consumer protocol it is refused (UNRELEASED_INSTANCE_ID) until the predecessor's
// session ends. What was assigned stays so for the one that comes next.
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

// holdings are the partitions that a client of the consumer protocol has, for the Observer. It has them while kgo has an offset of them: one that it
// has fetched or committed (CommittedOffsets), or one that it was set to and would commit (UncommittedOffsets). kgo does not count the offsets that
// startOffsets puts in the place of missing ones among the committed, so it is set to these.
type holdings struct {
	c      *client
	mu     sync.Mutex
	told   map[offsets.Partition]bool
	starts map[offsets.Partition]int64 // what kgo was set to
}

// assigned is called by kgo after each change, with what is new, before the offsets of that are fetched. What is gone it does not always say.
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

// fetched notes that kgo has offsets of partitions, and where those start that had none. A fetch that was cut short by a change is taken up
// again without a word.
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
