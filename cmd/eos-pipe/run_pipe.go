package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/jq"
	"github.com/eos-pipe/eos-pipe/processor"
)

// runPipe runs the pipe until it is done, a signal stops it, or it fails. nil means that all it has begun is committed.
func runPipe(ctx context.Context, s streams, opts runOptions) error {
	limitMemory(s.Log)
	var bar atomic.Pointer[barAt]
	client, err := opts.options(s.Log)
	if err != nil {
		return err
	}
	if err := opts.open(&opts.Filter, &opts.Map); err != nil {
		return err
	}
	cfg := opts.config(s.Log)
	var count processor.Counter
	cfg.Observer = cfg.Observer.With(count.Observer())
	cfg.Session.Client = client
	if opts.MaxDecompressed > 0 {
		cfg.Session.Client = append(cfg.Session.Client, kgo.MaxDecompressBatchBytes(opts.MaxDecompressed))
	}
	if opts.UntilEnd {
		cfg.Observer.Progress = func(p processor.Progress) { show(s, &bar, p) }
	}
	shown := opts.monitored(s)
	p, err := processor.New(shown.observe(cfg), opts.pipe())
	if err != nil {
		return usageError(err.Error(), "see eos-pipe run --help")
	}
	drain, stop := drainOnSignal(ctx, s.Log, p.Abort)
	defer stop()
	drain, hide, err := shown.start(drain, s)
	if err != nil {
		return err
	}
	defer hide()
	if opts.ByHost {
		release, err := opts.hold(drain, s, opts.TransactionalID)
		if err != nil {
			return unlessStopped(drain, err)
		}
		defer release()
	}
	s.Log.Info("starting", "from", opts.From, "pattern", opts.FromPattern, "to", opts.To, "group", opts.Group, "transactional_id", opts.laneID(0), "lanes", opts.Lanes)
	began := time.Now()
	var reporting func()
	if !opts.UntilEnd {
		reporting = reportEvery(drain, s, &count)
	}
	err = p.Run(drain)
	if reporting != nil {
		reporting()
	}
	if b := bar.Load(); b != nil {
		b.progress.finish()
	}
	result := runResult{Stats: count.Stats(), Seconds: time.Since(began).Seconds()}
	if err != nil && result.Transactions == 0 {
		return err
	}
	if printed := s.print(result); err == nil {
		err = printed
	}
	return err
}

// startNames returns the names of --start, in the order of eos.Start.
func startNames() []string {
	return []string{eos.StartEarliest.String(), eos.StartLatest.String(), eos.StartNone.String()}
}

// protocolNames returns the names of --group-protocol, in the order of eos.GroupProtocol.
func protocolNames() []string {
	return []string{eos.ClassicProtocol.String(), eos.ConsumerProtocol.String()}
}

// config is the processor's configuration for opts.
func (o runOptions) config(log *slog.Logger) processor.Config {
	return processor.Config{
		BootstrapServers: o.BootstrapServers, Group: o.Group,
		InstanceID: o.InstanceID, TransactionalID: o.TransactionalID,
		DeadLetterTopic: o.DeadLetterTopic, Parallel: o.Parallel,
		DeadLetterHeaders:   processor.DeadLetterHeaders(max(slices.Index(processor.DeadLetterHeadersNames(), o.DeadLetterHeaders), 0)),
		InputBufferMaxBytes: o.InputBuffer, BufferMemory: o.BufferMemory,
		Errors: processor.Errors{Policy: processor.Policy(slices.Index(processor.PolicyNames(), o.OnError)), HandlerTimeout: o.HandlerTimeout},
		Lanes:  o.Lanes, Provenance: o.Provenance, UntilEnd: o.UntilEnd, Logger: log,
		Start:    eos.Start(slices.Index(startNames(), o.Start)),
		Observer: processor.Observer{Session: eos.SlogObserver(log)},
		Session: eos.Tuning{
			MaxRecords: o.MaxRecords, MaxBytes: o.MaxBytes,
			GroupProtocol:  eos.GroupProtocol(slices.Index(protocolNames(), o.GroupProtocol)),
			SessionTimeout: o.SessionTimeout, TransactionTimeout: o.TransactionTimeout,
			CommitInterval: cmp.Or(o.CommitInterval, -1),
		},
	}
}

// pipe is what run does with a record.
func (o runOptions) pipe() processor.Pipe[[]byte, []byte] {
	p := processor.Pipe[[]byte, []byte]{
		Source: processor.Source[[]byte]{Topics: o.From, Pattern: o.FromPattern, Value: processor.Bytes()},
		Sink:   processor.To(processor.Bytes(), o.To),
	}
	if o.Filter != nil || o.Map != nil {
		mapping := o.Map
		if mapping != nil && o.BufferMemory > 0 {
			mapping = mapping.WithMaxBytes(o.BufferMemory / max(o.Lanes, 1))
		}
		p.Handle = processor.Each(jq.Transform{Filter: o.Filter, Map: mapping}.Handle)
	}
	return p
}

// barAt is a progress and how far it has come.
type barAt struct {
	progress *progress
	done     int64
}

// show moves the bar to where p is. One goroutine calls it.
func show(s streams, bar *atomic.Pointer[barAt], p processor.Progress) {
	b := bar.Load()
	if b == nil {
		b = &barAt{progress: newProgress(s, "offsets committed", p.Total)}
		bar.Store(b)
	}
	b.progress.add(max(p.Done-b.done, 0))
	b.done = max(b.done, p.Done)
}

// reportEvery shows the records committed, once a second, until ctx ends or the returned function is called, which waits.
func reportEvery(ctx context.Context, s streams, count *processor.Counter) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	shown := newProgress(s, "records committed", -1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		var last int64
		for {
			select {
			case <-ticker.C:
				now := count.Stats().In
				shown.add(now - last)
				last = now
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
		shown.finish()
	}
}

// runResult is what run prints at its end.
type runResult struct {
	processor.Stats
	Seconds float64 `json:"seconds"`
}

// String returns the result as one line.
func (r runResult) String() string {
	given := ""
	if r.Skipped+r.DeadLetters > 0 {
		given = fmt.Sprintf(" (%d left out, %d of the output are dead letters)", r.Skipped, r.DeadLetters)
	}
	return fmt.Sprintf("%d records in, %d out%s, %d transactions committed, %d aborted and repeated, in %.1f s",
		r.In, r.Out, given, r.Transactions, r.Aborted, r.Seconds)
}
