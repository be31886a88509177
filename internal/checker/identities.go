package checker

import (
	"cmp"
	"hash/maphash"
	"slices"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// InputID tells of one input record by an id that its output must carry too. Where several inputs share an id, as
// many outputs must. Filtered records are not to be told. p and offset are where it stands, for the examples.
func (c *Checker) InputID(id string, p offsets.Partition, offset int64) {
	c.in++
	key, e := c.ids.find(id)
	if e.in == 0 {
		e.at, e.offset = c.ids.place(p), offset
	}
	e.in++
	c.ids.entries[key] = e
}

// OutputID tells of one output record by the id that it took over from its input; out and offset are where it
// stands, for the examples. The order of outputs is not judged.
func (c *Checker) OutputID(id string, out offsets.Partition, offset int64) {
	c.out++
	key, e := c.ids.find(id)
	if e.in == 0 && e.out == 0 {
		e.at, e.offset = c.ids.place(out), offset
	}
	e.out++
	c.ids.entries[key] = e
}

// identities counts how often each id was seen. Ids are kept as 128-bit hashes under random seeds: two among a
// billion ids share one with a probability below 10^-20.
type identities struct {
	seeds   [2]maphash.Seed
	entries map[[2]uint64]identity
	places  []offsets.Partition // which identity.at names
	index   map[offsets.Partition]uint32
	noTimes bool // timestamps are not compared
}

// identity is one id: how often it went in and came out, and where it was first seen, as an input if it ever was.
type identity struct {
	in, out uint32
	at      uint32
	times   uint32 // stamps of the inputs' timestamps, less those of the outputs'
	offset  int64
}

// find returns the key of an id, and what is known of it.
func (s *identities) find(id string) (key [2]uint64, e identity) {
	if s.entries == nil {
		s.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
		s.entries = map[[2]uint64]identity{}
		s.index = map[offsets.Partition]uint32{}
	}
	key = [2]uint64{maphash.String(s.seeds[0], id), maphash.String(s.seeds[1], id)}
	return key, s.entries[key]
}

// place returns the number under which places holds p.
func (s *identities) place(p offsets.Partition) uint32 {
	i, ok := s.index[p]
	if !ok {
		i = uint32(len(s.places))
		s.places = append(s.places, p)
		s.index[p] = i
	}
	return i
}

// judge adds what is wrong with the ids.
func (s *identities) judge(v *verdict) {
	var wrong []identity
	for _, e := range s.entries {
		if e.in != e.out || e.times != 0 && !s.noTimes {
			wrong = append(wrong, e)
		}
	}
	slices.SortFunc(wrong, func(a, b identity) int {
		return cmp.Or(s.places[a.at].Compare(s.places[b.at]), cmp.Compare(a.offset, b.offset))
	})
	for _, e := range wrong {
		p, in, out := s.places[e.at], int64(e.in), int64(e.out)
		switch {
		case in == 0:
			v.phantom.addMany(out, "the id of %s@%d is on no committed input, and on %s", p, e.offset, outputs(int(out)))
		case out == in:
			v.retimed.add("the id of %s@%d is on as many outputs as inputs, with other timestamps", p, e.offset)
		case out < in:
			v.lost.addMany(in-out, "the id of %s@%d must be on %s, and is on %d", p, e.offset, outputs(int(in)), out)
		default:
			v.doubled.addMany(out-in, "the id of %s@%d must be on %s, and is on %d", p, e.offset, outputs(int(in)), out)
		}
	}
}
