// Package batches reads record batches as they stand in a log or in a produce request: the fields of their headers, which say
// who wrote them with which sequence, without looking at the records; and, if asked, a digest of what the records mean.
//
// The format is that of org.apache.kafka.common.record.DefaultRecordBatch (magic 2, KIP-98), and for markers that of
// EndTransactionMarker. Older formats have no producers, and are refused.
package batches

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Batch is the header of one batch.
type Batch struct {
	BaseOffset    int64
	LastOffset    int64 // BaseOffset plus what the producer has sent, even where compaction has taken records out
	ProducerID    int64 // below 0: none
	Epoch         int16
	BaseSequence  int32
	Records       int32 // that are there now
	MaxTimestamp  int64
	Transactional bool
	Control       bool

	codec   int8
	records []byte
}

// Count is how many records the producer has sent in the batch: its sequences go that far.
func (b *Batch) Count() int32 { return int32(b.LastOffset - b.BaseOffset + 1) }

// The places of fields that are needed before a batch is known to be whole.
const (
	lengthEnd    = 8 + 4 // base offset and length stand before what the length counts
	magicAt      = 16
	crcAt        = 17
	attributesAt = 21
	headerLength = 61
)

// The bits of the attributes.
const (
	codecBits        = 0x07
	transactionalBit = 0x10
	controlBit       = 0x20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// All yields the batches in raw, up to the first error. A batch that is cut off at the end is left out, as a broker that has reached the
// limit of a fetch sends it.
func All(raw []byte) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		for len(raw) > magicAt {
			length := int64(lengthEnd) + int64(int32(binary.BigEndian.Uint32(raw[8:])))
			if length > int64(len(raw)) {
				return
			}
			b, err := parse(raw, length)
			if !yield(b, err) || err != nil {
				return
			}
			raw = raw[length:]
		}
	}
}

// parse reads the batch at the start of raw, which takes length bytes.
func parse(raw []byte, length int64) (Batch, error) {
	at := int64(binary.BigEndian.Uint64(raw))
	if magic := int8(raw[magicAt]); magic != 2 {
		return Batch{}, fmt.Errorf("the batch at offset %d has message format %d, from before Kafka 0.11: it tells no producer", at, magic)
	}
	if length < headerLength {
		return Batch{}, fmt.Errorf("the batch at offset %d says that it has %d bytes, less than its header", at, length)
	}
	raw = raw[:length]
	if crc32.Checksum(raw[attributesAt:], castagnoli) != binary.BigEndian.Uint32(raw[crcAt:]) {
		return Batch{}, fmt.Errorf("the batch at offset %d is damaged: its checksum does not fit", at)
	}
	var r kmsg.RecordBatch
	if err := r.ReadFrom(raw); err != nil {
		return Batch{}, fmt.Errorf("the batch at offset %d cannot be read: %w", at, err)
	}
	if r.LastOffsetDelta < 0 {
		return Batch{}, fmt.Errorf("the batch at offset %d ends before it begins", at)
	}
	return Batch{
		BaseOffset: r.FirstOffset, LastOffset: r.FirstOffset + int64(r.LastOffsetDelta), ProducerID: r.ProducerID, Epoch: r.ProducerEpoch,
		BaseSequence: r.FirstSequence, Records: r.NumRecords, MaxTimestamp: r.MaxTimestamp,
		Transactional: r.Attributes&transactionalBit != 0, Control: r.Attributes&controlBit != 0,
		codec: int8(r.Attributes & codecBits), records: r.Records,
	}, nil
}

// Marker is what a control batch says about the end of a transaction.
type Marker struct {
	Commit           bool
	CoordinatorEpoch int32
}

// ErrNoMarker is a control batch that ends no transaction: one that compaction has emptied, or one of another kind.
var ErrNoMarker = errors.New("the control batch holds no end of a transaction")

// Marker reads the one record of a control batch. The error is [ErrNoMarker] if there is none.
func (b *Batch) Marker() (Marker, error) {
	if !b.Control || b.Records == 0 {
		return Marker{}, ErrNoMarker
	}
	r, _, err := nextRecord(b.records)
	if err != nil || len(r.key) < 4 {
		return Marker{}, fmt.Errorf("the marker at offset %d cannot be read", b.BaseOffset)
	}
	const abort, commit = 0, 1
	kind := int16(binary.BigEndian.Uint16(r.key[2:]))
	switch {
	case kind != abort && kind != commit:
		return Marker{}, ErrNoMarker
	case len(r.value) < 6:
		return Marker{}, fmt.Errorf("the marker at offset %d cannot be read", b.BaseOffset)
	}
	return Marker{Commit: kind == commit, CoordinatorEpoch: int32(binary.BigEndian.Uint32(r.value[2:]))}, nil
}
