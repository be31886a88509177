package checker_test

import (
	"slices"

	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// history is what a Checker is told, as data: tests make a clean one and plant a fault in it.
type history struct {
	inputs  []input
	outputs []output // in the order of the log of each output partition; at is filled in by tell
}

type input struct {
	p      offsets.Partition
	offset int64
	expect int
}

type output struct {
	out          offsets.Partition
	from         offsets.Partition
	fromOffset   int64
	index, count int
	foreign      bool
}

func partition(topic string, number int32) offsets.Partition {
	return offsets.Partition{Topic: topic, Number: number}
}

// add appends one input record and all that must come of it, on the output partition of the same number.
func (h *history) add(p offsets.Partition, offset int64, expect int) {
	h.inputs = append(h.inputs, input{p, offset, expect})
	for i := range expect {
		h.outputs = append(h.outputs, output{out: partition("copies", p.Number), from: p, fromOffset: offset, index: i, count: expect})
	}
}

func (h *history) clone() *history {
	return &history{inputs: slices.Clone(h.inputs), outputs: slices.Clone(h.outputs)}
}

// find returns where the output of number index of p@offset stands.
func (h *history) find(p offsets.Partition, offset int64, index int) int {
	return slices.IndexFunc(h.outputs, func(o output) bool { return o.from == p && o.fromOffset == offset && o.index == index })
}

func (h *history) swap(i, j int) { h.outputs[i], h.outputs[j] = h.outputs[j], h.outputs[i] }

// tellInputs and tellOutputs feed the checker; output offsets count by 2, as if control records stood between.
func (h *history) tellInputs(c *checker.Checker) {
	for _, in := range h.inputs {
		c.Input(in.p, in.offset, in.expect)
	}
}

func (h *history) tellOutputs(c *checker.Checker) {
	next := map[offsets.Partition]int64{}
	for _, o := range h.outputs {
		at := next[o.out]
		next[o.out] += 2
		if o.foreign {
			c.Foreign(o.out, at)
			continue
		}
		c.Output(o.out, at, o.from, o.fromOffset, o.index, o.count)
	}
}

func (h *history) report() checker.Report {
	c := checker.New()
	h.tellInputs(c)
	h.tellOutputs(c)
	return c.Report()
}

// reportOutputsFirst must come to the same counts.
func (h *history) reportOutputsFirst() checker.Report {
	c := checker.New()
	h.tellOutputs(c)
	h.tellInputs(c)
	return c.Report()
}

// counts is a report without its examples, to be compared.
func counts(r checker.Report) checker.Report {
	r.Examples = nil
	return r
}
