package eos

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// Must-do 4. The offsets in a request are compared with those of what was processed: any difference stops the commit.
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
		req := kmsg.NewPtrTxnOffsetCommitRequest()
		for p, pos := range set {
			part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
			part.Partition, part.Offset = p.Number, pos.Offset
			req.Topics = append(req.Topics, kmsg.TxnOffsetCommitRequestTopic{Topic: p.Topic, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{part}})
		}
		req.MemberID = "m"
		c := &client{}
		for p := range want {
			c.members.assigned(p, "m")
		}
		tx := &transaction{s: &Session{client: c}, commits: want}
		err = tx.checkOffsets(req)
		require.Equal(t, fits, err == nil, text)
		req.MemberID = "other" // it was given up by the group, and has joined again
		require.Error(t, tx.checkOffsets(req))
	}
}
