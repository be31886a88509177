package offsets

import (
	"fmt"
	"strconv"
	"strings"
)

// unknownEpoch is what Kafka's protocol sends for a leader epoch that nobody knows.
const unknownEpoch int32 = -1

// Position says which record of a partition is read next. It is what a consumer group commits: Kafka's
// OffsetAndMetadata without the metadata.
//
// The zero value is offset 0 read under leader epoch 0; use [NewPosition] when the epoch is not known.
type Position struct {
	Offset      int64 // the next offset to read: one behind the last record that counts as read
	LeaderEpoch int32 // the leader epoch of the last record before Offset; negative (Kafka writes -1) if unknown
}

// NewPosition returns the position at offset with an unknown leader epoch (-1).
func NewPosition(offset int64) Position {
	return Position{Offset: offset, LeaderEpoch: unknownEpoch}
}

// ParsePosition reads what [Position.String] writes: "42", or "42@7" with a leader epoch. It accepts nothing that
// String would write differently; in particular no negative offset, which Kafka cannot commit.
func ParsePosition(s string) (Position, error) {
	offset, epoch, hasEpoch := strings.Cut(s, "@")
	n, err := parseNatural(offset, 64)
	if err != nil {
		return Position{}, fmt.Errorf("position %q: offset: %w", s, err)
	}
	if !hasEpoch {
		return NewPosition(n), nil
	}
	e, err := parseNatural(epoch, 32)
	if err != nil {
		return Position{}, fmt.Errorf("position %q: leader epoch behind the @: %w", s, err)
	}
	return Position{Offset: n, LeaderEpoch: int32(e)}, nil
}

// String gives "42@7" (offset 42, leader epoch 7), or "42" when the epoch is unknown.
func (p Position) String() string {
	s := strconv.FormatInt(p.Offset, 10)
	if p.LeaderEpoch < 0 {
		return s
	}
	return s + "@" + strconv.FormatInt(int64(p.LeaderEpoch), 10)
}
