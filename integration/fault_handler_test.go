package integration

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
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// This file is about handlers that do not do as they should.

type bytesHandler = processor.Handler[[]byte, []byte]

// process runs a processor over the bench's topics until the input's end, with a client that goes through the tap.
func (b *sessionBench) process(tap *wiretap.Tap, deadLetters string, handle bytesHandler) error {
	b.t.Helper()
	p, err := processor.New(processor.Config{
		BootstrapServers: b.kafka.Bootstrap(), Group: b.group, TransactionalID: b.group + "-a", InstanceID: b.group + "-a",
		UntilEnd: true, DeadLetterTopic: deadLetters, Logger: slog.New(slog.NewTextHandler(b.t.Output(), nil)),
		Session: eos.Tuning{MaxRecords: 40, Client: []kgo.Opt{kgo.Dialer(tap.Dial), sessionFastRetries}},
	}, processor.Pipe[[]byte, []byte]{
		Source: processor.From(processor.Bytes(), b.in), Sink: processor.To(processor.Bytes(), b.out), Handle: processor.Each(handle),
	})
	require.NoError(b.t, err)
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
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
	b := newSessionBench(t)
	b.write(300)
	for range 2 {
		err := b.process(tapFor(t), "", func(ctx context.Context, in processor.Record[[]byte]) ([]processor.Record[[]byte], error) {
			if in.Partition == 1 && in.Offset == 70 {
				panic("a bug")
			}
			return copyHandler(ctx, in)
		})
		var failed *processor.RecordError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, offsets.Partition{Topic: b.in, Number: 1}, failed.Partition)
		require.EqualValues(t, 70, failed.Offset)
		require.ErrorContains(t, err, "a bug")
		require.LessOrEqual(t, b.committed()[failed.Partition].Offset, int64(70))
		b.eventually("no transaction is open on the output", func() bool { return b.stable(b.out).Equal(b.ends(b.out)) })
	}
	require.NoError(t, b.process(tapFor(t), "", copyHandler))
	b.requireOnce()
}

// A handler makes other records, and more of them, when it is called again for the same input: a reader sees the outputs of the
// transaction that was committed, and none of those that were aborted.
func TestFaultHandlerMakesSomethingElse(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t)
	b.write(300)
	tap := tapFor(t)
	aborted := tap.Add(wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.RewriteError, ErrorCode: kerr.IllegalGeneration.Code, Count: 3})
	var mu sync.Mutex
	calls := map[offsets.Partition]map[int64]int{}
	wrong := 0
	require.NoError(t, b.process(tap, "", func(ctx context.Context, in processor.Record[[]byte]) ([]processor.Record[[]byte], error) {
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
	b.requireOnce()
}

// Records that the handler gives up become dead letters in the transaction that passes over them. Answers are lost and transactions
// aborted meanwhile: every input record is in the output or among the dead letters, once, and none is in both.
func TestFaultDeadLetters(t *testing.T) {
	t.Parallel()
	b := newSessionBench(t)
	dead := kafkatest.Name(t, "dead")
	b.kafka.CreateTopic(t, dead, sessionPartitions)
	b.write(600)
	for p := range int32(sessionPartitions) {
		for n := int64(3); n < 600/sessionPartitions; n += 7 {
			b.dropped[sessionRecord{p, n}] = true
		}
	}
	tap := tapFor(t)
	faults := []*wiretap.Fault{
		tap.Add(wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.RewriteError, ErrorCode: kerr.IllegalGeneration.Code, Count: 2}),
		tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropReply, Count: 5}),
		tap.Add(wiretap.Rule{API: kmsg.Produce, Topic: dead, Action: wiretap.DropReply, Count: 3}),
	}
	require.NoError(t, b.process(tap, dead, func(ctx context.Context, in processor.Record[[]byte]) ([]processor.Record[[]byte], error) {
		if from, ok := parseSessionRecord(in.Value); ok && b.dropped[from] {
			return nil, processor.DeadLetter(errors.New("planted"))
		}
		return copyHandler(ctx, in)
	}))
	for _, f := range faults {
		require.Positive(t, f.Hits(), "%v", f)
	}
	b.requireOnce()
	out := b.out
	b.out = dead
	defer func() { b.out = out }()
	got := map[sessionRecord]int{}
	for _, r := range b.readOutput() {
		from, ok := parseSessionRecord(r.Value)
		require.True(t, ok && b.dropped[from], "a dead letter that nobody gave up: %s", r.Value)
		got[from]++
		require.Equal(t, 1, got[from], "a dead letter twice: %v", from)
	}
	require.Len(t, got, len(b.dropped))
}
