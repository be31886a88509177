package wire

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// group is what a script's group is on the broker.
type group struct {
	id string
	// members turns the script's names into the ids that the coordinator chose.
	members map[string]string
	// generation turns the script's generations, or member epochs, into those of the coordinator; nil: they are the same.
	generation func(int32) int32
	conns      []*conn
}

func (g *group) close() {
	for _, c := range g.conns {
		c.close()
	}
}

// group gives a group a name on the broker when it is first used: one whose offsets lie in another partition than those of the
// script's other groups, as long as there are enough. With the many partitions of a default cluster, and of the model, that
// is so by itself.
func (b *Broker) group(name string) *group {
	if g := b.groups[name]; g != nil {
		return g
	}
	g := &group{members: map[string]string{}}
	for try := range 100 {
		g.id = fmt.Sprintf("%s-%s-%d", b.Name, name, try)
		isTaken := false
		for _, other := range b.groups {
			isTaken = isTaken || javaHash(other.id)%b.offsetPartitions == javaHash(g.id)%b.offsetPartitions
		}
		if !isTaken {
			break
		}
	}
	b.groups[name] = g
	return g
}

// groupID is the group's name on the broker; an empty one stays empty.
func (b *Broker) groupID(name string) string {
	if name == "" {
		return ""
	}
	return b.group(name).id
}

// javaHash is the absolute value of String.hashCode, for ASCII.
func javaHash(s string) int32 {
	var hash int32
	for _, c := range s {
		hash = 31*hash + c
	}
	if hash < 0 {
		hash = max(-hash, 0)
	}
	return hash
}

// OffsetsPartition computes where the group's offsets are.
func (b *Broker) OffsetsPartition(name string) (trace.Partition, error) {
	return trace.Partition{Topic: "__consumer_offsets", Number: javaHash(b.groupID(name)) % b.offsetPartitions}, nil
}

// countOffsetPartitions asks how many partitions __consumer_offsets has. A broker that does not have the topic keeps offsets
// elsewhere.
func (b *Broker) countOffsetPartitions() error {
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.AllowAutoTopicCreation = 9, false
	req.Topics = []kmsg.MetadataRequestTopic{{Topic: new("__consumer_offsets")}}
	resp, err := b.conn.ask(b.ctx, req)
	if err != nil {
		return err
	}
	const defaultCount = 50
	b.offsetPartitions = defaultCount
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		if len(t.Partitions) > 0 {
			b.offsetPartitions = int32(len(t.Partitions))
		}
	}
	return nil
}

// member is the metadata as the coordinator of the group knows it.
func (b *Broker) member(groupName string, m model.GroupMetadata) (generation int32, memberID string, instance *string) {
	generation, memberID = m.Generation, m.Member
	if m.Instance.Valid {
		instance = &m.Instance.Value
	}
	if g := b.groups[groupName]; g != nil {
		if id, ok := g.members[memberID]; ok {
			memberID = id
		}
		if g.generation != nil && generation >= 0 {
			generation = g.generation(generation)
		}
	}
	return generation, memberID, instance
}

// SetGroup makes members join the group.
func (b *Broker) SetGroup(g model.Group) error {
	if g.Kind == model.ConsumerGroup {
		return b.joinConsumer(b.group(g.ID), g)
	}
	return b.joinClassic(b.group(g.ID), g)
}

// A member that is silent for that long would be removed.
const sessionMs = 300_000
