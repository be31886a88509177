package trace

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Partition names one log of a topic, as Kafka's TopicPartition does. (It is the same as offsets.Partition; this package
// imports nothing, so that a trace can be read without the rest of the module.)
type Partition struct {
	Topic  string // letters, digits, '.', '_' and '-', at most 249 of them
	Number int32  // counts from 0
}

// ParsePartition reads what [Partition.String] writes, "orders-3": the number stands behind the last dash.
func ParsePartition(s string) (Partition, error) {
	dash := strings.LastIndexByte(s, '-')
	if dash < 1 || dash > 249 || strings.IndexFunc(s[:dash], isNoTopicRune) >= 0 {
		return Partition{}, fmt.Errorf("partition %q: write <topic>-<number>, such as orders-3", s)
	}
	n, err := strconv.ParseUint(s[dash+1:], 10, 31)
	if err != nil || strconv.FormatUint(n, 10) != s[dash+1:] {
		return Partition{}, fmt.Errorf("partition %q: no whole number behind the last dash", s)
	}
	return Partition{Topic: s[:dash], Number: int32(n)}, nil
}

func isNoTopicRune(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-'
}

// String gives "orders-3", as Kafka logs it.
func (p Partition) String() string { return p.Topic + "-" + strconv.Itoa(int(p.Number)) }

// Compare orders by topic, then by number; it fits slices.SortFunc.
func (p Partition) Compare(q Partition) int {
	return cmp.Or(strings.Compare(p.Topic, q.Topic), cmp.Compare(p.Number, q.Number))
}

// Producer is a producer id with its epoch. -1 means none in either.
type Producer struct {
	ID    int64
	Epoch int16
}

// NoProducer is what a request without, and an error's answer carry.
var NoProducer = Producer{ID: -1, Epoch: -1}

// String gives "7/0".
func (p Producer) String() string {
	return strconv.FormatInt(p.ID, 10) + "/" + strconv.Itoa(int(p.Epoch))
}

// ParseProducer reads what [Producer.String] writes.
func ParseProducer(s string) (Producer, error) {
	id, epoch, _ := strings.Cut(s, "/")
	i, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return Producer{}, fmt.Errorf("producer %q: write <id>/<epoch>, such as 7/0", s)
	}
	e, err := strconv.ParseInt(epoch, 10, 16)
	if err != nil {
		return Producer{}, fmt.Errorf("producer %q: write <id>/<epoch>, such as 7/0", s)
	}
	return Producer{ID: i, Epoch: int16(e)}, nil
}

// NullString is a string that may be absent, which Kafka tells from the empty one. The zero value is absent.
type NullString struct {
	Value string // "" when absent
	Valid bool
}

// Some is a NullString that is there.
func Some(s string) NullString { return NullString{Value: s, Valid: true} }

// PartitionOffset is an offset to be committed.
type PartitionOffset struct {
	Partition Partition
	Offset    int64
}

func (o PartitionOffset) text() string {
	return o.Partition.String() + ":" + strconv.FormatInt(o.Offset, 10)
}

func parsePartitionOffset(s string) (PartitionOffset, error) {
	name, offset, _ := strings.Cut(s, ":")
	p, err := ParsePartition(name)
	if err != nil {
		return PartitionOffset{}, err
	}
	n, err := strconv.ParseInt(offset, 10, 64)
	if err != nil {
		return PartitionOffset{}, fmt.Errorf("offset %q: write <topic>-<number>:<offset>, such as orders-3:42", s)
	}
	return PartitionOffset{Partition: p, Offset: n}, nil
}

// Aborted is one entry of the list of aborted transactions in the answer to a fetch: every transactional batch of the
// producer id from FirstOffset up to its next ABORT marker was aborted.
type Aborted struct {
	ProducerID  int64
	FirstOffset int64
}

func (a Aborted) text() string {
	return strconv.FormatInt(a.ProducerID, 10) + "@" + strconv.FormatInt(a.FirstOffset, 10)
}

func parseAborted(s string) (Aborted, error) {
	id, first, _ := strings.Cut(s, "@")
	i, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return Aborted{}, fmt.Errorf("aborted transaction %q: write <producer id>@<first offset>", s)
	}
	o, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return Aborted{}, fmt.Errorf("aborted transaction %q: write <producer id>@<first offset>", s)
	}
	return Aborted{ProducerID: i, FirstOffset: o}, nil
}

func parseOffset(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }

func offsetText(o int64) string { return strconv.FormatInt(o, 10) }
