package bench

import (
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

// SetTopic sets a config of the output and waits until the brokers say it.
func (b *Bench) SetTopic(name, value string) {
	b.T.Helper()
	changed, err := b.Adm.AlterTopicConfigs(b.T.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, b.Out)
	require.NoError(b.T, err)
	require.NoError(b.T, changed[0].Err)
	b.Eventually(name+" is set", func() bool {
		described, err := b.Adm.DescribeTopicConfigs(b.T.Context(), b.Out)
		if err != nil {
			return false
		}
		for _, c := range described[0].Configs {
			if c.Key == name && c.MaybeValue() == value {
				return true
			}
		}
		return false
	})
}

// Leaders returns the leaders of a topic's partitions, of those that have one.
func (b *Bench) Leaders(topic string) map[int32]int32 {
	b.T.Helper()
	leaders := map[int32]int32{}
	topics, err := b.Adm.ListTopicsWithInternal(b.T.Context(), topic)
	require.NoError(b.T, err)
	for p, detail := range topics[topic].Partitions {
		if detail.Leader >= 0 {
			leaders[p] = detail.Leader
		}
	}
	return leaders
}
