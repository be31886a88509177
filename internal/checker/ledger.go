package checker

import (
	"math"
	"math/bits"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// ledger is what is known of one input partition. A record is known either by a bit in the bitmaps of its chunk (at
// most one output expected, and at most "number 0 of 1" seen) or by an entry in odd, never by both.
type ledger struct {
	chunks map[int64]*chunk // by offset >> chunkBits
	near   *chunk           // the chunk used last, at nearAt: records come mostly in order
	nearAt int64
	newest int64 // the greatest offset of an input; -1 if none
	odd    map[int64]*oddRecord
	order  map[offsets.Partition]*step // by output partition: the input that its newest record came from
}

// step is a place in the order that outputs must keep: by offset of the input, then by index.
type step struct {
	offset int64
	index  int
}

func (s step) isBehind(t step) bool {
	return s.offset > t.offset || s.offset == t.offset && s.index > t.index
}

const (
	chunkBits = 16
	chunkSize = 1 << chunkBits
)

// chunk is chunkSize neighbouring offsets.
type chunk struct {
	one    bitmap // input records that must have one output
	none   bitmap // input records that must have no output
	copied bitmap // "number 0 of 1" has been seen among the outputs
	odd    bitmap // not here: see ledger.odd

	times *[chunkSize]uint32 // stamps of the inputs' timestamps; 0: not known; nil: none is
}

// oddRecord is a record with more than one output, expected or seen.
type oddRecord struct {
	isInput  bool
	expect   int // outputs it must have, when isInput
	declared int // the greatest count that an output gave
	seen     indexSet
}

func newLedger() *ledger {
	return &ledger{
		chunks: map[int64]*chunk{},
		newest: -1,
		odd:    map[int64]*oddRecord{},
		order:  map[offsets.Partition]*step{},
	}
}

// addInput reports whether the record was new.
func (l *ledger) addInput(offset int64, expect int) bool {
	if l.hasInput(offset) {
		return false
	}
	l.newest = max(l.newest, offset)
	c, bit := l.chunk(offset), offset&(chunkSize-1)
	switch {
	case expect > 1 || c.odd.has(bit):
		r := l.oddRecord(offset)
		r.isInput, r.expect = true, expect
	case expect == 1:
		c.one.set(bit)
	default:
		c.none.set(bit)
	}
	return true
}

func (l *ledger) hasInput(offset int64) bool {
	c, bit := l.chunk(offset), offset&(chunkSize-1)
	return c.one.has(bit) || c.none.has(bit) || c.odd.has(bit) && l.odd[offset].isInput
}

// addOutput reports whether this index of the record was new.
func (l *ledger) addOutput(offset int64, index, count int) bool {
	c, bit := l.chunk(offset), offset&(chunkSize-1)
	if count == 1 && !c.odd.has(bit) {
		isNew := !c.copied.has(bit)
		c.copied.set(bit)
		return isNew
	}
	r := l.oddRecord(offset)
	r.declared = max(r.declared, count)
	return r.seen.add(index)
}

// advance notes that the newest record of out came from s. It reports false, and what s came after, if s should
// have stood earlier.
func (l *ledger) advance(out offsets.Partition, s step) (last step, ok bool) {
	at, known := l.order[out]
	if !known {
		at = &step{offset: math.MinInt64}
		l.order[out] = at
	}
	last, *at = *at, s
	return last, s.isBehind(last)
}

func (l *ledger) chunk(offset int64) *chunk {
	at := offset >> chunkBits
	if l.near != nil && l.nearAt == at {
		return l.near
	}
	c, ok := l.chunks[at]
	if !ok {
		c = &chunk{}
		l.chunks[at] = c
	}
	l.near, l.nearAt = c, at
	return c
}

// oddRecord returns the entry of a record in odd, and moves what its chunk knows of it there if it has none.
func (l *ledger) oddRecord(offset int64) *oddRecord {
	c, bit := l.chunk(offset), offset&(chunkSize-1)
	if c.odd.has(bit) {
		return l.odd[offset]
	}
	r := &oddRecord{isInput: l.hasInput(offset)}
	if c.one.take(bit) {
		r.expect = 1
	}
	if c.copied.take(bit) {
		r.seen.add(0)
	}
	c.none.take(bit)
	c.odd.set(bit)
	l.odd[offset] = r
	return r
}

// bitmap is a set of the offsets of one chunk; it takes no room while empty.
type bitmap struct{ words *[chunkSize / 64]uint64 }

func (b *bitmap) set(i int64) {
	if b.words == nil {
		b.words = new([chunkSize / 64]uint64)
	}
	b.words[i>>6] |= 1 << (i & 63)
}

func (b *bitmap) has(i int64) bool {
	return b.words != nil && b.words[i>>6]&(1<<(i&63)) != 0
}

// take removes i, and reports whether it was there.
func (b *bitmap) take(i int64) bool {
	if !b.has(i) {
		return false
	}
	b.words[i>>6] &^= 1 << (i & 63)
	return true
}

func (b *bitmap) word(i int) uint64 {
	if b.words == nil {
		return 0
	}
	return b.words[i]
}

// indexSet is a set of the numbers of outputs: small ones in one word, for the usual fan-out.
type indexSet struct {
	low  uint64
	high map[int]struct{}
}

func (s *indexSet) add(i int) (isNew bool) {
	if s.has(i) {
		return false
	}
	if i < 64 {
		s.low |= 1 << i
		return true
	}
	if s.high == nil {
		s.high = map[int]struct{}{}
	}
	s.high[i] = struct{}{}
	return true
}

func (s *indexSet) has(i int) bool {
	if i < 64 {
		return s.low&(1<<i) != 0
	}
	_, ok := s.high[i]
	return ok
}

func (s *indexSet) len() int { return bits.OnesCount64(s.low) + len(s.high) }

// countFrom returns how many members are n or more.
func (s *indexSet) countFrom(n int) int {
	count := 0
	if n < 64 {
		count = bits.OnesCount64(s.low >> n)
	}
	for i := range s.high {
		if i >= n {
			count++
		}
	}
	return count
}
