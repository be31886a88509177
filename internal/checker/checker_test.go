package checker_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/checker"
)

// clean is two partitions whose offsets have gaps (control records, aborted ones, compaction), one of them beyond
// the bitmaps' chunk size, with filtered records and fan-outs among them.
func clean() *history {
	h := &history{}
	for i := range int64(100) {
		h.add(partition("orders", 0), 10+i*3+i/10, 1)
		h.add(partition("orders", 1), i*5_000, 1)
		if i%10 == 0 {
			h.add(partition("orders", 0), 11+i*3+i/10, 0)
			h.add(partition("orders", 0), 12+i*3+i/10, 3)
		}
	}
	return h
}

// A true copy gives no finding, whichever stream is told first, and however often an input is told.
func TestCleanRun(t *testing.T) {
	t.Parallel()
	h := clean()
	want := checker.Report{In: 220, Out: 230}
	require.Equal(t, want, counts(h.report()))
	require.Equal(t, want, counts(h.reportOutputsFirst()))
	require.True(t, h.report().OK())
	require.Empty(t, h.report().Examples)

	c := checker.New()
	h.tellInputs(c)
	h.tellInputs(c)
	h.tellOutputs(c)
	require.Equal(t, want, counts(c.Report()))
}

// The first thing told of an input stands: a second, different number of outputs is not believed.
func TestInputTwice(t *testing.T) {
	t.Parallel()
	for _, expect := range []int{0, 1, 2} {
		c := checker.New()
		c.Input(partition("orders", 0), 5, expect)
		c.Input(partition("orders", 0), 5, expect+1)
		for i := range expect {
			c.Output(partition("copies", 0), int64(i), partition("orders", 0), 5, i, expect)
		}
		require.Equal(t, checker.Report{In: 1, Out: int64(expect)}, counts(c.Report()))
	}
}

// plants is one fault each, put into the clean run, and exactly what must be found of it, with one line of the
// examples. This table is the proof that a report without findings means something: keep it complete.
var plants = map[string]struct {
	plant   func(h *history)
	want    checker.Report // findings only; In and Out are not compared
	example string
}{
	"lost head": {
		func(h *history) { h.remove(h.find(orders0, 10, 0)) },
		checker.Report{Lost: 1},
		"lost: orders-0@10 has no output",
	},
	"lost in the middle": {
		func(h *history) { h.remove(h.find(partition("orders", 1), 250_000, 0)) },
		checker.Report{Lost: 1},
		"lost: orders-1@250000 has no output",
	},
	"lost tail": {
		func(h *history) { h.remove(h.find(partition("orders", 1), 495_000, 0)) },
		checker.Report{Lost: 1},
		"lost: orders-1@495000 has no output",
	},
	"lost fan-out": {
		func(h *history) {
			for i := range 3 {
				h.remove(h.find(orders0, 12, i))
			}
		},
		checker.Report{Lost: 1},
		"lost: orders-0@12 has none of its 3 outputs",
	},
	"doubled at once": {
		func(h *history) { h.repeat(h.find(orders0, 13, 0), h.find(orders0, 13, 0)+1) },
		checker.Report{Doubled: 1},
		"doubled: copies-0@10 is one more copy of number 0 of 1 from orders-0@13",
	},
	"doubled much later": {
		func(h *history) { h.repeat(h.find(orders0, 13, 0), len(h.outputs)) },
		checker.Report{Doubled: 1},
		"doubled: copies-0@260 is one more copy of number 0 of 1 from orders-0@13",
	},
	"doubled twice": {
		func(h *history) {
			h.repeat(h.find(orders0, 13, 0), len(h.outputs))
			h.repeat(h.find(orders0, 13, 0), len(h.outputs))
		},
		checker.Report{Doubled: 2},
		"doubled: copies-0@262 is one more copy of number 0 of 1 from orders-0@13",
	},
	"doubled on another partition": {
		func(h *history) {
			h.repeat(h.find(orders0, 13, 0), len(h.outputs))
			h.outputs[len(h.outputs)-1].out = partition("copies", 7)
		},
		checker.Report{Doubled: 1},
		"doubled: copies-7@0 is one more copy of number 0 of 1 from orders-0@13",
	},
	"doubled one of a fan-out": {
		func(h *history) { h.repeat(h.find(orders0, 12, 1), h.find(orders0, 12, 1)+1) },
		checker.Report{Doubled: 1},
		"doubled: copies-0@6 is one more copy of number 1 of 3 from orders-0@12",
	},
	"swapped neighbours": {
		func(h *history) { h.swap(h.find(orders0, 13, 0), h.find(orders0, 16, 0)) },
		checker.Report{Reordered: 1},
		"reordered: copies-0@10 comes from orders-0@13 (0 of 1), behind a record from orders-0@16",
	},
	"swapped within a fan-out": {
		func(h *history) { h.swap(h.find(orders0, 12, 0), h.find(orders0, 12, 1)) },
		checker.Report{Reordered: 1},
		"reordered: copies-0@4 comes from orders-0@12 (0 of 3), behind a record from orders-0@12",
	},
	"torn fan-out": {
		func(h *history) { h.remove(h.find(orders0, 12, 1)) },
		checker.Report{Torn: 1},
		"torn: orders-0@12 has 2 of its 3 outputs",
	},
	"aborted record leaked": {
		func(h *history) {
			h.outputs = append(h.outputs, output{out: partition("copies", 1), from: partition("orders", 1), fromOffset: 495_001, count: 1})
			h.inputs = append(h.inputs, input{partition("orders", 1), 495_005, 0}) // more follows: it was not beyond the end
		},
		checker.Report{Phantom: 1},
		"phantom: orders-1@495001 is not among the committed inputs (aborted?), and has 1 output too many, first at copies-1@200",
	},
	"beyond the committed offset": {
		func(h *history) { h.inputs = h.inputs[:len(h.inputs)-1] },
		checker.Report{Phantom: 1},
		"phantom: orders-1@495000 is beyond the newest committed input of its partition, and has 1 output too many, first at copies-1@198",
	},
	"a whole fan-out beyond the committed offset": {
		func(h *history) {
			for i := range 3 {
				h.outputs = append(h.outputs, output{out: partition("copies", 0), from: orders0, fromOffset: 9_000, index: i, count: 3})
			}
		},
		checker.Report{Phantom: 3},
		"phantom: orders-0@9000 is beyond the newest committed input of its partition, and has 3 outputs too many, first at copies-0@260",
	},
	"of a partition without input": {
		func(h *history) {
			h.outputs = append(h.outputs, output{out: partition("copies", 0), from: partition("bills", 0), count: 1})
		},
		checker.Report{Phantom: 1},
		"phantom: bills-0@0 is beyond the newest committed input of its partition, and has 1 output too many, first at copies-0@260",
	},
	"filtered record copied": {
		func(h *history) {
			i := h.find(orders0, 12, 0)
			h.insert(i, output{out: partition("copies", 0), from: orders0, fromOffset: 11, count: 1})
		},
		checker.Report{Phantom: 1},
		"phantom: orders-0@11 must have 0 outputs, and has 1 output too many",
	},
	"filtered record copied twice over": {
		func(h *history) {
			i := h.find(orders0, 12, 0)
			h.insert(i, output{out: partition("copies", 0), from: orders0, fromOffset: 11, index: 1, count: 2})
			h.insert(i, output{out: partition("copies", 0), from: orders0, fromOffset: 11, index: 0, count: 2})
		},
		checker.Report{Phantom: 2},
		"phantom: orders-0@11 must have 0 outputs, and has 2 outputs too many",
	},
	"one output too many": {
		func(h *history) {
			i := h.find(orders0, 13, 0)
			h.outputs[i].count = 2
			h.insert(i+1, output{out: partition("copies", 0), from: orders0, fromOffset: 13, index: 1, count: 2})
		},
		checker.Report{Phantom: 1},
		"phantom: orders-0@13 must have 1 output, and has 1 output too many",
	},
	"one output that says it is of two": {
		func(h *history) { h.outputs[h.find(orders0, 13, 0)].count = 2 },
		checker.Report{Torn: 1},
		"torn: orders-0@13 has 1 of its 2 outputs",
	},
	"one of three that says it is the only one": {
		func(h *history) {
			h.outputs[h.find(orders0, 12, 0)].count = 1
			h.remove(h.find(orders0, 12, 2))
			h.remove(h.find(orders0, 12, 1))
		},
		checker.Report{Torn: 1},
		"torn: orders-0@12 has 1 of its 3 outputs",
	},
	"doubled under another count": {
		func(h *history) {
			i := h.find(orders0, 13, 0)
			h.insert(i+1, output{out: partition("copies", 0), from: orders0, fromOffset: 13, index: 0, count: 2})
		},
		checker.Report{Doubled: 1, Torn: 1},
		"doubled: copies-0@10 is one more copy of number 0 of 2 from orders-0@13",
	},
	"foreign record": {
		func(h *history) { h.insert(0, output{out: partition("copies", 1), foreign: true}) },
		checker.Report{Foreign: 1},
		"foreign: copies-1@0 does not say where it comes from",
	},
	"senseless provenance": {
		func(h *history) {
			h.outputs = append(h.outputs, output{out: partition("copies", 0), from: orders0, fromOffset: 10, index: 3, count: 3},
				output{out: partition("copies", 0), from: orders0, fromOffset: 10, index: -1, count: 3})
		},
		checker.Report{Foreign: 2},
		"foreign: copies-0@260 says it is number 3 of 3 from orders-0@10, which no writer of provenance says",
	},
}

var orders0 = partition("orders", 0)

func (h *history) remove(i int) { h.outputs = append(h.outputs[:i], h.outputs[i+1:]...) }

func (h *history) repeat(i, to int) { h.insert(to, h.outputs[i]) }

func (h *history) insert(i int, o output) {
	h.outputs = append(h.outputs[:i], append([]output{o}, h.outputs[i:]...)...)
}

// Each planted fault is found as what it is, and as nothing else, with coordinates that lead to it; also when the
// outputs are told before the inputs.
func TestPlants(t *testing.T) {
	t.Parallel()
	for name, plant := range plants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := clean()
			plant.plant(h)
			got := h.report()
			want := plant.want
			want.In, want.Out = int64(len(h.inputs)), int64(len(h.outputs))
			require.Equal(t, want, counts(got))
			require.False(t, got.OK())
			require.Contains(t, got.Examples, plant.example)
			require.Equal(t, want, counts(h.reportOutputsFirst()))
		})
	}
}

// A report may be asked for in between: it shows what is missing so far, and the next one does not count it again.
func TestReportInBetween(t *testing.T) {
	t.Parallel()
	h := clean()
	c := checker.New()
	h.tellInputs(c)
	c.InputID("a", orders0, 1000)
	c.InputID("b", orders0, 1001)
	c.OutputID("b", partition("copies", 0), 1000)
	c.OutputID("b", partition("copies", 0), 1001)
	require.Equal(t, checker.Report{In: 222, Out: 2, Lost: 211, Doubled: 1}, counts(c.Report()))
	require.Equal(t, c.Report(), c.Report())
	h.tellOutputs(c)
	c.OutputID("a", partition("copies", 0), 1002)
	require.Equal(t, checker.Report{In: 222, Out: 233, Doubled: 1}, counts(c.Report()))
	require.Len(t, c.Report().Examples, 1)
}

// There are at most MaxExamples lines, and no class crowds out another: they come by class, each with its first.
func TestExamplesAreShared(t *testing.T) {
	t.Parallel()
	h := clean()
	h.outputs = h.outputs[200:] // 200 outputs gone: most inputs lost
	for range 50 {
		h.insert(0, output{out: partition("copies", 3), foreign: true})
	}
	h.repeat(len(h.outputs)-1, len(h.outputs))
	r := h.report()
	require.Len(t, r.Examples, checker.MaxExamples)
	classes := map[string]int{}
	for _, line := range r.Examples {
		class, _, _ := strings.Cut(line, ":")
		classes[class]++
	}
	require.Equal(t, map[string]int{"lost": 5, "doubled": 1, "foreign": 4}, classes)
	require.Equal(t, "lost: orders-0@10 has no output", r.Examples[0])

	h.outputs = nil
	require.Len(t, h.report().Examples, checker.MaxExamples, "one class alone may fill them")
}

// A fan-out larger than a machine word is judged like a small one.
func TestWideFanOut(t *testing.T) {
	t.Parallel()
	h := &history{}
	h.add(orders0, 7, 200)
	require.Equal(t, checker.Report{In: 1, Out: 200}, counts(h.report()))

	for _, index := range []int{63, 64, 65, 199} {
		doubled := h.clone()
		doubled.repeat(index, index+1)
		require.Equal(t, checker.Report{In: 1, Out: 201, Doubled: 1}, counts(doubled.report()))
	}

	torn := h.clone()
	torn.remove(199)
	require.Equal(t, checker.Report{In: 1, Out: 199, Torn: 1}, counts(torn.report()))

	for _, expect := range []int{63, 64, 65, 150} {
		surplus := h.clone()
		surplus.inputs[0].expect = expect
		require.Equal(t, checker.Report{In: 1, Out: 200, Phantom: int64(200 - expect)}, counts(surplus.report()))
	}
}

// The JSON form and the one-line form of a report are contracts.
func TestReportForms(t *testing.T) {
	t.Parallel()
	c := checker.New()
	text, err := json.Marshal(c.Report())
	require.NoError(t, err)
	require.JSONEq(t, `{"in":0,"out":0,"lost":0,"doubled":0,"phantom":0,"reordered":0,"torn":0,"foreign":0,"retimed":0,"examples":[]}`, string(text))
	require.True(t, c.Report().OK())

	c.Foreign(partition("copies", 0), 4)
	text, err = json.Marshal(c.Report())
	require.NoError(t, err)
	require.Contains(t, string(text), `"examples":["foreign: copies-0@4 does not say where it comes from"]`)
	require.Equal(t, "in=0 out=1 lost=0 doubled=0 phantom=0 reordered=0 torn=0 foreign=1 retimed=0", c.Report().String())
}
