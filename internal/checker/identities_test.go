package checker_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/checker"
)

// Ids that go in and come out equally often are a true copy, whichever is told first, also where inputs share an id.
func TestIDsClean(t *testing.T) {
	t.Parallel()
	for _, outputsFirst := range []bool{false, true} {
		c := checker.New()
		tell := func(f func(id string, at int64)) {
			for i := range int64(1000) {
				f(fmt.Sprint("id-", i%990), i)
			}
		}
		inputs := func(id string, at int64) { c.InputID(id, orders0, at) }
		outputs := func(id string, at int64) { c.OutputID(id, partition("copies", 0), at) }
		if outputsFirst {
			inputs, outputs = outputs, inputs
		}
		tell(inputs)
		tell(outputs)
		require.Equal(t, checker.Report{In: 1000, Out: 1000}, counts(c.Report()))
	}
}

// Each fault that ids can show is found, with the place of the first record that has the id: as an input if there
// is one, whichever stream is told first.
func TestIDsPlants(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in, out  []string
		want     checker.Report
		examples []string
	}{
		"lost": {
			[]string{"a", "b", "c"},
			[]string{"a", "c"},
			checker.Report{In: 3, Out: 2, Lost: 1},
			[]string{"lost: the id of orders-0@1 must be on 1 output, and is on 0"},
		},
		"lost one of two": {
			[]string{"a", "a", "c"},
			[]string{"a", "c"},
			checker.Report{In: 3, Out: 2, Lost: 1},
			[]string{"lost: the id of orders-0@0 must be on 2 outputs, and is on 1"},
		},
		"doubled twice": {
			[]string{"a", "b"},
			[]string{"a", "b", "b", "b"},
			checker.Report{In: 2, Out: 4, Doubled: 2},
			[]string{"doubled: the id of orders-0@1 must be on 1 output, and is on 3"},
		},
		"phantom": {
			[]string{"a"},
			[]string{"a", "x", "x"},
			checker.Report{In: 1, Out: 3, Phantom: 2},
			[]string{"phantom: the id of copies-0@1 is on no committed input, and on 2 outputs"},
		},
		"empty id": {
			[]string{""},
			nil,
			checker.Report{In: 1, Lost: 1},
			[]string{"lost: the id of orders-0@0 must be on 1 output, and is on 0"},
		},
		"in order of place": {
			[]string{"a", "b", "c"},
			nil,
			checker.Report{In: 3, Lost: 3},
			[]string{
				"lost: the id of orders-0@0 must be on 1 output, and is on 0",
				"lost: the id of orders-0@1 must be on 1 output, and is on 0",
				"lost: the id of orders-0@2 must be on 1 output, and is on 0",
			},
		},
	} {
		for _, outputsFirst := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/outputs first %v", name, outputsFirst), func(t *testing.T) {
				t.Parallel()
				ck := checker.New()
				inputs := func() {
					for i, id := range c.in {
						ck.InputID(id, orders0, int64(i))
					}
				}
				if !outputsFirst {
					inputs()
				}
				for i, id := range c.out {
					ck.OutputID(id, partition("copies", 0), int64(i))
				}
				if outputsFirst {
					inputs()
				}
				want := c.want
				want.Examples = c.examples
				require.Equal(t, want, ck.Report())
			})
		}
	}
}
