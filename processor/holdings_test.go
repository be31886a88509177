package processor

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// notes is a work that notes what it is told of partitions.
type notes []string

func (n *notes) process(context.Context, []*kgo.Record, outputCheck) (*made, error) {
	return &made{}, nil
}
func (n *notes) committed(*made)                 {}
func (n *notes) aborted(*made, error) error      { return nil }
func (n *notes) assigned(ps []offsets.Partition) { *n = append(*n, fmt.Sprint("+", ps)) }
func (n *notes) revoked(ps []offsets.Partition)  { *n = append(*n, fmt.Sprint("-", ps)) }

// However many reports come before a batch, a work is told of what was lost in between, then of what there is: a partition that went away and came
// back is revoked and assigned again. Reports that no batch follows take no more memory than one.
func TestHoldings(t *testing.T) {
	t.Parallel()
	in := func(numbers ...int32) (ps []offsets.Partition) {
		for _, n := range numbers {
			ps = append(ps, offsets.Partition{Topic: "in", Number: n})
		}
		return ps
	}
	var h holdings
	var told notes
	step := func(want ...string) {
		t.Helper()
		h.follow(&told, offsets.Set{})
		require.Equal(t, want, []string(told))
		told = nil
	}
	step()
	h.report(in(0, 1, 2))
	step("+[in-0 in-1 in-2]")
	for range 1000 {
		h.report(in(0, 2))
		h.report(in(0, 1, 2))
	}
	require.LessOrEqual(t, len(h.kept)+len(h.last), 6)
	step("-[in-1]", "+[in-1]")
	h.report(nil)
	h.report(in(2, 3))
	step("-[in-0 in-1 in-2]", "+[in-2 in-3]")
	h.report(in(4))
	h.follow(&told, offsets.Set{in(5)[0]: offsets.NewPosition(1)})
	require.Equal(t, notes{"-[in-2 in-3]", "+[in-4]", "+[in-5]"}, told)
	told = nil
	h.report(in(6))
	h.drop(&told)
	require.Equal(t, notes{"-[in-4 in-5]"}, told)
	told = nil
	step()
}
