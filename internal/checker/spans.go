package checker

import (
	"cmp"
	"slices"
)

// Span is a run of neighbouring offsets, both ends included.
type Span struct{ First, Last int64 }

// spans is a set of offsets. It may be filled in any order; sorted brings it into the one form that can be compared.
type spans []Span

// add adds a run. One that goes on where the newest ends takes no room.
func (s *spans) add(first, last int64) {
	if n := len(*s); n > 0 && (*s)[n-1].Last+1 == first {
		(*s)[n-1].Last = last
		return
	}
	*s = append(*s, Span{first, last})
}

// sorted returns the set in order, with neighbours joined.
func (s spans) sorted() spans {
	in := slices.Clone(s)
	slices.SortFunc(in, func(a, b Span) int { return cmp.Compare(a.First, b.First) })
	var out spans
	for _, one := range in {
		if n := len(out); n > 0 && out[n-1].Last >= one.First-1 {
			out[n-1].Last = max(out[n-1].Last, one.Last)
			continue
		}
		out = append(out, one)
	}
	return out
}

// count returns how many offsets the set has; it must be sorted.
func (s spans) count() (n int64) {
	for _, one := range s {
		n += one.Last - one.First + 1
	}
	return n
}

// without returns what is in s and not in t; both must be sorted.
func (s spans) without(t spans) (rest spans) {
	for _, one := range s {
		for len(t) > 0 && t[0].Last < one.First {
			t = t[1:]
		}
		at := one.First
		for _, hole := range t {
			if hole.First > one.Last {
				break
			}
			if at < hole.First {
				rest = append(rest, Span{at, hole.First - 1})
			}
			at = max(at, hole.Last+1)
		}
		if at <= one.Last {
			rest = append(rest, Span{at, one.Last})
		}
	}
	return rest
}

// within returns what is in both sets; both must be sorted.
func (s spans) within(t spans) spans { return s.without(s.without(t)) }
