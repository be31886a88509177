package offsets

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Partition names one log of a topic, as Kafka's TopicPartition does.
// The zero value names none; see [Partition.IsZero].
type Partition struct {
	Topic  string // as the broker spells it; letters, digits, '.', '_' and '-'
	Number int32  // counts from 0
}

// ParsePartition reads what [Partition.String] writes: "orders-3". The number stands behind the last dash, since
// topics may contain dashes ("orders--3" is partition 3 of the topic "orders-"). It accepts nothing that String
// would write differently, and no topic that a broker would refuse.
func ParsePartition(s string) (Partition, error) {
	dash := strings.LastIndexByte(s, '-')
	if dash < 0 {
		return Partition{}, fmt.Errorf("partition %q: no dash; write <topic>-<number>, such as orders-3", s)
	}
	topic, number := s[:dash], s[dash+1:]
	if err := checkTopic(topic); err != nil {
		return Partition{}, fmt.Errorf("partition %q: %w", s, err)
	}
	n, err := parseNatural(number, 32)
	if err != nil {
		return Partition{}, fmt.Errorf("partition %q: number behind the last dash: %w", s, err)
	}
	return Partition{Topic: topic, Number: int32(n)}, nil
}

// String gives "orders-3", the form in which Kafka logs a TopicPartition.
func (p Partition) String() string {
	return p.Topic + "-" + strconv.FormatInt(int64(p.Number), 10)
}

// Compare orders by topic (bytewise), then by number: negative when p comes before q, 0 when they are the same,
// positive when it comes after. It fits slices.SortFunc as the method expression Partition.Compare.
func (p Partition) Compare(q Partition) int {
	return cmp.Or(strings.Compare(p.Topic, q.Topic), cmp.Compare(p.Number, q.Number))
}

// IsZero reports whether p is the zero value, which names no partition since no topic has an empty name.
func (p Partition) IsZero() bool { return p == Partition{} }

// maxTopicLength is Kafka's limit (org.apache.kafka.common.internals.Topic.MAX_NAME_LENGTH).
const maxTopicLength = 249

// checkTopic follows org.apache.kafka.common.internals.Topic.validate.
func checkTopic(topic string) error {
	switch {
	case topic == "":
		return fmt.Errorf("empty topic; write <topic>-<number>, such as orders-3")
	case topic == "." || topic == "..":
		return fmt.Errorf("topic %q is refused by Kafka", topic)
	case len(topic) > maxTopicLength:
		return fmt.Errorf("topic of %d characters; Kafka allows %d", len(topic), maxTopicLength)
	}
	for i := range len(topic) {
		if !isTopicByte(topic[i]) {
			return fmt.Errorf("topic contains %q; Kafka allows letters, digits, '.', '_' and '-'", topic[i:i+1])
		}
	}
	return nil
}

func isTopicByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}

// parseNatural reads a number from 0 up in the one form that strconv writes: no sign, no leading zero.
func parseNatural(s string, bits int) (int64, error) {
	n, err := strconv.ParseUint(s, 10, bits-1)
	if err != nil || len(s) > 1 && s[0] == '0' {
		return 0, fmt.Errorf("%q is not a whole number from 0 to %d without leading zeros", s, uint64(1)<<(bits-1)-1)
	}
	return int64(n), nil
}
