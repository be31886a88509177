package fault

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
)

// What a broker knows of an idle producer ends: it is forgotten by the partitions after seconds, not after a day, and by the
// coordinator not after a week. The pipe that was idle goes on, with every record over once.
func TestFaultExpiry(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.Start(t,
		kafkatest.Set("producer.id.expiration.ms", "2000"), kafkatest.Set("producer.id.expiration.check.interval.ms", "500"),
		kafkatest.Set("transactional.id.expiration.ms", "12000"),
		kafkatest.Set("transaction.remove.expired.transaction.cleanup.interval.ms", "1000"))
	t.Run("producer id", func(t *testing.T) { testProducerIDExpires(t, cluster) })
	t.Run("transactional id", func(t *testing.T) { testTransactionalIDExpires(t, cluster) })
}

// The partitions of the output forget the idle producer.
func testProducerIDExpires(t *testing.T, cluster *kafkatest.Cluster) {
	t.Parallel()
	p := proc.New(t, cluster, proc.SixToSix, "--session-timeout", "10s", "--max-records", "500")
	p.Fill(3_000)
	a := p.Start("a")
	for range 2 {
		p.AwaitAll()
		p.Await("the partitions have forgotten the producer", time.Minute, func(ctx context.Context) (bool, error) {
			known, err := knownProducers(ctx, p)
			return known == 0, err
		})
		p.Fill(3_000)
	}
	p.AwaitAll()
	a.Drain(syscall.SIGTERM)
	t.Logf("%+v", a.Result())
	p.RequireExactlyOnce(9_000, 9_000)
}

// knownProducers returns how many producers the output's partitions know.
func knownProducers(ctx context.Context, p *proc.Pipe) (known int, err error) {
	ends, err := p.Listed(ctx, p.Adm.ListEndOffsets, p.To)
	if err != nil {
		return 0, err
	}
	producers, err := p.Adm.DescribeProducers(ctx, proc.TopicsSet(ends))
	for _, topic := range producers {
		for _, partition := range topic.Partitions {
			err = errors.Join(err, partition.Err)
			known += len(partition.ActiveProducers)
		}
	}
	return known, err
}

// The coordinator forgets the idle transactional id, and with it the producer id that the pipe would go on with.
func testTransactionalIDExpires(t *testing.T, cluster *kafkatest.Cluster) {
	t.Parallel()
	p := proc.New(t, cluster, proc.SixToSix, "--session-timeout", "10s", "--max-records", "500")
	p.Fill(3_000)
	a := p.Start("a")
	p.AwaitAll()
	first, err := p.Transaction(t.Context(), "a")
	require.NoError(t, err)
	p.Await("the coordinator has forgotten the transactional id", time.Minute, func(ctx context.Context) (bool, error) {
		_, err := p.Transaction(ctx, "a")
		return errors.Is(err, kerr.TransactionalIDNotFound), err
	})
	p.Fill(3_000)
	p.AwaitAll()
	second, err := p.Transaction(t.Context(), "a")
	require.NoError(t, err)
	require.NotEqual(t, first.ProducerID, second.ProducerID, "what was forgotten cannot come back")
	a.Drain(syscall.SIGTERM)
	t.Logf("%+v", a.Result())
	p.RequireExactlyOnce(6_000, 6_000)
}
