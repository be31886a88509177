package demo

import (
	"context"
	"fmt"

	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// act is a part of the performance: payments come in, and something goes wrong.
type act struct {
	title string
	where func(*side) wiretap.Rule           // the step of the protocol at which it does; nil: nothing does
	play  func(*side, context.Context) error // what happens then
}

// acts is the performance.
var acts = []act{
	{"Nothing fails", nil, (*side).calm},
	{"The answer to a produce is lost", func(s *side) wiretap.Rule { return s.lostProduce }, (*side).loseProduce},
	{"The answer to a commit is lost", func(s *side) wiretap.Rule { return s.lostCommit }, (*side).loseCommit},
	{"An instance is killed in the middle of its work", func(s *side) wiretap.Rule { return s.beforeKill }, (*side).dieAndReturn},
	{"An instance is taken for dead, and comes back: a zombie", func(s *side) wiretap.Rule { return s.beforeFreeze }, (*side).freezeAndReturn},
	{"Nothing fails any more", nil, (*side).calm},
}

func (s *side) calm(context.Context) error { return nil }

// loseProduce: the client sends the records again, and the broker knows them by producer id and sequence.
func (s *side) loseProduce(ctx context.Context) error {
	victim, err := s.fault.wait(ctx)
	if err != nil {
		return err
	}
	s.tell("✗ %s's records are written, but it is not told, and sends them again", victim.id)
	return nil
}

// loseCommit: the broker has committed, and the instance cannot know.
func (s *side) loseCommit(ctx context.Context) error {
	victim, err := s.fault.wait(ctx)
	if err != nil {
		return err
	}
	s.tell("✗ %s's commit is done, but it is not told", victim.id)
	return s.settled(ctx, victim)
}

// dieAndReturn: what an instance has begun is to be undone, or done again, by its successor.
func (s *side) dieAndReturn(ctx context.Context) error {
	victim, err := s.fault.wait(ctx)
	if err != nil {
		return err
	}
	victim.kill()
	s.tell("✗ %s is killed: its records are written, but not committed", victim.id)
	s.start(victim.id)
	s.tell("  %s is started again", victim.id)
	return nil
}

// freezeAndReturn: an instance that stands still while it commits is replaced; then its commit arrives after all.
func (s *side) freezeAndReturn(ctx context.Context) error {
	victim, err := s.fault.wait(ctx)
	if err != nil {
		return err
	}
	victim.tap.Freeze()
	s.fault.release() // the commit is now on its way, and goes no further
	late := s.stage.arrival(s.identity, s.fault.commit)
	s.tell("✗ %s stands still while its commit is on the way", victim.id)
	if err := s.caughtUp(ctx); err != nil {
		return err
	}
	s.tell("  the other has taken %s's partitions over", victim.id)
	before, err := s.bookings(ctx)
	if err != nil {
		return err
	}
	victim.tap.Thaw()
	if err := wait(ctx, late); err != nil {
		return fmt.Errorf("wait for the late commit: %w", err)
	}
	after, err := s.bookings(ctx)
	if err != nil {
		return err
	}
	s.tell("✗ %s moves on, and its late commit reaches the broker: of %d payments there were %d bookings before, and %d after",
		victim.id, s.stage.paid, before, after)
	return nil
}
