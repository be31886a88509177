package proc

import (
	"cmp"
	"context"
	bigendian "encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/broker/batches"
	"github.com/eos-pipe/eos-pipe/internal/checker"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// This file reads what stands in the logs, markers included, past everything that a client or a broker does for a
// read_committed reader: the output's batches, and the history of the group's committed offsets.

// RawLogs reads the partitions of the set from their start to the given ends, by fetch requests of its own, and tells a
// checker.Log of each batch. Nothing is decompressed or decoded but headers and markers.
func (p *Pipe) RawLogs(ctx context.Context, ends offsets.Set, outcomes *checker.Outcomes) (map[offsets.Partition]*checker.Log, error) {
	cl, err := kgo.NewClient(p.Cluster.Options()...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	logs := map[offsets.Partition]*checker.Log{}
	for at, end := range ends.Sorted() {
		raw := rawReader{cl: cl, adm: kadm.NewClient(cl), at: at, end: end.Offset, log: checker.NewLog(at, 0, outcomes)}
		if err := raw.read(ctx); err != nil {
			return nil, fmt.Errorf("read the log of %v from @%d: %w", at, raw.log.Next(), err)
		}
		logs[at] = raw.log
	}
	return logs, nil
}

// rawReader reads one partition.
type rawReader struct {
	cl     *kgo.Client
	adm    *kadm.Client
	at     offsets.Partition
	end    int64
	log    *checker.Log
	id     kadm.TopicID
	leader int32
	most   int32 // bytes of an answer; 0: 8 MiB
}

// read tells the log of all that stands below the end. A partition without a leader that answers is asked again for a while.
func (r *rawReader) read(ctx context.Context) error {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	failures := 0
	for r.log.Next() < r.end {
		before := r.log.Next()
		err := r.fetch(ctx)
		if err == nil && r.log.Next() > before {
			failures = 0
			continue
		}
		r.leader = -1 // another broker may lead it now
		if failures++; failures > 300 || ctx.Err() != nil {
			return fmt.Errorf("nothing comes, though the log ends at @%d: %w", r.end, err)
		}
		<-again.C
	}
	return nil
}

func (r *rawReader) fetch(ctx context.Context) error {
	got, err := r.ask(ctx, r.log.Next(), kgo.ReadUncommitted())
	if err != nil {
		return err
	}
	return r.take(got.RecordBatches)
}

// ask fetches from an offset on, from the leader or, if it was set, from another replica.
func (r *rawReader) ask(ctx context.Context, from int64, isolation kgo.IsolationLevel) (got kmsg.FetchResponseTopicPartition, err error) {
	if r.id == (kadm.TopicID{}) || r.leader < 0 {
		topics, err := r.adm.ListTopicsWithInternal(ctx, r.at.Topic)
		if err := errors.Join(err, topics.Error()); err != nil {
			return got, err
		}
		r.id, r.leader = topics[r.at.Topic].ID, topics[r.at.Topic].Partitions[r.at.Number].Leader
	}
	most := cmp.Or(r.most, int32(8<<20))
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = r.at.Number, from, most
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = r.at.Topic, r.id, append(topic.Partitions, part)
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 200, 1, most, -1
	req.Topics = append(req.Topics, topic)
	if isolation == kgo.ReadCommitted() {
		req.IsolationLevel = 1
	}
	resp, err := r.cl.Broker(int(r.leader)).RetriableRequest(ctx, req)
	if err != nil {
		return got, err
	}
	answer := resp.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return got, err
	}
	if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return got, errors.New("the answer is about something else")
	}
	got = answer.Topics[0].Partitions[0]
	return got, kerr.ErrorForCode(got.ErrorCode)
}

func (r *rawReader) take(raw []byte) error {
	for b, err := range batches.All(raw) {
		if err != nil {
			return err
		}
		if b.LastOffset < r.log.Next() { // a fetch may begin before its offset
			continue
		}
		if b.BaseOffset >= r.end {
			return nil
		}
		by := checker.Writer{ID: b.ProducerID, Epoch: b.Epoch}
		if !b.Control {
			r.log.Batch(b.BaseOffset, b.LastOffset, by, b.Transactional)
			continue
		}
		m, err := b.Marker()
		switch {
		case errors.Is(err, batches.ErrNoMarker):
			r.log.Other(b.BaseOffset, b.LastOffset)
		case err != nil:
			return err
		default:
			r.log.Marker(b.BaseOffset, by, m.Commit)
		}
	}
	return nil
}

// OffsetsTopic is the topic in which the coordinators of groups keep committed offsets.
const OffsetsTopic = "__consumer_offsets"

// CommitHistory reads all commits of the group from its coordinator's log, resolves the transactional ones by their
// markers, and tells them to the checker in the order in which they came into force.
func (p *Pipe) CommitHistory(ctx context.Context, outcomes *checker.Outcomes) (*checker.Commits, error) {
	ends, err := p.Listed(ctx, p.Adm.ListEndOffsets, []string{OffsetsTopic})
	if err != nil {
		return nil, err
	}
	h := history{group: p.Group, commits: checker.NewCommits(), outcomes: outcomes, open: map[writerAt][]commitAt{}}
	err = p.ReadAs(ctx, kgo.ReadUncommitted(), ends, h.take)
	return h.commits, errors.Join(err, h.err)
}

type (
	// writerAt is a producer in one partition of the coordinator's log.
	writerAt struct {
		id        int64
		partition int32
	}
	commitAt struct {
		in     offsets.Partition
		offset int64
		by     checker.Writer
	}
)

type history struct {
	group    string
	commits  *checker.Commits
	outcomes *checker.Outcomes
	open     map[writerAt][]commitAt // of transactions that no marker has ended so far
	err      error
}

func (h *history) take(r *kgo.Record) {
	at := writerAt{r.ProducerID, r.Partition}
	if r.Attrs.IsControl() {
		if len(r.Key) < 4 {
			return
		}
		commit := bigendian.BigEndian.Uint16(r.Key[2:]) == 1
		if pending := h.open[at]; len(pending) > 0 { // others' markers are here too
			h.outcomes.Ended(offsets.Partition{Topic: r.Topic, Number: r.Partition}, r.Offset, pending[0].by, WriterOf(r), commit)
		}
		for _, one := range h.open[at] {
			if commit {
				h.commits.Commit(one.in, one.offset, one.by)
			}
		}
		delete(h.open, at)
		return
	}
	if len(r.Key) < 2 || bigendian.BigEndian.Uint16(r.Key) > 1 { // not a commit
		return
	}
	var key kmsg.OffsetCommitKey
	if err := key.ReadFrom(r.Key); err != nil {
		h.err = fmt.Errorf("%s-%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
		return
	}
	if key.Group != h.group || r.Value == nil {
		return
	}
	var value kmsg.OffsetCommitValue
	if err := value.ReadFrom(r.Value); err != nil {
		h.err = fmt.Errorf("%s-%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
		return
	}
	one := commitAt{offsets.Partition{Topic: key.Topic, Number: key.Partition}, value.Offset, WriterOf(r)}
	if !r.Attrs.IsTransactional() {
		one.by = checker.Writer{ID: -1}
		h.commits.Commit(one.in, one.offset, one.by)
		return
	}
	h.open[at] = append(h.open[at], one)
}

// WriterOf returns the producer that wrote the record.
func WriterOf(r *kgo.Record) checker.Writer {
	return checker.Writer{ID: r.ProducerID, Epoch: r.ProducerEpoch}
}
