package offsets_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/eos-pipe/eos-pipe/offsets"
)

func partition(topic string, number int32) offsets.Partition {
	return offsets.Partition{Topic: topic, Number: number}
}

func mustSet(t require.TestingT, s string) offsets.Set {
	set, err := offsets.ParseSet(s)
	require.NoError(t, err)
	return set
}

// A set is written in one line in the order of its partitions, and read from any order.
func TestSetText(t *testing.T) {
	t.Parallel()
	set := offsets.Set{
		partition("orders", 10): offsets.NewPosition(5),
		partition("orders", 2):  {Offset: 7, LeaderEpoch: 3},
		partition("bills", 0):   offsets.NewPosition(0),
	}
	const line = "bills-0=0 orders-2=7@3 orders-10=5"
	require.Equal(t, line, set.String())
	require.Equal(t, set, mustSet(t, line))
	require.Equal(t, set, mustSet(t, "\torders-10=5  orders-2=7@3\nbills-0=0 "))
	require.Empty(t, offsets.Set(nil).String())
	require.Equal(t, offsets.Set{}, mustSet(t, " "), "empty, and ready to be advanced")
}

// A fault in the text is named together with the part that has it.
func TestParseSetRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"orders-0":                `offsets "orders-0": no '='`,
		"orders-0 = 4":            `offsets "orders-0": no '='`,
		"orders=4":                `offsets: partition "orders": no dash`,
		"orders-0=4 bills-1=x":    `offsets of bills-1: position "x"`,
		"orders-0=":               `offsets of orders-0: position ""`,
		"orders-0=4 orders-0=4@1": `offsets: orders-0 is given twice (4 and 4@1)`,
	} {
		set, err := offsets.ParseSet(text)
		require.ErrorContains(t, err, want, text)
		require.Nil(t, set)
	}
}

// Sorted stops when the loop does.
func TestSortedStops(t *testing.T) {
	t.Parallel()
	var seen []offsets.Partition
	for p := range mustSet(t, "a-0=1 a-1=1 a-2=1").Sorted() {
		seen = append(seen, p)
		if p.Number == 1 {
			break
		}
	}
	require.Equal(t, []offsets.Partition{partition("a", 0), partition("a", 1)}, seen)
}

// A clone is a set of its own, and may be advanced even when its original was nil.
func TestClone(t *testing.T) {
	t.Parallel()
	set := mustSet(t, "a-0=1")
	clone := set.Clone()
	require.Equal(t, set, clone)
	require.NoError(t, clone.Advance(partition("a", 0), offsets.NewPosition(2)))
	require.Equal(t, "a-0=1", set.String())
	require.NoError(t, offsets.Set(nil).Clone().Advance(partition("a", 0), offsets.NewPosition(2)))
}

// Equal asks for the same partitions at the same offsets, whatever the leader epochs. Covers asks for at least that.
func TestEqualAndCovers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b          string
		equal, covers bool
	}{
		{"", "", true, true},
		{"a-0=5", "a-0=5@9", true, true},
		{"a-0=5", "a-0=4", false, true},
		{"a-0=5", "a-0=6", false, false},
		{"a-0=5", "", false, true},
		{"", "a-0=0", false, false},
		{"a-0=5 a-1=5", "a-0=5", false, true},
		{"a-0=5 a-1=5", "a-0=5 a-2=5", false, false},
		{"a-0=9", "a-0=5 a-1=0", false, false},
	} {
		a, b := mustSet(t, c.a), mustSet(t, c.b)
		require.Equal(t, c.equal, a.Equal(b), "%q equal to %q", c.a, c.b)
		require.Equal(t, c.equal, b.Equal(a), "%q equal to %q", c.b, c.a)
		require.Equal(t, c.covers, a.Covers(b), "%q covers %q", c.a, c.b)
	}
	require.True(t, offsets.Set(nil).Equal(offsets.Set{}))
}

// Advance goes forward only; when it refuses, the set is as before.
func TestAdvance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ before, to, after, err string }{
		{"", "a-0=5", "a-0=5", ""},
		{"", "a-0=0", "a-0=0", ""},
		{"a-0=5", "a-0=6", "a-0=6", ""},
		{"a-0=5@2", "a-0=6", "a-0=6", ""},
		{"a-0=5", "a-0=5@2", "a-0=5@2", ""},
		{"a-0=5@2", "a-0=5", "a-0=5@2", ""},
		{"a-0=5@2", "a-0=5@1", "a-0=5@2", ""},
		{"a-0=5@2", "a-0=4@3", "a-0=5@2", "advance a-0 from 5@2 to 4@3: would go back"},
	} {
		set := mustSet(t, c.before)
		for p, pos := range mustSet(t, c.to) {
			err := set.Advance(p, pos)
			if c.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.err)
			}
		}
		require.Equal(t, c.after, set.String(), "%s to %s", c.before, c.to)
	}
	set := offsets.Set{}
	require.ErrorContains(t, set.Advance(partition("a", 0), offsets.NewPosition(-1)), "not an offset that Kafka can commit")
	require.Empty(t, set)
}

// Lag counts what is left in each partition; a group that has committed nothing has everything left, and a position
// past the end shows as negative without hiding what is left elsewhere.
func TestLag(t *testing.T) {
	t.Parallel()
	set := mustSet(t, "a-0=5 a-1=10 a-2=30 gone-0=7")
	lags, total := set.Lag(mustSet(t, "a-0=8 a-1=10 a-2=20 a-3=4"))
	require.Equal(t, map[offsets.Partition]int64{
		partition("a", 0): 3,
		partition("a", 1): 0,
		partition("a", 2): -10,
		partition("a", 3): 4,
	}, lags)
	require.Equal(t, int64(7), total)
}

// genSet draws small sets over few partitions, so that two of them overlap.
var genSet = rapid.MapOfN(
	rapid.Custom(func(t *rapid.T) offsets.Partition {
		return partition(rapid.SampledFrom([]string{"a", "b-", "b-1"}).Draw(t, "topic"), rapid.Int32Range(0, 3).Draw(t, "number"))
	}),
	rapid.Custom(func(t *rapid.T) offsets.Position {
		return offsets.Position{Offset: rapid.Int64Range(0, 5).Draw(t, "offset"), LeaderEpoch: rapid.Int32Range(-1, 2).Draw(t, "epoch")}
	}),
	0, 8,
)

// The laws that tie the operations together, on random sets.
func TestSetLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := offsets.Set(genSet.Draw(t, "a")), offsets.Set(genSet.Draw(t, "b"))
		require.Equal(t, a, mustSet(t, a.String()), "text and back")

		if fields := strings.Fields(a.String()); len(fields) > 0 {
			shuffled := rapid.Permutation(fields).Draw(t, "fields")
			require.Equal(t, a, mustSet(t, strings.Join(shuffled, " ")), "in any order")
		}

		require.Equal(t, a.Equal(b), len(offsets.Diff(a, b)) == 0, "equal means no difference")
		require.Equal(t, a.Equal(b), a.Covers(b) && b.Covers(a), "equal means covering each other")

		joined := a.Clone()
		for p, pos := range b {
			_ = joined.Advance(p, pos) // refused where a is ahead
		}
		require.True(t, joined.Covers(a) && joined.Covers(b), "advancing to all of b covers both")

		_, total := joined.Lag(b)
		require.Zero(t, total, "who covers the end has no lag")
	})
}

// Whatever text is accepted means the same after writing and reading it again.
func FuzzParseSet(f *testing.F) {
	for _, s := range []string{"", "orders-0=42 orders-1=7@3", "a-0=1 a-0=1", "a-0 = 1", "a-1=1\u00a0b-1=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		set, err := offsets.ParseSet(s)
		if err != nil {
			require.Nil(t, set)
			return
		}
		again, err := offsets.ParseSet(set.String())
		require.NoError(t, err)
		require.Equal(t, set, again)
	})
}
