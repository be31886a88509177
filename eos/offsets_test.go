package eos

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// The offsets in a request are compared with those of what was processed: any difference stops the commit.
func TestOffsetsOfARequestAreChecked(t *testing.T) {
	want, err := offsets.ParseSet("in-0=10 in-1=20")
	require.NoError(t, err)
	for text, fits := range map[string]bool{
		"in-0=10 in-1=20":         true,
		"in-0=10":                 false,
		"in-0=10 in-1=21":         false,
		"in-0=9 in-1=20":          false,
		"in-0=10 in-1=20 in-2=30": false,
		"other-0=10 in-1=20":      false,
	} {
		set, err := offsets.ParseSet(text)
		require.NoError(t, err)
		req := requestOf(set)
		req.MemberID, req.Generation = "m", 3
		c := &client{}
		for p := range want {
			c.members.assigned(p, membership{"m", 3})
		}
		tx := &transaction{s: &Session{client: c}, commits: want}
		err = tx.checkOffsets(req)
		require.Equal(t, fits, err == nil, text)
	}
}

// Nothing is committed of partitions that others may have had since they were assigned: while the client was no member, or in a
// generation that it did not join.
func TestMemberships(t *testing.T) {
	p := offsets.Partition{Topic: "in"}
	set := offsets.Set{p: offsets.NewPosition(1)}
	var m memberships
	commits := func(fits bool, member string, generation int32) {
		t.Helper()
		err := m.check(set, membership{member, generation})
		require.Equal(t, fits, err == nil, "%v", err)
	}
	commits(false, "a", 5) // it was never assigned
	m.joinsAgain(-1)
	m.assigned(p, membership{"a", 7})
	commits(true, "a", 7)
	commits(true, "a", 8) // it has just joined the next one
	m.joinsAgain(8)
	m.joinsAgain(9) // the assignment failed
	commits(true, "a", 10)
	commits(false, "", 10) // it joins anew
	commits(false, "b", 10)
	m.assigned(p, membership{"b", 11})
	commits(true, "b", 11)
	commits(false, "b", 13) // 12 has passed without it
	commits(false, "b", 14)
	m.assigned(p, membership{"b", 15})
	commits(true, "b", 15)
	m.joinsAgain(15)
	m.joinsAgain(17) // 16 has
	commits(false, "b", 17)
	m.assigned(p, membership{"c", 1}) // the group is another one
	commits(true, "c", 2)
}

// In the consumer protocol an epoch that passes without a member takes nothing from it: only that it is no member any more does.
func TestConsumerMemberships(t *testing.T) {
	p := offsets.Partition{Topic: "in"}
	set := offsets.Set{p: offsets.NewPosition(1)}
	m := memberships{consumer: true}
	require.Error(t, m.check(set, membership{"a", 5}), "it was never assigned")
	m.assigned(p, membership{"a", 5})
	require.NoError(t, m.check(set, membership{"a", 9}))
	require.Error(t, m.check(set, membership{"b", 9}))
	require.Error(t, m.check(set, membership{"a", 1}), "the group is another one")
}
