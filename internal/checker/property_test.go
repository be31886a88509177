package checker_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// drawClean draws a true copy: up to three input partitions with gaps small and large, records with one, no or
// several outputs, and outputs whose partitions are interleaved as a reader of all of them would see them.
func drawClean(t *rapid.T) *history {
	perPartition := map[int32]*history{}
	for number := range rapid.Int32Range(1, 3).Draw(t, "partitions") {
		h := &history{}
		offset := rapid.SampledFrom([]int64{0, 5, 1<<16 - 3}).Draw(t, "start")
		for i := range rapid.IntRange(2, 40).Draw(t, "records") {
			expect := i + 1 // one of each kind at least, so that every fault finds its place
			if i >= 2 {
				expect = rapid.SampledFrom([]int{1, 1, 1, 1, 0, 2, 3}).Draw(t, "expect")
			}
			h.add(partition("orders", number), offset, expect)
			offset += rapid.SampledFrom([]int64{1, 1, 1, 2, 3, 1 << 16}).Draw(t, "gap")
		}
		perPartition[number] = h
	}
	all := &history{}
	for number := range int32(len(perPartition)) {
		all.inputs = append(all.inputs, perPartition[number].inputs...)
	}
	for number := int32(0); len(perPartition) > 0; number = (number + 1) % 3 {
		h := perPartition[number]
		if h == nil {
			continue
		}
		n := min(rapid.IntRange(0, 8).Draw(t, "batch"), len(h.outputs))
		all.outputs = append(all.outputs, h.outputs[:n]...)
		if h.outputs = h.outputs[n:]; len(h.outputs) == 0 {
			delete(perPartition, number)
		}
	}
	return all
}

// drawOutput draws one output of an input with exactly (or, if more is set, more than) one output.
// Every history has both.
func (h *history) drawOutput(t *rapid.T, more bool) int {
	var fit []int
	for i, o := range h.outputs {
		if (o.count > 1) == more {
			fit = append(fit, i)
		}
	}
	return rapid.SampledFrom(fit).Draw(t, "output")
}

// drawPlace draws where to put one more record of the log that output i is in, from i on.
func (h *history) drawPlace(t *rapid.T, i int) int {
	return rapid.IntRange(i+1, len(h.outputs)).Draw(t, "place")
}

// randomPlants puts one random fault of a class into a clean history, and returns the findings it must give.
var randomPlants = map[string]func(t *rapid.T, h *history) checker.Report{
	"lost": func(t *rapid.T, h *history) checker.Report {
		h.remove(h.drawOutput(t, false))
		return checker.Report{Lost: 1}
	},
	"doubled": func(t *rapid.T, h *history) checker.Report {
		i := h.drawOutput(t, rapid.Bool().Draw(t, "of a fan-out"))
		h.repeat(i, h.drawPlace(t, i))
		return checker.Report{Doubled: 1}
	},
	"torn": func(t *rapid.T, h *history) checker.Report {
		h.remove(h.drawOutput(t, true))
		return checker.Report{Torn: 1}
	},
	"phantom": func(t *rapid.T, h *history) checker.Report {
		gone := h.outputs[h.drawOutput(t, rapid.Bool().Draw(t, "of a fan-out"))]
		h.inputs = slices.DeleteFunc(h.inputs, func(in input) bool { return in.p == gone.from && in.offset == gone.fromOffset })
		return checker.Report{Phantom: int64(gone.count)}
	},
	"reordered": func(t *rapid.T, h *history) checker.Report {
		i := rapid.IntRange(0, len(h.outputs)-1).Draw(t, "output")
		next := slices.IndexFunc(h.outputs[i+1:], func(o output) bool { return o.out == h.outputs[i].out })
		if next < 0 { // the last of its log: swap the first two
			i = slices.IndexFunc(h.outputs, func(o output) bool { return o.out == h.outputs[i].out })
			next = slices.IndexFunc(h.outputs[i+1:], func(o output) bool { return o.out == h.outputs[i].out })
		}
		h.swap(i, i+1+next)
		return checker.Report{Reordered: 1}
	},
	"foreign": func(t *rapid.T, h *history) checker.Report {
		h.insert(h.drawPlace(t, -1), output{out: partition("copies", 0), foreign: true})
		return checker.Report{Foreign: 1}
	},
}

// A random true copy gives no finding, whichever stream is told first.
func TestRandomClean(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := drawClean(t)
		want := checker.Report{In: int64(len(h.inputs)), Out: int64(len(h.outputs))}
		require.Equal(t, want, counts(h.report()))
		require.Equal(t, want, counts(h.reportOutputsFirst()))
	})
}

// One random fault in a random copy is found as what it is, and as nothing else, whichever stream is told first.
// A failure prints the seed: `go test ./internal/checker -run TestRandomPlant -rapid.seed=N`.
func TestRandomPlant(t *testing.T) {
	t.Parallel()
	for class, plant := range randomPlants {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				h := drawClean(t)
				want := plant(t, h)
				want.In, want.Out = int64(len(h.inputs)), int64(len(h.outputs))
				require.Equal(t, want, counts(h.report()))
				require.Equal(t, want, counts(h.reportOutputsFirst()))
				require.Len(t, h.report().Examples, 1, "one fault is told in one line")
			})
		})
	}
}

// Records per second of a true copy with 12 partitions, one input and one output a record: ns/op is of both.
// bytes/record is the memory that the checker holds afterwards.
func BenchmarkProvenance(b *testing.B) {
	in, out := make([]offsets.Partition, 12), make([]offsets.Partition, 12)
	for i := range in {
		in[i], out[i] = partition("orders", int32(i)), partition("copies", int32(i))
	}
	b.ReportAllocs()
	c := checker.New()
	for i := range b.N {
		n := i / 500 % 12 // as fetched: runs of one partition
		offset := int64(i/6000*500 + i%500)
		c.Input(in[n], offset, 1)
		c.Output(out[n], offset, in[n], offset, 0, 1)
	}
	if r := c.Report(); !r.OK() || r.Out != int64(b.N) {
		b.Fatal(r)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// The same by ids.
func BenchmarkIDs(b *testing.B) {
	ids := make([]string, b.N)
	for i := range ids {
		ids[i] = fmt.Sprintf("order-%012d", i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	c := checker.New()
	for i, id := range ids {
		c.InputID(id, partition("orders", 0), int64(i))
		c.OutputID(id, partition("copies", 0), int64(i))
	}
	if r := c.Report(); !r.OK() || r.Out != int64(b.N) {
		b.Fatal(r)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
