package eos

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/isolation"
	"github.com/eos-pipe/eos-pipe/internal/millis"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// This file holds fetched records back until the marker that ends their transaction has been fetched too. The broker says that
// these records are committed, and may be wrong (see internal/isolation). If need be they are held past the end of a transaction
// of our own. The client does not know this: by itself it would commit everything it has handed out, and continue from there.

// hold appends what was fetched of a partition to what is held of it. None of it is in a batch yet.
func (s *Session) hold(p offsets.Partition, f *kgo.FetchPartition) {
	q := s.held[p]
	if q == nil {
		q = &isolation.Queue{}
		s.held[p] = q
	}
	for _, a := range q.Push(f.Records, f.LastStableOffset) {
		s.cfg.Logger.Warn("the broker returned records of an aborted transaction as committed ones; the transaction's marker says abort, and they are left out. "+
			"Other readers of this topic may have got them: the leader's transaction index is wrong",
			"transactional_id", s.cfg.TransactionalID, "partition", p.String(), "producer_id", a.ProducerID, "first", a.First, "last", a.Last, "records", a.Records)
	}
}

// handOut moves held records that are decided into b, up to the limits of b, and reports whether there were any.
func (s *Session) handOut(b *gathering) (some bool, err error) {
	for p, q := range s.held {
		remaining := s.remaining(b)
		if remaining <= 0 {
			return some, nil
		}
		if q.Decided() == 0 {
			continue
		}
		some = true
		if err := s.handOutOf(p, q.Take(remaining), b); err != nil {
			return some, err
		}
		if q.Len() == 0 {
			delete(s.held, p)
		}
	}
	return some, nil
}

// handOutOf puts records of one partition into b. Control records only move the position.
func (s *Session) handOutOf(p offsets.Partition, records []*kgo.Record, b *gathering) error {
	first, last := records[0], records[len(records)-1]
	if err := s.tracker.Begin(p, first.Offset, last.Offset, last.LeaderEpoch); err != nil {
		return fmt.Errorf("%w: %w", errOrder, err)
	}
	if _, known := b.from[p]; !known {
		b.from[p] = offsets.NewPosition(first.Offset)
	}
	b.next[p] = offsets.Position{Offset: last.Offset + 1, LeaderEpoch: last.LeaderEpoch}
	for _, r := range records {
		if !r.Attrs.IsControl() {
			millis.Restore(r)
			b.Records = append(b.Records, r)
			size := len(r.Key) + len(r.Value)
			b.Bytes += size
			b.weight += size + int(isolation.HeadersBytes(r.Headers))
		}
	}
	return nil
}

// trustTooMuch stops waiting for markers when the records that wait for the end of a transaction take more memory than one session
// may hold: its share of half of the InputBuffer. Records that do not wait are handed out next, however large they are.
func (s *Session) trustTooMuch() {
	n := int64(0)
	for _, q := range s.held {
		n += q.Bytes()
	}
	limit := s.cfg.InputBuffer.max / s.cfg.InputBuffer.sessions / 2
	if n <= limit {
		return
	}
	n = 0
	for _, q := range s.held {
		_, bytes := q.Waiting()
		n += bytes
	}
	if n > limit {
		s.trust()
	}
}

// trust releases all held records, because those that wait for the end of an input transaction do not fit into the InputBuffer.
// It returns false if no record waits.
func (s *Session) trust() bool {
	n := 0
	for _, q := range s.held {
		waiting, _ := q.Waiting()
		n += waiting
		q.Trust()
	}
	if n > 0 && s.saidTrust.allow(10*time.Second) {
		s.cfg.Logger.Warn("the records that wait for the end of an input transaction do not fit into the input buffer; they are processed before that end is seen, since the broker says that they are committed",
			"transactional_id", s.cfg.TransactionalID, "records", n, "used", s.cfg.InputBuffer.Used())
	}
	return n > 0
}

// rewound forgets what was handed out and what is held; both are read again. The client was rewound to the committed offsets, or
// is about to be discarded.
func (s *Session) rewound() {
	s.tracker.Reset()
	clear(s.held)
	s.watch.do((*standstill).rewound)
}

// rewriteOffsets sets the offsets in the client's request to those of the batch. It fails if the client would commit an offset that
// is not the end of the batch, the end of the held records, or the start of a partition of which nothing has come yet (see
// holdings).
func (t *transaction) rewriteOffsets(req *kmsg.TxnOffsetCommitRequest) error {
	got, want := offsets.Set{}, t.commits.Clone()
	fault := func(p offsets.Partition) error {
		return fmt.Errorf("%w: the client would commit other offsets than were processed: %s at %v, not %v", errOffsets, p, got[p], t.commits[p])
	}
	topics := req.Topics[:0]
	for _, topic := range req.Topics {
		partitions := topic.Partitions[:0]
		for _, one := range topic.Partitions {
			p := offsets.Partition{Topic: topic.Topic, Number: one.Partition}
			got[p] = offsets.NewPosition(one.Offset)
			pos, processed := want[p]
			if !t.explains(p, one.Offset) {
				return fault(p)
			}
			if !processed {
				continue // all its records are held, or none has come
			}
			one.Offset, one.LeaderEpoch, one.Metadata = pos.Offset, pos.LeaderEpoch, new(t.tagFor(topic.Topic))
			partitions = append(partitions, one)
			delete(want, p)
		}
		if topic.Partitions = partitions; len(partitions) > 0 {
			topics = append(topics, topic)
		}
	}
	req.Topics = topics
	for p := range want {
		return fault(p)
	}
	return nil
}

// explains reports whether offset is one that the client has reason to commit for a partition.
func (t *transaction) explains(p offsets.Partition, offset int64) bool {
	if q := t.s.held[p]; q != nil {
		return offset == q.End()
	}
	if pos, processed := t.commits[p]; processed {
		return offset == pos.Offset
	}
	return t.s.client.has.startsAt(p, offset)
}

// errAhead is the cause when a client is discarded because it treats more as committed than is committed.
var errAhead = fmt.Errorf("%w: it treats records as committed that are not processed yet, as franz-go before v1.22.3 does; they are read again", errDiscarded)

// distrust discards a client that, after an abort, would continue after the held records instead of at the first of them. A client
// must note as committed the offsets that were sent, not those it has handed out; franz-go does since v1.22.3.
func (c *client) distrust(held map[offsets.Partition]*isolation.Queue) {
	if len(held) == 0 {
		return
	}
	committed := c.gts.Client().CommittedOffsets()
	for p, q := range held {
		if at, ok := committed[p.Topic][p.Number]; ok && at.Offset > q.First().Offset {
			c.discard(fmt.Errorf("%w (%s is held from offset %d, and %d is committed to the client)", errAhead, p, q.First().Offset, at.Offset))
			return
		}
	}
}
