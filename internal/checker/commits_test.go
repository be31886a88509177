package checker_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/checker"
)

// commitsPlan is a history of commits and of outputs, each by a writer; out of the same input partition.
type commitsPlan struct {
	commits []commitOf
	outputs []commitOf // the offset is that of the input
}

type commitOf struct {
	offset int64
	by     checker.Writer
}

var byHand = checker.Writer{ID: -1}

// cleanCommits: the start by hand at 0, then [0,3) by w1, [3,5) by w2, [5,9) by w1 again, in its next epoch.
func cleanCommits() *commitsPlan {
	return &commitsPlan{
		commits: []commitOf{{0, byHand}, {3, w1}, {5, w2}, {5, w2}, {9, w1next}},
		outputs: []commitOf{{0, w1}, {1, w1}, {2, w1}, {3, w2}, {4, w2}, {5, w1next}, {8, w1next}},
	}
}

func (h *commitsPlan) report() checker.CommitsReport {
	c := checker.NewCommits()
	for _, one := range h.commits {
		c.Commit(orders0, one.offset, one.by)
	}
	for i, one := range h.outputs {
		c.Output(out0, int64(i), orders0, one.offset, one.by)
	}
	return c.Report()
}

// Outputs that the transactions of their input wrote give no alarm, and the last offsets are known.
func TestCommitsClean(t *testing.T) {
	t.Parallel()
	got := cleanCommits().report()
	require.True(t, got.OK(), got.Examples)
	require.Equal(t, checker.CommitsReport{Commits: 5, Outputs: 7}, got)
	c := checker.NewCommits()
	c.Commit(orders0, 3, w1)
	require.Equal(t, "orders-0=3", c.Ends().String())
}

// Each way in which outputs and offsets can come apart is found, and named.
func TestCommitsPlants(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plant   func(h *commitsPlan)
		want    checker.CommitsReport
		example string
	}{
		"the output of an offset that was never committed": {
			func(h *commitsPlan) { h.commits = h.commits[:4] },
			checker.CommitsReport{Commits: 4, Outputs: 7, Early: 2},
			"copies-0@5 comes from orders-0@5, whose offset nobody has committed",
		},
		"a zombie's output": {
			func(h *commitsPlan) { h.outputs[3].by = w1 },
			checker.CommitsReport{Commits: 5, Outputs: 7, Astray: 1},
			"copies-0@3, from orders-0@3, is of producer 1 epoch 4; the offset was committed by producer 2 epoch 0",
		},
		"an output of the transaction before": {
			func(h *commitsPlan) { h.outputs[5].by = w1 },
			checker.CommitsReport{Commits: 5, Outputs: 7, Astray: 1},
			"copies-0@5, from orders-0@5, is of producer 1 epoch 4; the offset was committed by producer 1 epoch 5",
		},
		"an offset too far ahead": {
			func(h *commitsPlan) { h.commits[1].offset = 4 },
			checker.CommitsReport{Commits: 5, Outputs: 7, Astray: 1},
			"copies-0@3, from orders-0@3, is of producer 2 epoch 0; the offset was committed by producer 1 epoch 4",
		},
		"an offset too far behind": {
			func(h *commitsPlan) { h.commits[1].offset = 2 },
			checker.CommitsReport{Commits: 5, Outputs: 7, Astray: 1},
			"copies-0@2, from orders-0@2, is of producer 1 epoch 4; the offset was committed by producer 2 epoch 0",
		},
		"a lost update": {
			func(h *commitsPlan) { h.commits = append(h.commits, commitOf{5, w2}) },
			checker.CommitsReport{Commits: 6, Outputs: 7, Backward: 1},
			"orders-0: producer 2 epoch 0 commits @5 after producer 1 epoch 5 had committed @9",
		},
		"offsets set by hand over records that were copied": {
			func(h *commitsPlan) { h.commits[4].by = byHand },
			checker.CommitsReport{Commits: 5, Outputs: 7, Astray: 2},
			"copies-0@5, from orders-0@5, is of producer 1 epoch 5; the offset was committed by producer -1 epoch 0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := cleanCommits()
			c.plant(h)
			got := h.report()
			require.False(t, got.OK())
			require.Contains(t, got.Examples, c.example)
			got.Examples = nil
			require.Equal(t, c.want, got)
		})
	}
}
