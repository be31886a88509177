package integration

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
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

// Finding 6: a record is written, the answer says that it may be, and when it is sent again it is refused, as the topic's limit was lowered
// meanwhile. The transaction is aborted. franz-go gives its sequence number to the next record, and at transaction.version 1, where all
// transactions have one epoch, the broker takes that for a copy of the first, and confirms what is not there. Even a loop that looks
// at every promise loses it. A session goes on with another epoch.
func TestFindingRefusedAfterItWasWritten(t *testing.T) {
	t.Parallel()
	kafka := kafkatest.Start(t)
	setFeatureLevel(t, kafka, 1)

	control := newSessionBenchOn(t, kafka)
	tap := tapFor(t)
	control.writeBig(1, 50_000)
	control.refuseAfterWrite(tap)
	require.ErrorIs(t, control.carefulLoop(func() { control.setTopic("max.message.bytes", "1000000") }, kgo.Dialer(tap.Dial)), kerr.MessageTooLarge)
	lost := control.verdict()
	t.Logf("plain loop: %s", lost)
	require.Positive(t, lost.Lost)

	b := newSessionBenchOn(t, kafka)
	cfg, tap := b.tapped("a")
	b.writeBig(1, 50_000)
	b.refuseAfterWrite(tap)
	s := b.open(cfg)
	require.ErrorIs(t, b.untilError(s), kerr.MessageTooLarge)
	b.setTopic("max.message.bytes", "1000000")
	w := b.work(s)
	b.requireOnce()
	w.stop(t)
}

// refuseAfterWrite has the answer to the first Produce say that nobody knows whether it was written, and the broker refuse it when it comes
// again.
func (b *sessionBench) refuseAfterWrite(tap *wiretap.Tap) {
	tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.RewriteError, ErrorCode: kerr.NetworkException.Code})
	tap.Add(wiretap.Rule{API: kmsg.Produce, Skip: 1, Action: wiretap.CallOnRequest, Call: func(wiretap.Event) { b.setTopic("max.message.bytes", "10000") }})
}

// carefulLoop copies as plainLoop does until something is committed, but aborts where a record could not be produced, calls mend, and goes
// on. It returns why that was.
func (b *sessionBench) carefulLoop(mend func(), opts ...kgo.Opt) (failed error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), sessionDeadline)
	defer cancel()
	s := b.openPlain(opts...)
	defer s.Close()
	for {
		fetches := s.PollFetches(ctx)
		require.NoError(b.t, fetches.Err(), "the loop was told")
		require.NoError(b.t, s.Begin())
		var produced kgo.FirstErrPromise
		fetches.EachRecord(func(r *kgo.Record) {
			s.Produce(ctx, &kgo.Record{Topic: b.out, Partition: r.Partition, Value: r.Value}, produced.Promise())
		})
		err := produced.Err()
		committed, ended := s.End(ctx, kgo.TransactionEndTry(err == nil))
		require.NoError(b.t, ended)
		if err != nil {
			failed = err
			mend()
		}
		if committed {
			return failed
		}
	}
}
