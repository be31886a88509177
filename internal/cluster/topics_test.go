package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Topics of Kafka's own, and topics that the brokers answered with an error for, cannot be inputs.
func TestReadableTopics(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"in"}, Readable(kadm.TopicDetails{
		"in":                 {Topic: "in"},
		"__consumer_offsets": {Topic: "__consumer_offsets", IsInternal: true},
		"gone":               {Topic: "gone", Err: kerr.UnknownTopicOrPartition},
	}))
}
