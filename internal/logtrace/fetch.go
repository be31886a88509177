package logtrace

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/trace"
)

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
		r.progress(log.next - before)
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
	err := r.settled(ctx, func(ctx context.Context) (err error) {
		if answer, err = r.fetchOnce(ctx, number, at, isCommitted); err != nil && !cluster.IsFinal(err) {
			_ = r.describe(ctx) // another broker may lead it now
		}
		return err
	})
	if errors.Is(err, kerr.OffsetOutOfRange) {
		return nil, fmt.Errorf("offset %d is no longer in the log: %w", at, err)
	}
	return answer, err
}

func (r *recorder) fetchOnce(ctx context.Context, number int32, at int64, isCommitted bool) (*kmsg.FetchResponseTopicPartition, error) {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = number, at, fetchBytes
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID, t.Partitions = r.config.Topic, r.id, append(t.Partitions, p)
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = int32(fetchWait.Milliseconds()), 1, fetchBytes
	req.SessionEpoch = -1 // no session: each fetch says all it wants
	req.Topics = append(req.Topics, t)
	if isCommitted {
		req.IsolationLevel = 1
	}
	resp, err := r.cl.Broker(int(r.leaders[number])).RetriableRequest(ctx, req)
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
