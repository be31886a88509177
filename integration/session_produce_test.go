package integration

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
)

// bigRecord is the size of a record that the input takes and an output with smallMessages does not.
const (
	bigRecord     = 200_000
	smallMessages = "max.message.bytes=100000"
)

// A record that the broker refuses (larger than the topic's max.message.bytes) never leads to a commit, be it alone or
// in one batch of the producer with others, which the broker refuses as a whole: the error names it, what was polled
// comes again, and once it is left out everything else is there, once.
func TestSessionFailedProduceNeverCommits(t *testing.T) {
	for name, others := range map[string]int{"alone": 0, "among many": 300} {
		t.Run(name, func(t *testing.T) {
			b := newSessionBench(t, smallMessages)
			b.write(others)
			big := b.writeBig(1, bigRecord)
			b.write(others)
			cfg := b.config("a")
			cfg.Client = []kgo.Opt{kgo.ProducerLinger(time.Second)} // one batch for each partition, sent by the flush
			s := b.open(cfg)
			err := b.untilError(s)
			require.ErrorIs(t, err, kerr.MessageTooLarge)
			var rejected *eos.RejectedError
			require.ErrorAs(t, err, &rejected)
			named, ok := parseSessionRecord(rejected.Record.Value)
			require.True(t, ok)
			require.Equal(t, big, named, "the error names another record than the one that is too large")
			var e *eos.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, eos.Aborted, e.Outcome)
			require.Equal(t, eos.Stop, e.Next)

			b.dropped[big] = true
			b.write(30)
			w := b.work(s)
			b.requireOnce()
			w.stop(t) // a rebalance may have it replay a batch
		})
	}
}

// Records of which each fits into the topic's max.message.bytes, but not all of them into one batch of the producer:
// the broker refuses them together. The session goes on in smaller groups, and all of them are there, once.
func TestSessionRecordsThatFitOnlyApart(t *testing.T) {
	b := newSessionBench(t, smallMessages)
	for range 30 {
		b.writeBig(1, 10_000)
	}
	cfg := b.config("a")
	cfg.Client = []kgo.Opt{kgo.ProducerLinger(time.Second), kgo.ProducerBatchCompression(kgo.NoCompression())}
	w := b.work(b.open(cfg))
	b.requireOnce()
	w.stop(t)
}
