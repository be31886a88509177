package pipe

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// On a log of many transactions, of which some are aborted and which overlap, in more than one answer, the broker's lists are found to be right.
func TestUnlistedFindsNothing(t *testing.T) {
	t.Parallel()
	p := proc.New(t, kafkatest.Shared(t), proc.Shape{From: []int32{1}, To: []int32{1}})
	var writers []*kgo.Client
	for i := range 3 {
		writers = append(writers, p.Cluster.Client(t, kgo.TransactionalID(fmt.Sprint(p.Group, i)), kgo.DefaultProduceTopic(p.To[0]),
			kgo.ProducerBatchCompression(kgo.NoCompression())))
	}
	value := make([]byte, 30_000)
	for round := range 40 {
		for _, w := range writers {
			require.NoError(t, w.BeginTransaction())
		}
		for range 2 {
			for _, w := range writers {
				require.NoError(t, w.ProduceSync(t.Context(), &kgo.Record{Value: value}).FirstErr())
			}
		}
		for i, w := range writers {
			require.NoError(t, w.EndTransaction(t.Context(), kgo.TransactionEndTry((round+i)%3 > 0)))
		}
	}
	require.Zero(t, p.Unlisted())
}
