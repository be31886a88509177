package model

import "github.com/eos-pipe/eos-pipe/trace"

// Batch is one batch of records as a client sends it (magic 2).
type Batch struct {
	ProducerID      int64 // below 0: none
	BaseSequence    int32
	Count           int32 // records; at least 1
	Epoch           int16
	IsTransactional bool
	Flaw            Flaw
	TimeMs          int64 // largest timestamp of its records
	Digest          uint64
}

// LastSequence is the sequence of the last record; -1 if the batch has none.
func (b *Batch) LastSequence() int32 {
	if b.BaseSequence == -1 {
		return -1
	}
	return increment(b.BaseSequence, b.Count-1)
}

// Flaw is what is wrong with the bytes of a batch.
type Flaw uint8

// The flaws. Those up to FlawMagic are seen before the coordinator is asked, the others at the append.
const (
	NoFlaw          Flaw = iota
	FlawNoBatch          // no batch at all
	FlawTwoBatches       // a second batch behind the first
	FlawMagic            // magic 1
	FlawBaseOffset       // base offset not 0
	FlawTooLarge         // above max.message.bytes
	FlawChecksum         // the CRC does not fit
	FlawCount            // last offset delta and number of records do not fit
	FlawControl          // a control batch
	FlawNoKey            // no key, on a compacted topic
	FlawTimestamp        // a timestamp out of range
	FlawSegmentSize      // above the segment size
	numFlaws
)

var flaws = [numFlaws]struct {
	name     string
	code     trace.Code
	hasStart bool // the answer carries the log's start offset
}{
	NoFlaw:          {"", trace.None, true},
	FlawNoBatch:     {"empty", trace.InvalidRecord, false},
	FlawTwoBatches:  {"two-batches", trace.InvalidRecord, false},
	FlawMagic:       {"magic-1", trace.InvalidRecord, false},
	FlawBaseOffset:  {"base-offset", trace.InvalidRecord, true},
	FlawTooLarge:    {"too-large", trace.MessageTooLarge, false},
	FlawChecksum:    {"crc", trace.CorruptMessage, false},
	FlawCount:       {"count", trace.InvalidRecord, true},
	FlawControl:     {"control", trace.InvalidRecord, true},
	FlawNoKey:       {"no-key", trace.InvalidRecord, true},
	FlawTimestamp:   {"timestamp", trace.InvalidTimestamp, true},
	FlawSegmentSize: {"segment-size", trace.RecordListTooLarge, false},
}

// String gives the flaw's name, "" for none.
func (f Flaw) String() string { return flaws[f].name }

// ParseFlaw returns the flaw of that name.
func ParseFlaw(name string) (Flaw, bool) {
	for i, f := range flaws {
		if f.name == name {
			return Flaw(i), true
		}
	}
	return 0, false
}

// isSeenFirst reports whether the whole request's checks see the flaw (ProduceRequest.validateRecords).
func (f Flaw) isSeenFirst() bool { return f != NoFlaw && f <= FlawMagic }

// LogBatch is one batch in the log: data, or a marker.
type LogBatch struct {
	BaseOffset       int64
	LastOffset       int64
	ProducerID       int64
	TimeMs           int64
	Digest           uint64
	BaseSequence     int32
	CoordinatorEpoch int32 // of a marker
	Epoch            int16
	IsTransactional  bool
	Control          Control
}

// Control is the kind of a control batch.
type Control uint8

// The kinds of control batches. Kafka's own numbers are 0 for ABORT and 1 for COMMIT; here 0 is data.
const (
	Data Control = iota
	Abort
	Commit
)

// String gives "data", "ABORT" or "COMMIT".
func (c Control) String() string { return [...]string{"data", "ABORT", "COMMIT"}[c] }

func controlOf(commit bool) Control {
	if commit {
		return Commit
	}
	return Abort
}
