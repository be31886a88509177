package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// atLeastOnce is the same pipe as it is usually written, and it is written with care: an idempotent producer, offsets
// committed only after every record is confirmed. So it loses nothing.
func atLeastOnce(st *stage) *side {
	s := &side{
		stage: st, name: "at least once", means: "the usual loop: poll, produce, then commit the offsets",
		group: "at-least-once", output: "booked-at-least-once",
		identity:     commitOf,
		lostProduce:  wiretap.Rule{API: kmsg.Produce, Action: wiretap.DropReply},
		lostCommit:   wiretap.Rule{API: kmsg.OffsetCommit, Action: wiretap.DropReply},
		beforeKill:   wiretap.Rule{API: kmsg.OffsetCommit, Action: wiretap.HoldRequest},
		beforeFreeze: wiretap.Rule{API: kmsg.OffsetCommit, Action: wiretap.HoldRequest},
	}
	s.run = s.runLoop
	s.settled = func(context.Context, *instance) error { return nil } // it commits again, which does no harm
	return s
}

// runLoop is an instance's life: an error ends the process, and it is started again.
func (s *side) runLoop(drain, dead context.Context, in *instance) error {
	alive, cancel := context.WithCancel(dead)
	defer cancel()
	defer context.AfterFunc(drain, cancel)()
	for alive.Err() == nil {
		if err := s.loop(alive, in); err != nil && alive.Err() == nil {
			s.tell("  %s gives up (%v) and is started again", in.id, err)
		}
	}
	return nil
}

// loop is what everybody writes.
func (s *side) loop(ctx context.Context, in *instance) error {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(s.stage.ListenAddrs()...), kgo.Dialer(in.tap.Dial), kgo.ClientID(s.group+"-"+in.id),
		kgo.ConsumerGroup(s.group), kgo.ConsumeTopics(payments), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(sessionTimeout), kgo.HeartbeatInterval(sessionTimeout/3), kgo.RebalanceTimeout(transactionTimeout),
		kgo.FetchMaxWait(fetchMaxWait))
	if err != nil {
		return err
	}
	defer cl.Close()
	for {
		fetches := cl.PollRecords(ctx, batchRecords)
		if err := fetches.Err(); err != nil {
			return err
		}
		var out []*kgo.Record
		for r := range fetches.RecordsAll() {
			booked, err := s.booked(r)
			if err != nil {
				return err
			}
			out = append(out, booked)
		}
		if err := cl.ProduceSync(ctx, out...).FirstErr(); err != nil {
			return err
		}
		if err := cl.CommitUncommittedOffsets(ctx); err != nil {
			return err
		}
	}
}

// booked makes the output record of an input record.
func (s *side) booked(r *kgo.Record) (*kgo.Record, error) {
	var p payment
	if err := json.Unmarshal(r.Value, &p); err != nil {
		return nil, err
	}
	b, err := book(p)
	if err != nil {
		return nil, err
	}
	value, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	return &kgo.Record{Topic: s.output, Key: r.Key, Value: value}, nil
}

// commitOf identifies a commit by the member and what it commits.
func commitOf(req kmsg.Request) string {
	r, ok := req.(*kmsg.OffsetCommitRequest)
	if !ok {
		return ""
	}
	offsets := []string{}
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			offsets = append(offsets, fmt.Sprintf("%d@%d", p.Partition, p.Offset))
		}
	}
	slices.Sort(offsets)
	return fmt.Sprint(r.MemberID, offsets)
}
