package eos

import (
	"fmt"
	"sync"
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
func (s *Session) handOut(b *Batch) (some bool, err error) {
	for p, q := range s.held {
		room := s.room(b)
		if room <= 0 {
			return some, nil
		}
		if q.Stable() == 0 {
			continue
		}
		some = true
		if err := s.handOutOf(p, q.Take(room), b); err != nil {
			return some, err
		}
		if q.Len() == 0 {
			delete(s.held, p)
		}
	}
	return some, nil
}

// handOutOf puts records of one partition into b. Control records only move the position.
func (s *Session) handOutOf(p offsets.Partition, records []*kgo.Record, b *Batch) error {
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
			b.Bytes += len(r.Key) + len(r.Value)
		}
	}
	return nil
}

// trustTooMuch trusts what is held if it is more than a session may hold: its part of half of the InputBuffer.
func (s *Session) trustTooMuch() {
	n := int64(0)
	for _, q := range s.held {
		n += q.Bytes()
	}
	if n > s.cfg.InputBuffer.max/s.cfg.InputBuffer.sessions/2 {
		s.trust()
	}
}

// trust has all that is held handed out: a transaction of the input does not fit into the InputBuffer, and its end is behind it. It returns
// false if nothing is held.
func (s *Session) trust() bool {
	n := 0
	for _, q := range s.held {
		n += q.Len()
		q.Trust()
	}
	if n > 0 && s.saidTrust.allow(10*time.Second) {
		s.cfg.Logger.Warn("a transaction of the input does not fit into the input buffer; its records are processed before its end is seen, since the broker says that they are committed",
			"transactional_id", s.cfg.TransactionalID, "records", n, "used", s.cfg.InputBuffer.Used())
	}
	return n > 0
}

// forget forgets what was handed out and what is held: it is read again.
func (s *Session) forget() {
	s.tracker.Reset()
	clear(s.held)
}

// letGo does so after the client has gone back to what it takes for committed, and has it go back to what is.
func (s *Session) letGo() {
	s.forget()
	if s.stopped == nil {
		s.client.ahead.goBack(s.client.gts.Client())
	}
}

// settle has the client commit the offsets of the batch, and no others: what it would commit must be behind the batch, or behind what is held.
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
			if q := t.s.held[p]; q != nil && one.Offset != q.End() || q == nil && (!processed || one.Offset != pos.Offset) {
				return fault(p)
			}
			if !processed {
				continue // all of it is held
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
	for p, pos := range want { // what was held at the end of the last transaction
		if !t.s.client.ahead.has(p) {
			return fault(p)
		}
		t.add(req, p, pos)
	}
	return nil
}

// add has a request commit a partition, too.
func (t *transaction) add(req *kmsg.TxnOffsetCommitRequest, p offsets.Partition, pos offsets.Position) {
	one := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	one.Partition, one.Offset, one.LeaderEpoch, one.Metadata = p.Number, pos.Offset, pos.LeaderEpoch, new(t.markOf(p.Topic))
	for i := range req.Topics {
		if req.Topics[i].Topic == p.Topic {
			req.Topics[i].Partitions = append(req.Topics[i].Partitions, one)
			return
		}
	}
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic, topic.Partitions = p.Topic, append(topic.Partitions, one)
	if input, ok := t.s.inputs.get(p.Topic); ok {
		topic.TopicID = input.id
	}
	req.Topics = append(req.Topics, topic)
}

// ahead are the partitions of which a client takes more for committed than is, since some of what it has handed out is held; with what is.
// It goes on from there after a transaction that is aborted. They may be used by many goroutines.
type ahead struct {
	mu        sync.Mutex
	committed offsets.Set
	moves     uint64 // how often partitions were assigned or taken away
	moved     map[offsets.Partition]uint64
}

// now is a time in the eyes of note.
func (a *ahead) now() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.moves
}

// note says what is committed, after a transaction that began at a time and committed these offsets while that was held. What was held of
// partitions that have moved since is somebody else's.
func (a *ahead) note(began uint64, commits offsets.Set, held map[offsets.Partition]*stable.Queue) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for p := range commits {
		delete(a.committed, p)
	}
	for p, q := range held {
		if a.moved[p] > began {
			continue
		}
		if a.committed == nil {
			a.committed = offsets.Set{}
		}
		_, known := a.committed[p]
		switch pos, processed := commits[p]; {
		case processed:
			a.committed[p] = pos
		case !known:
			first := q.First()
			a.committed[p] = offsets.Position{Offset: first.Offset, LeaderEpoch: first.LeaderEpoch}
		}
	}
}

func (a *ahead) has(p offsets.Partition) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.committed[p]
	return ok
}

// move forgets a partition that is taken away, or assigned: whoever has it next goes on from what the group has committed. It waits for a
// goBack under way, so that none comes after it. (Of partitions that are taken away kgo does not always tell: not after others, until the next
// end. Of those that are assigned it does, before anything of them is fetched.)
func (a *ahead) move(p offsets.Partition) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.committed, p)
	a.moves++
	if a.moved == nil {
		a.moved = map[offsets.Partition]uint64{}
	}
	a.moved[p] = a.moves
}

// goBack has the client read on from what is committed.
func (a *ahead) goBack(cl *kgo.Client) {
	a.mu.Lock()
	defer a.mu.Unlock()
	back := map[string]map[int32]kgo.EpochOffset{}
	for p, pos := range a.committed {
		if back[p.Topic] == nil {
			back[p.Topic] = map[int32]kgo.EpochOffset{}
		}
		back[p.Topic][p.Number] = kgo.EpochOffset{Epoch: pos.LeaderEpoch, Offset: pos.Offset}
	}
	clear(a.committed)
	cl.SetOffsets(back)
}
