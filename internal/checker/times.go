package checker

import "github.com/eos-pipe/eos-pipe/offsets"

// InputTime tells of the timestamp of an input record that Input was told of, in milliseconds. The outputs of it must have the same, where OutputTime tells of
// theirs.
func (c *Checker) InputTime(p offsets.Partition, offset, ms int64) {
	chunk := c.ledger(p).chunk(offset)
	if chunk.times == nil {
		chunk.times = new([chunkSize]uint32)
	}
	chunk.times[offset&(chunkSize-1)] = stamp(ms)
}

// OutputTime tells of the timestamp of an output record: where it stands, and the input that it came from. The input must have been told of before, or nothing is
// compared.
func (c *Checker) OutputTime(out offsets.Partition, outOffset int64, from offsets.Partition, fromOffset, ms int64) {
	chunk := c.ledger(from).chunk(fromOffset)
	if chunk.times == nil {
		return
	}
	if want := chunk.times[fromOffset&(chunkSize-1)]; want != 0 && want != stamp(ms) {
		c.retimed.add("%s@%d has the timestamp %d, and %s@%d, from which it comes, another one", out, outOffset, ms, from, fromOffset)
	}
}

// InputIDTime and OutputIDTime tell of the timestamps of records that InputID and OutputID were told of. Where as many outputs as inputs have an id, they must have
// the same timestamps.
func (c *Checker) InputIDTime(id string, ms int64) { c.ids.addTime(id, stamp(ms)) }

// OutputIDTime is beside InputIDTime.
func (c *Checker) OutputIDTime(id string, ms int64) { c.ids.addTime(id, -stamp(ms)) }

// WithoutIDTimes has the timestamps of ids not compared: some outputs have none of their own.
func (c *Checker) WithoutIDTimes() { c.ids.noTimes = true }

func (s *identities) addTime(id string, d uint32) {
	key, e := s.find(id)
	e.times += d
	s.entries[key] = e
}

// stamp is a timestamp in 32 bits, of which none is 0: two different ones are the same with a probability of 2⁻³².
func stamp(ms int64) uint32 {
	x := uint64(ms) + 0x9e3779b97f4a7c15 // splitmix64
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return max(1, uint32(x>>32)^uint32(x))
}
