package eos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// A transaction is said when it is seen for the second time at the same place, and then again after a while, for as long as the session waits
// at it. One that ends, or that the session has not come to, is not.
func TestOpenOnes(t *testing.T) {
	t.Parallel()
	p := offsets.Partition{Topic: "in", Number: 1}
	now := time.Unix(0, 0)
	seen := openOnes{}
	look := func(after time.Duration, at, stable, end int64) int {
		now = now.Add(after)
		of := func(offset int64) map[offsets.Partition]int64 { return map[offsets.Partition]int64{p: offset} }
		return len(seen.next(now, offsets.Set{p: offsets.NewPosition(at)}, of(stable), of(end)))
	}
	require.Zero(t, look(0, 10, 10, 10), "none is open")
	require.Zero(t, look(openInterval, 10, 10, 12), "it may just have begun")
	require.Equal(t, 1, look(openInterval, 10, 10, 15), "it is still there")
	require.Zero(t, look(openInterval, 10, 10, 15), "it has been said")
	require.Equal(t, 1, look(sayOpenAgain, 10, 10, 15), "it is still there")
	require.Zero(t, look(openInterval, 10, 12, 15), "another one")
	require.Zero(t, look(openInterval, 10, 12, 15), "the session has not come to it")
	require.Zero(t, look(openInterval, 12, 12, 15))
	require.Equal(t, 1, look(openInterval, 12, 12, 15))
	require.Empty(t, seen.next(now, offsets.Set{}, nil, nil), "the partition is taken away")
	require.Empty(t, seen)
}
