package session

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/integration/internal/bench"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// A record that the broker refuses (larger than the topic's max.message.bytes) never leads to a commit, be it alone or
// in one batch of the producer with others, which the broker refuses as a whole: the error names it, what was polled
// comes again, and once it is left out everything else is there, once.
func TestSessionFailedProduceNeverCommits(t *testing.T) {
	for name, others := range map[string]int{"alone": 0, "among many": 300} {
		t.Run(name, func(t *testing.T) {
			b := bench.New(t, bench.SmallMessages)
			b.Write(others)
			big := b.WriteBig(1, bench.BigRecord)
			b.Write(others)
			cfg := b.Config("a")
			cfg.Client = []kgo.Opt{kgo.ProducerLinger(time.Second)} // one batch for each partition, sent by the flush
			s := b.Open(cfg)
			err := b.UntilError(s)
			require.ErrorIs(t, err, kerr.MessageTooLarge)
			var rejected *eos.RejectedError
			require.ErrorAs(t, err, &rejected)
			named, ok := bench.ParseRecord(rejected.Record.Value)
			require.True(t, ok)
			require.Equal(t, big, named, "the error names another record than the one that is too large")
			var e *eos.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, eos.Aborted, e.Outcome)
			require.Equal(t, eos.Stop, e.Next)

			b.Dropped[big] = true
			b.Write(30)
			w := b.Work(s)
			b.RequireOnce()
			w.Stop(t) // a rebalance may have it replay a batch
		})
	}
}

// Records of which each fits into the topic's max.message.bytes, but not all of them into one batch of the producer:
// the broker refuses them together. The session goes on in smaller groups, and all of them are there, once.
func TestSessionRecordsThatFitOnlyApart(t *testing.T) {
	b := bench.New(t, bench.SmallMessages)
	for range 30 {
		b.WriteBig(1, 10_000)
	}
	cfg := b.Config("a")
	cfg.Client = []kgo.Opt{kgo.ProducerLinger(time.Second), kgo.ProducerBatchCompression(kgo.NoCompression())}
	w := b.Work(b.Open(cfg))
	b.RequireOnce()
	w.Stop(t)
}

// Finding 6: a record is written, the answer says that it may be, and when it is sent again it is refused, as the topic's limit was lowered
// meanwhile. The transaction is aborted. franz-go gives its sequence number to the next record, and at transaction.version 1, where all
// transactions have one epoch, the broker takes that for a copy of the first, and confirms what is not there. Even a loop that looks
// at every promise loses it. A session goes on with another epoch.
func TestFindingRefusedAfterItWasWritten(t *testing.T) {
	t.Parallel()
	kafka := kafkatest.Start(t)
	bench.SetFeatureLevel(t, kafka, 1)

	control := bench.NewOn(t, kafka)
	tap := bench.Tap(t)
	control.WriteBig(1, 50_000)
	refuseAfterWrite(control, tap)
	require.ErrorIs(t, carefulLoop(control, func() { control.SetTopic("max.message.bytes", "1000000") }, kgo.Dialer(tap.Dial)), kerr.MessageTooLarge)
	lost := control.Verdict()
	t.Logf("plain loop: %s", lost)
	require.Positive(t, lost.Lost)

	b := bench.NewOn(t, kafka)
	cfg, tap := b.Tapped("a")
	b.WriteBig(1, 50_000)
	refuseAfterWrite(b, tap)
	s := b.Open(cfg)
	require.ErrorIs(t, b.UntilError(s), kerr.MessageTooLarge)
	b.SetTopic("max.message.bytes", "1000000")
	w := b.Work(s)
	b.RequireOnce()
	w.Stop(t)
}

// refuseAfterWrite has the answer to the first Produce say that nobody knows whether it was written, and the broker refuse it when it comes
// again.
func refuseAfterWrite(b *bench.Bench, tap *wiretap.Tap) {
	tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.RewriteError, ErrorCode: kerr.NetworkException.Code})
	tap.Add(wiretap.Rule{API: kmsg.Produce, Skip: 1, Action: wiretap.CallOnRequest, Call: func(wiretap.Event) { b.SetTopic("max.message.bytes", "10000") }})
}

// carefulLoop copies as plainLoop does until something is committed, but aborts where a record could not be produced, calls mend, and goes
// on. It returns why that was.
func carefulLoop(b *bench.Bench, mend func(), opts ...kgo.Opt) (failed error) {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.T.Context(), bench.Deadline)
	defer cancel()
	s := openPlain(b, opts...)
	defer s.Close()
	for {
		fetches := s.PollFetches(ctx)
		require.NoError(b.T, fetches.Err(), "the loop was told")
		require.NoError(b.T, s.Begin())
		var produced kgo.FirstErrPromise
		fetches.EachRecord(func(r *kgo.Record) {
			s.Produce(ctx, &kgo.Record{Topic: b.Out, Partition: r.Partition, Value: r.Value}, produced.Promise())
		})
		err := produced.Err()
		committed, ended := s.End(ctx, kgo.TransactionEndTry(err == nil))
		require.NoError(b.T, ended)
		if err != nil {
			failed = err
			mend()
		}
		if committed {
			return failed
		}
	}
}
