package processortest

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/processor"
)

// Replay runs the pipe on an embedded broker through faults that make records come again: the process dies in the middle
// of a transaction and restarts, a transaction is aborted, the answer to a commit is lost. It fails the test if a
// read_committed reader does not see the outputs of every record once, as many as the handler made when it was first called,
// and returns what such a reader sees. So it shows that the handler may be called again for a record, as it will be. The
// test itself must look at what the handler does or keeps besides. The pipe must have a Handler, or none.
//
// Records go to the pipe's first source topic, to their Partition modulo 3, and get offsets in their order. onError says
// what happens to records that cannot be processed: with the zero value such a record fails the test. The outputs are in
// the order of each of their partitions.
func Replay[In, Out any](t testing.TB, pipe processor.Pipe[In, Out], onError processor.Errors, records ...*kgo.Record) Result[Out] {
	t.Helper()
	pipe.Source.Topics, pipe.Source.Pattern = sourceTopics(pipe), ""
	b := startBroker(t, slices.Concat(pipe.Source.Topics, pipe.Sink.Topics(), []string{DeadLetterTopic}))
	b.write(pipe.Source.Topics[0], records)
	seen := observe(t, &pipe)
	cfg := processor.Config{
		BootstrapServers: b.servers, ApplicationID: "replay", InstanceID: "a", DeadLetterTopic: DeadLetterTopic, Errors: onError,
		Provenance: true, UntilEnd: true, Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		Session: eos.Tuning{MaxRecords: max(len(records)/4, 1), SessionTimeout: 10 * time.Second, TransactionTimeout: 10 * time.Second},
	}
	dieInTransaction(t, cfg, pipe)
	skipped := finish(t, cfg, pipe)
	outs, dead := b.read(pipe.Sink.Topics()), b.read([]string{DeadLetterTopic})
	seen.judge(t, outs, dead)
	return result(t, pipe, outs, dead, skipped)
}

// dieInTransaction runs the pipe until the brokers have records of an open transaction, and leaves it there, as a process does that is killed.
func dieInTransaction[In, Out any](t testing.TB, cfg processor.Config, pipe processor.Pipe[In, Out]) {
	t.Helper()
	tap := wiretap.New()
	defer tap.Close()
	held := tap.Add(wiretap.Rule{API: kmsg.Produce, Action: wiretap.HoldReply})
	p := newProcessor(t, cfg, pipe, tap)
	done := make(chan error, 1)
	go func() { done <- p.Run(context.Background()) }()
	select {
	case <-held.Reached():
		tap.Cut() // from now on nothing that it sends arrives
		p.Abort()
		if err := <-done; !errors.Is(err, processor.ErrAborted) {
			t.Fatalf("the pipe was to be left in a transaction: %v", err)
		}
	case err := <-done: // there was nothing to produce
		if err != nil {
			t.Fatalf("the pipe stopped: %v", err)
		}
	}
}

// finish runs the pipe to the end, with a transaction that is aborted and one whose commit is not answered. It returns how many records
// were left out.
func finish[In, Out any](t testing.TB, cfg processor.Config, pipe processor.Pipe[In, Out]) (skipped int) {
	t.Helper()
	tap := wiretap.New()
	defer tap.Close()
	commits := true
	tap.Add(wiretap.Rule{API: kmsg.TxnOffsetCommit, Action: wiretap.RewriteError, ErrorCode: kerr.IllegalGeneration.Code})
	tap.Add(wiretap.Rule{API: kmsg.EndTxn, Commit: &commits, Action: wiretap.DropReply})
	var count processor.Counter
	cfg.Observer = count.Observer()
	p := newProcessor(t, cfg, pipe, tap)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := errors.Join(p.Run(ctx), ctx.Err()); err != nil {
		t.Fatalf("the pipe does not come to its end: %v", err)
	}
	return int(count.Stats().Skipped)
}

func newProcessor[In, Out any](t testing.TB, cfg processor.Config, pipe processor.Pipe[In, Out], tap *wiretap.Tap) *processor.Processor {
	t.Helper()
	cfg.Session.Client = []kgo.Opt{kgo.Dialer(tap.Dial), kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond })}
	p, err := processor.New(cfg, pipe)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
