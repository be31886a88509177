package checker_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/checker"
)

// An output with another timestamp than its input is found, by its place and by its id; nothing is said where timestamps are equal, or are not told of.
func TestTimes(t *testing.T) {
	t.Parallel()
	c := checker.New()
	out := partition("copies", 0)
	for i, ms := range []int64{1000, -1, 0, 1_764_500_000_000_000} {
		c.Input(orders0, int64(i), 1)
		c.InputTime(orders0, int64(i), ms)
		if i == 3 {
			ms = -6_387_431_076_117
		}
		c.Output(out, int64(i), orders0, int64(i), 0, 1)
		c.OutputTime(out, int64(i), orders0, int64(i), ms)
	}
	c.Input(orders0, 4, 1)
	c.Output(out, 4, orders0, 4, 0, 1)
	c.OutputTime(out, 4, orders0, 4, 7)
	got := c.Report()
	require.False(t, got.OK())
	require.Equal(t, checker.Report{In: 5, Out: 5, Retimed: 1}, counts(got))
	require.Equal(t, []string{"retimed: copies-0@3 has the timestamp -6387431076117, and orders-0@3, from which it comes, another one"}, got.Examples)
}

// By ids likewise, where several records share one.
func TestTimesOfIDs(t *testing.T) {
	t.Parallel()
	tell := func(c *checker.Checker, wrong int64) {
		for i, id := range []string{"a", "b", "a"} {
			c.InputID(id, orders0, int64(i))
			c.InputIDTime(id, int64(1000+i))
		}
		for i, id := range []string{"a", "a", "b"} {
			c.OutputID(id, partition("copies", 0), int64(i))
			c.OutputIDTime(id, []int64{1002, 1000, 1001 + wrong}[i])
		}
	}
	c := checker.New()
	tell(c, 0)
	require.True(t, c.Report().OK())
	c = checker.New()
	tell(c, 1)
	require.Equal(t, checker.Report{In: 3, Out: 3, Retimed: 1}, counts(c.Report()))
	c.WithoutIDTimes()
	require.True(t, c.Report().OK())
}
