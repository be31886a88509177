package fault

import (
	"context"
	"errors"
	"log/slog"
	"sync"
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
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// This file is about handlers that do not do as they should.

type bytesHandler = processor.Handler[[]byte, []byte]

// process runs a processor over the bench's topics until the input's end, with a client that goes through the tap.
func process(b *bench.Bench, tap *wiretap.Tap, deadLetters string, handle bytesHandler) error {
	b.T.Helper()
	p, err := processor.New(processor.Config{
		BootstrapServers: b.Cluster.Bootstrap(), Group: b.Group, TransactionalID: b.Group + "-a", InstanceID: b.Group + "-a",
		UntilEnd: true, DeadLetterTopic: deadLetters, Logger: slog.New(slog.NewTextHandler(b.T.Output(), nil)),
		Session: eos.Tuning{MaxRecords: 40, Client: []kgo.Opt{kgo.Dialer(tap.Dial), bench.FastRetries}},
	}, processor.Pipe[[]byte, []byte]{
		Source: processor.From(processor.Bytes(), b.In), Sink: processor.To(processor.Bytes(), b.Out), Handle: handle,
	})
	require.NoError(b.T, err)
	ctx, cancel := context.WithTimeout(b.T.Context(), time.Minute)
	defer cancel()
	return p.Run(ctx)
}

// copyHandler copies.
func copyHandler(_ context.Context, in processor.Record[[]byte]) ([]processor.Record[[]byte], error) {
	return []processor.Record[[]byte]{processor.With(in, in.Value)}, nil
}

// A handler panics at a record, each time: the processor stops with the record's place, also when it is started again, and
// nothing of the record's batch is committed. What was committed before stays; when the handler is mended, all comes over once.
func TestFaultHandlerPanics(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	b.Write(300)
	for range 2 {
		err := process(b, bench.Tap(t), "", func(ctx context.Context, in processor.Record[[]byte]) ([]processor.Record[[]byte], error) {
			if in.Partition == 1 && in.Offset == 70 {
				panic("a bug")
			}
			return copyHandler(ctx, in)
		})
		var failed *processor.RecordError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, offsets.Partition{Topic: b.In, Number: 1}, failed.Partition)
		require.EqualValues(t, 70, failed.Offset)
		require.ErrorContains(t, err, "a bug")
		require.LessOrEqual(t, b.Committed()[failed.Partition].Offset, int64(70))
		b.NothingOpen()
	}
	require.NoError(t, process(b, bench.Tap(t), "", copyHandler))
	b.RequireOnce()
}

// A handler makes other records, and more of them, when it is called again for the same input: a reader sees the outputs of the
// transaction that was committed, and none of those that were aborted.
func TestFaultHandlerMakesSomethingElse(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	b.Write(300)
	tap := bench.Tap(t)
	aborted := tap.Add(wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.RewriteError, ErrorCode: kerr.IllegalGeneration.Code, Count: 3})
	var mu sync.Mutex
	calls := map[offsets.Partition]map[int64]int{}
	wrong := 0
	require.NoError(t, process(b, tap, "", func(ctx context.Context, in processor.Record[[]byte]) ([]processor.Record[[]byte], error) {
		mu.Lock()
		defer mu.Unlock()
		p := offsets.Partition{Topic: in.Topic, Number: in.Partition}
		if calls[p] == nil {
			calls[p] = map[int64]int{}
		}
		if calls[p][in.Offset]++; calls[p][in.Offset] == 1 && aborted.Hits() < 3 {
			wrong++
			other := processor.With(in, []byte("something else"))
			return []processor.Record[[]byte]{other, other}, nil
		}
		return copyHandler(ctx, in)
	}))
	require.Equal(t, 3, aborted.Hits())
	require.Positive(t, wrong, "outputs of aborted transactions")
	b.RequireOnce()
}

// Records that the handler gives up become dead letters in the transaction that passes over them. Answers are lost and transactions
// aborted meanwhile: every input record is in the output or among the dead letters, once, and none is in both.
func TestFaultDeadLetters(t *testing.T) {
	t.Parallel()
	b := bench.New(t)
	dead := kafkatest.Name(t, "dead")
	b.Cluster.CreateTopic(t, dead, bench.Partitions)
	b.Write(600)
	for p := range int32(bench.Partitions) {
		for n := int64(3); n < 600/bench.Partitions; n += 7 {
			b.Dropped[bench.Record{Partition: p, Number: n}] = true
		}
	}
	tap := bench.Tap(t)
	faults := []*wiretap.Fault{
		tap.Add(wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.RewriteError, ErrorCode: kerr.IllegalGeneration.Code, Count: 2}),
		tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropReply, Count: 5}),
		tap.Add(wiretap.Rule{API: kmsg.Produce, Topic: dead, Action: wiretap.DropReply, Count: 3}),
	}
	require.NoError(t, process(b, tap, dead, func(ctx context.Context, in processor.Record[[]byte]) ([]processor.Record[[]byte], error) {
		if from, ok := bench.ParseRecord(in.Value); ok && b.Dropped[from] {
			return nil, processor.DeadLetter(errors.New("planted"))
		}
		return copyHandler(ctx, in)
	}))
	for _, f := range faults {
		require.Positive(t, f.Hits(), "%v", f)
	}
	b.RequireOnce()
	out := b.Out
	b.Out = dead
	defer func() { b.Out = out }()
	got := map[bench.Record]int{}
	for _, r := range b.ReadOutput() {
		from, ok := bench.ParseRecord(r.Value)
		require.True(t, ok && b.Dropped[from], "a dead letter that nobody gave up: %s", r.Value)
		got[from]++
		require.Equal(t, 1, got[from], "a dead letter twice: %v", from)
	}
	require.Len(t, got, len(b.Dropped))
}
