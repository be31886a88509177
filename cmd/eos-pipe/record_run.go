package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/batches"
	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/trace"
)

// runRecord writes the trace of a topic. A trace in a file is there whole or not at all.
func runRecord(ctx context.Context, s streams, o recordOptions) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	cl, err := o.client(ctx, s.Log)
	if err != nil {
		return err
	}
	defer cl.Close()
	r := &recorder{opts: o, s: s, cl: cl, adm: kadm.NewClient(cl)}
	if o.Out == "" {
		result, err := r.run(ctx, s.Out)
		if err == nil {
			s.Log.Info("recorded", "topic", result.Topic, "partitions", result.Partitions, "batches", result.Batches, "markers", result.Markers, "open", result.Open)
		}
		return err
	}
	var result recordResult
	err = writeTraceFile(o.Out, func(w io.Writer) error {
		result, err = r.run(ctx, w)
		return err
	})
	if err != nil {
		return err
	}
	return s.print(result)
}

// writeTraceFile writes a file under another name, and gives it its own when all is in it.
func writeTraceFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.part")
	if err != nil {
		return fmt.Errorf("cannot write the trace: %w", err)
	}
	err = write(f)
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("cannot write the trace: %w", closeErr)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// recordResult is what record prints when the trace goes to a file.
type recordResult struct {
	Topic      string `json:"topic"`
	Partitions int    `json:"partitions"`
	recordCounts
	Out string `json:"out"`
}

// String returns the counts.
func (r recordResult) String() string {
	return fmt.Sprintf("%s: topic=%s partitions=%d batches=%d markers=%d open=%d", r.Out, r.Topic, r.Partitions, r.Batches, r.Markers, r.Open)
}

// recorder reads the partitions of a topic one after the other.
type recorder struct {
	opts recordOptions
	s    streams
	cl   *kgo.Client
	adm  *kadm.Client
	prog *progress

	topic kadm.TopicDetail
}

func (r *recorder) run(ctx context.Context, to io.Writer) (recordResult, error) {
	if err := settled(ctx, r.s.Log, r.opts.Topic, r.describe); err != nil {
		return recordResult{}, err
	}
	numbers, err := r.numbers()
	if err != nil {
		return recordResult{}, err
	}
	starts, err := r.offsets(ctx, r.adm.ListStartOffsets)
	if err != nil {
		return recordResult{}, err
	}
	ends, err := r.offsets(ctx, r.adm.ListEndOffsets)
	if err != nil {
		return recordResult{}, err
	}
	total := int64(0)
	for _, n := range numbers {
		total += ends[n] - starts[n]
	}
	r.prog = newProgress(r.s, "offsets read", total)
	defer r.prog.finish()
	return r.write(ctx, bufio.NewWriterSize(to, 1<<16), numbers, starts, ends)
}

// write writes the whole trace.
func (r *recorder) write(ctx context.Context, to *bufio.Writer, numbers []int32, starts, ends map[int32]int64) (recordResult, error) {
	result := recordResult{Topic: r.opts.Topic, Partitions: len(numbers), Out: r.opts.Out}
	emit := func(e trace.Event) error {
		_, _ = to.WriteString(e.String()) // the error stays until the next call
		if err := to.WriteByte('\n'); err != nil {
			return fmt.Errorf("cannot write the trace: %w", err)
		}
		return nil
	}
	isCompacted := r.isCompacted(ctx)
	fmt.Fprintf(to, "# The log of %s as eos-pipe record read it. eos-pipe validate judges it.\n", r.opts.Topic)
	if err := emit(trace.Time{NowMs: time.Now().UnixMilli()}); err != nil {
		return result, err
	}
	for _, n := range numbers {
		log := &logTrace{partition: trace.Partition{Topic: r.opts.Topic, Number: n}, emit: emit}
		if !r.opts.SkipDigests {
			log.digest = batches.NewDigester().Digest
		}
		err := log.begin(starts[n], isCompacted)
		if err == nil {
			err = r.read(ctx, log, ends[n])
		}
		if err != nil {
			return result, fmt.Errorf("read %s: %w", log.partition, err)
		}
		result.Batches += log.counts.Batches
		result.Markers += log.counts.Markers
		result.Open += log.counts.Open
	}
	if err := to.Flush(); err != nil {
		return result, fmt.Errorf("cannot write the trace: %w", err)
	}
	return result, nil
}

// read reads one log up to end. Up to the last stable offset it reads as read_committed does, which leaves nothing out of the batches,
// and is told which transactions are aborted; what lies behind can only be had by the other way.
func (r *recorder) read(ctx context.Context, log *logTrace, end int64) error {
	isCommitted, idle := true, 0
	for {
		answer, err := r.fetch(ctx, log.partition.Number, log.next, isCommitted)
		if err != nil {
			return err
		}
		before := log.next
		if err := log.take(answer.RecordBatches, end, isCommitted, abortedIn(answer)); err != nil {
			return err
		}
		r.prog.add(log.next - before)
		switch {
		case log.next >= end && answer.HighWatermark == log.next:
			return log.finish(answer.HighWatermark, answer.LastStableOffset)
		case log.next >= end:
			return log.finish(-1, -1)
		case log.next > before:
			idle = 0
		case isCommitted && answer.LastStableOffset <= log.next:
			isCommitted = false
		default:
			if idle++; idle == maxIdleFetches {
				return fmt.Errorf("the broker sends nothing from offset %d on, though the log ends at %d", log.next, end)
			}
		}
	}
}

// maxIdleFetches is how many empty answers in a row, each after fetchWait, are taken as the end.
const maxIdleFetches = 20

func abortedIn(answer *kmsg.FetchResponseTopicPartition) []trace.Aborted {
	var list []trace.Aborted
	for _, a := range answer.AbortedTransactions {
		list = append(list, trace.Aborted{ProducerID: a.ProducerID, FirstOffset: a.FirstOffset})
	}
	return list
}

const (
	fetchBytes = 1 << 20 // of a fetch; a larger batch comes alone
	fetchWait  = 500 * time.Millisecond
)

// fetch asks the leader of a partition until it answers.
func (r *recorder) fetch(ctx context.Context, number int32, at int64, isCommitted bool) (*kmsg.FetchResponseTopicPartition, error) {
	var answer *kmsg.FetchResponseTopicPartition
	err := settled(ctx, r.s.Log, r.opts.Topic, func(ctx context.Context) (err error) {
		if answer, err = r.fetchOnce(ctx, number, at, isCommitted); err != nil && !cluster.IsFinal(err) {
			_ = r.describe(ctx) // another broker may lead it now
		}
		return err
	})
	if errors.Is(err, kerr.OffsetOutOfRange) {
		return nil, &exitError{exitFailure, fmt.Errorf("offset %d is no longer in the log: %w", at, err), "records were deleted while they were read (retention?): start again"}
	}
	return answer, err
}

func (r *recorder) fetchOnce(ctx context.Context, number int32, at int64, isCommitted bool) (*kmsg.FetchResponseTopicPartition, error) {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = number, at, fetchBytes
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID, t.Partitions = r.opts.Topic, r.topic.ID, append(t.Partitions, p)
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = int32(fetchWait.Milliseconds()), 1, fetchBytes
	req.SessionEpoch = -1 // no session: each fetch says all it wants
	req.Topics = append(req.Topics, t)
	if isCommitted {
		req.IsolationLevel = 1
	}
	resp, err := r.cl.Broker(int(r.topic.Partitions[number].Leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, err
	}
	fetched := resp.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(fetched.ErrorCode); err != nil {
		return nil, err
	}
	if len(fetched.Topics) != 1 || len(fetched.Topics[0].Partitions) != 1 {
		return nil, cluster.Final(errors.New("the broker's answer is not about the partition that was asked for"))
	}
	answer := &fetched.Topics[0].Partitions[0]
	return answer, kerr.ErrorForCode(answer.ErrorCode)
}

// describe asks for the topic's id, its partitions and their leaders.
func (r *recorder) describe(ctx context.Context) error {
	topics, err := r.adm.ListTopicsWithInternal(ctx, r.opts.Topic)
	if err != nil {
		return fmt.Errorf("ask for topic %s: %w", r.opts.Topic, err)
	}
	topic, isThere := topics[r.opts.Topic]
	if !isThere {
		return kerr.UnknownTopicOrPartition
	}
	if topic.Err != nil {
		return fmt.Errorf("ask for topic %s: %w", r.opts.Topic, topic.Err)
	}
	r.topic = topic
	return nil
}

// numbers are the partitions to read, in order.
func (r *recorder) numbers() ([]int32, error) {
	if len(r.opts.Partitions) == 0 {
		return r.topic.Partitions.Numbers(), nil
	}
	numbers := slices.Compact(slices.Sorted(slices.Values(r.opts.Partitions)))
	for _, n := range numbers {
		if _, isThere := r.topic.Partitions[n]; !isThere {
			return nil, usageError(fmt.Sprintf("--partition: topic %s has no partition %d", r.opts.Topic, n), fmt.Sprintf("it has %d, counted from 0", len(r.topic.Partitions)))
		}
	}
	return numbers, nil
}

func (r *recorder) offsets(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
	listed, err := listOffsets(ctx, r.s.Log, r.opts.Topic, list)
	if err != nil {
		return nil, err
	}
	byNumber := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { byNumber[o.Partition] = o.Offset })
	return byNumber, nil
}

// isCompacted reports whether the topic's logs may have holes. If that cannot be known they may, so that no hole is taken for a loss.
func (r *recorder) isCompacted(ctx context.Context) bool {
	configs, err := r.adm.DescribeTopicConfigs(ctx, r.opts.Topic)
	if err == nil && len(configs) == 1 {
		err = configs[0].Err
		for _, c := range configs[0].Configs {
			if c.Key == "cleanup.policy" {
				return strings.Contains(c.MaybeValue(), "compact")
			}
		}
	}
	r.s.Log.Warn("it is not known whether the topic is compacted: missing offsets will not be found", "topic", r.opts.Topic, "err", err)
	return true
}
