package eos

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/millis"
	"github.com/eos-pipe/eos-pipe/internal/stable"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// This file is about fetched records whose transaction has not been seen to end. The broker says of them that they are committed, and may be
// wrong (see internal/stable). So they are held back until their marker has come, over the end of a transaction of our own if need be. The
// client knows nothing of that: it would commit, and goes on from, what it has handed out.

// hold puts what was fetched of a partition behind what is held of it. Nothing of it is in a batch yet.
func (s *Session) hold(p offsets.Partition, f *kgo.FetchPartition) {
	q := s.held[p]
	if q == nil {
		q = &stable.Queue{}
		s.held[p] = q
	}
	for _, a := range q.Push(f.Records, f.LastStableOffset) {
		s.cfg.Logger.Warn("the broker has given records of an aborted transaction for committed ones, as its marker says; they are left out. "+
			"Other readers of this topic may have got them: the leader's transaction index is wrong",
			"transactional_id", s.cfg.TransactionalID, "partition", p.String(), "producer_id", a.ProducerID, "first", a.First, "last", a.Last, "records", a.Records)
	}
}

// handOut moves what is stable of what is held into b, as far as there is room, and says whether there was any.
func (s *Session) handOut(b *gathering) (some bool, err error) {
	for p, q := range s.held {
		remaining := s.remaining(b)
		if remaining <= 0 {
			return some, nil
		}
		if q.Stable() == 0 {
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
			b.weight += size + int(stable.HeadersBytes(r.Headers))
		}
	}
	return nil
}

// trustTooMuch trusts what is held if more than a session may hold waits for the end of a transaction: its part of half of the InputBuffer.
// What does not wait is handed out next, however large it is.
func (s *Session) trustTooMuch() {
	n := int64(0)
	for _, q := range s.held {
		n += q.Bytes()
	}
	most := s.cfg.InputBuffer.max / s.cfg.InputBuffer.sessions / 2
	if n <= most {
		return
	}
	n = 0
	for _, q := range s.held {
		_, bytes := q.Waiting()
		n += bytes
	}
	if n > most {
		s.trust()
	}
}

// trust has all that is held handed out: what waits for the end of transactions of the input does not fit into the InputBuffer. It returns
// false if nothing waits.
func (s *Session) trust() bool {
	n := 0
	for _, q := range s.held {
		waiting, _ := q.Waiting()
		n += waiting
		q.Trust()
	}
	if n > 0 && s.saidTrust.allow(10*time.Second) {
		s.cfg.Logger.Warn("what waits for the end of a transaction of the input does not fit into the input buffer; it is processed before that end is seen, since the broker says that it is committed",
			"transactional_id", s.cfg.TransactionalID, "records", n, "used", s.cfg.InputBuffer.Used())
	}
	return n > 0
}

// forget forgets what was handed out and what is held: it is read again. The client has gone back to what is committed, or will be discarded.
func (s *Session) forget() {
	s.tracker.Reset()
	clear(s.held)
	s.watch.do((*standstill).back)
}

// settle has the client commit the offsets of the batch, and no others: what it would commit must be behind the batch, behind what is held, or
// where a partition starts of which nothing has come yet (see holdings).
func (t *transaction) settle(req *kmsg.TxnOffsetCommitRequest) error {
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
				continue // all of it is held, or nothing has come
			}
			one.Offset, one.LeaderEpoch, one.Metadata = pos.Offset, pos.LeaderEpoch, new(t.markOf(topic.Topic))
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

// explains says whether the client may take this for the offset of a partition.
func (t *transaction) explains(p offsets.Partition, offset int64) bool {
	if q := t.s.held[p]; q != nil {
		return offset == q.End()
	}
	if pos, processed := t.commits[p]; processed {
		return offset == pos.Offset
	}
	return t.s.client.has.startsAt(p, offset)
}

// errAhead is the cause when a client is discarded because it takes more for committed than is.
var errAhead = fmt.Errorf("%w: it takes records for committed that are not processed yet, as franz-go before v1.22.3 does; they are read anew", errDiscarded)

// distrust discards a client that would go on behind what is held after an abort: it must have noted what was sent, and not what it has handed
// out. It does since franz-go v1.22.3.
func (c *client) distrust(held map[offsets.Partition]*stable.Queue) {
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
