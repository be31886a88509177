package offsets_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// naive is a Tracker that keeps every single offset: slow, and plain to see that it is right.
type naive map[offsets.Partition]*naivePartition

type naivePartition struct {
	ranges []naiveRange
	todo   map[int64]bool // every offset begun: true until done
}

type naiveRange struct {
	first, last int64
	epoch       int32
}

func (n naive) begin(p offsets.Partition, first, last int64, epoch int32) bool {
	g := n[p]
	if first > last || first < 0 {
		return false
	}
	if g == nil {
		g = &naivePartition{todo: map[int64]bool{}}
	}
	if len(g.ranges) > 0 && first <= g.ranges[len(g.ranges)-1].last {
		return false
	}
	n[p] = g
	g.ranges = append(g.ranges, naiveRange{first, last, epoch})
	for o := first; o <= last; o++ {
		g.todo[o] = true
	}
	return true
}

// done refuses unless both ends are to do and no offset between them has been done; offsets between that were
// never begun are passed over.
func (n naive) done(p offsets.Partition, first, last int64) bool {
	g := n[p]
	if g == nil || first > last || !g.todo[first] || !g.todo[last] {
		return false
	}
	for o := first; o <= last; o++ {
		if todo, begun := g.todo[o]; begun && !todo {
			return false
		}
	}
	for o := first; o <= last; o++ {
		if g.todo[o] {
			g.todo[o] = false
		}
	}
	return true
}

// position walks the ranges in order up to the first offset that is to do.
func (g *naivePartition) position() offsets.Position {
	at := offsets.NewPosition(g.ranges[0].first)
	for _, r := range g.ranges {
		for o := r.first; o <= r.last; o++ {
			if g.todo[o] {
				return at
			}
			at = offsets.Position{Offset: o + 1, LeaderEpoch: r.epoch}
		}
	}
	return at
}

// todo returns the offsets begun and not done, in order.
func (n naive) todo(p offsets.Partition) []int64 {
	if n[p] == nil {
		return nil
	}
	todo := maps.Clone(n[p].todo)
	maps.DeleteFunc(todo, func(_ int64, isTodo bool) bool { return !isTodo })
	return slices.Sorted(maps.Keys(todo))
}

func (n naive) state() (positions, begun offsets.Set, pending int64) {
	positions, begun = offsets.Set{}, offsets.Set{}
	for p, g := range n {
		newest := g.ranges[len(g.ranges)-1]
		positions[p] = g.position()
		begun[p] = offsets.Position{Offset: newest.last + 1, LeaderEpoch: newest.epoch}
		for _, todo := range g.todo {
			if todo {
				pending++
			}
		}
	}
	return positions, begun, pending
}

// A Tracker accepts and refuses what the naive one does, and answers the same after every step, whatever is begun
// and done in whatever order, whole ranges, parts of them, several at once, and calls that make no sense.
// A failure prints the seed: `go test ./offsets -run TestTrackerAgainstNaive -rapid.seed=N`.
func TestTrackerAgainstNaive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var tr offsets.Tracker
		model := naive{}
		part := rapid.SampledFrom([]offsets.Partition{partition("a", 0), partition("a", 1)})
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				p := part.Draw(t, "partition")
				for range rapid.IntRange(1, 5).Draw(t, "ranges") {
					first := tr.Begun()[p].Offset + rapid.Int64Range(-1, 3).Draw(t, "gap")
					last := first + rapid.Int64Range(-1, 6).Draw(t, "length")
					epoch := rapid.Int32Range(-1, 3).Draw(t, "epoch")
					require.Equal(t, model.begin(p, first, last, epoch), tr.Begin(p, first, last, epoch) == nil)
				}
			},
			"done anywhere": func(t *rapid.T) {
				p := part.Draw(t, "partition")
				first := rapid.Int64Range(max(0, tr.Positions()[p].Offset-2), tr.Begun()[p].Offset+1).Draw(t, "first")
				last := first + rapid.Int64Range(-1, 8).Draw(t, "length")
				require.Equal(t, model.done(p, first, last), tr.Done(p, first, last) == nil)
			},
			"done what is to do": func(t *rapid.T) {
				p := part.Draw(t, "partition")
				for todo := model.todo(p); len(todo) > 0; todo = model.todo(p) {
					from := rapid.IntRange(0, len(todo)-1).Draw(t, "from")
					to := min(from+rapid.IntRange(0, 9).Draw(t, "more"), len(todo)-1)
					ok := model.done(p, todo[from], todo[to])
					require.Equal(t, ok, tr.Done(p, todo[from], todo[to]) == nil)
					if !ok {
						return
					}
				}
			},
			"forget, seldom": func(t *rapid.T) {
				p := part.Draw(t, "partition")
				if rapid.IntRange(0, 15).Draw(t, "dice") == 15 {
					delete(model, p)
					tr.Forget(p)
				}
			},
			"": func(t *rapid.T) {
				positions, begun, pending := model.state()
				require.Equal(t, positions, tr.Positions())
				require.Equal(t, begun, tr.Begun())
				require.Equal(t, pending, tr.Pending())
			},
		})
	})
}

// When everything begun is done, in whatever order, the positions are those behind everything begun.
func TestTrackerComesToTheEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var tr offsets.Tracker
		p := partition("a", 0)
		type part struct{ first, last int64 }
		var parts []part
		for first := int64(0); len(parts) < 20; {
			first += rapid.Int64Range(0, 3).Draw(t, "gap")
			last := first + rapid.Int64Range(0, 9).Draw(t, "length")
			require.NoError(t, tr.Begin(p, first, last, 5))
			cut := rapid.Int64Range(first, last).Draw(t, "cut")
			parts = append(parts, part{first, cut})
			if cut < last {
				parts = append(parts, part{cut + 1, last})
			}
			first = last + 1
		}
		before := tr.Positions()
		for _, done := range rapid.Permutation(slices.Clone(parts)).Draw(t, "order") {
			require.NoError(t, tr.Done(p, done.first, done.last))
			require.True(t, tr.Positions().Covers(before), "positions never go back")
			before = tr.Positions()
		}
		require.Equal(t, tr.Begun(), tr.Positions())
		require.Zero(t, tr.Pending())
	})
}
